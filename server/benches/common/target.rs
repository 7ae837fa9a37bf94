//! What a load can be sent to: this store through the official client or a thin one, and etcd through a thin one.

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use proto::kvrpcpb::{Context, RawGetRequest, RawPutRequest};
use proto::tikvpb::tikv_client::TikvClient;
use tikv_client::RawClient;
use tonic::transport::{Channel, Endpoint};

/// One connection to a system under test. Clones share the connection.
#[derive(Clone)]
pub enum Target {
    /// The `tikv-client` crate: region cache, retries, one connection to each store.
    Official(RawClient),
    /// One unary RPC to the region's leader, nothing else.
    Thin { client: TikvClient<Channel>, context: Box<Context> },
    /// One unary RPC to etcd's leader, nothing else.
    Etcd(KvClient<Channel>),
}

impl Target {
    /// Writes one key.
    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), String> {
        match self {
            Target::Official(client) => {
                client.put(Vec::from(key), Vec::from(value)).await.map_err(|error| error.to_string())
            }
            Target::Thin { client, context } => {
                let request =
                    RawPutRequest { context: Some(context.as_ref().clone()), key, value, ..Default::default() };
                let answer = client.raw_put(request).await.map_err(|status| status.to_string())?.into_inner();
                refused(answer.region_error, answer.error)
            }
            Target::Etcd(client) => {
                let request = PutRequest { key, value, ..Default::default() };
                client.put(request).await.map(|_| ()).map_err(|status| status.to_string())
            }
        }
    }

    /// Reads one key linearizably; it must exist.
    pub async fn get(&mut self, key: Bytes) -> Result<(), String> {
        let found = match self {
            Target::Official(client) => client.get(Vec::from(key)).await.map_err(|error| error.to_string())?.is_some(),
            Target::Thin { client, context } => {
                let request = RawGetRequest { context: Some(context.as_ref().clone()), key, ..Default::default() };
                let answer = client.raw_get(request).await.map_err(|status| status.to_string())?.into_inner();
                refused(answer.region_error, answer.error)?;
                !answer.not_found
            }
            Target::Etcd(client) => {
                let request = RangeRequest { key, ..Default::default() };
                let answer = client.range(request).await.map_err(|status| status.to_string())?;
                answer.into_inner().kvs.len() == 1
            }
        };
        if found { Ok(()) } else { Err("a key that was put before is missing".to_owned()) }
    }
}

fn refused(region_error: Option<proto::errorpb::Error>, error: String) -> Result<(), String> {
    match region_error {
        Some(error) => Err(format!("{error:?}")),
        None if error.is_empty() => Ok(()),
        None => Err(error),
    }
}

/// A new HTTP/2 connection.
pub async fn connect(addr: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("invariant: an address of ours is valid");
    endpoint.tcp_nodelay(true).connect().await.unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"))
}
