//! Raw RPCs to the scheduler and the stores through the generated clients, for what the official client cannot ask.

use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::{self, Context};
use proto::pdpb::pd_client::PdClient;
use proto::tikvpb::tikv_client::TikvClient;
use proto::{metapb, pdpb};
use tonic::transport::{Channel, Endpoint};

const RPC_BOUND: Duration = Duration::from_secs(5);
const CONNECT_BOUND: Duration = Duration::from_secs(2);
/// More than the largest message that a test sends or receives.
const MESSAGE_LIMIT: usize = 64 << 20;
/// More regions than any test has.
const REGION_LIMIT: i32 = 10_000;

/// Where a key lives: its region, the leader, and the leader's address.
#[derive(Clone, Debug)]
pub struct Located {
    pub region: metapb::Region,
    pub leader: metapb::Peer,
    /// `host:port` of the leader's store.
    pub address: String,
}

impl Located {
    /// The request context that a well-behaved client would send.
    pub fn context(&self) -> Context {
        Context {
            region_id: self.region.id,
            region_epoch: self.region.region_epoch,
            peer: Some(self.leader),
            ..Context::default()
        }
    }
}

async fn connect(addr: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(CONNECT_BOUND).timeout(RPC_BOUND).tcp_nodelay(true);
    endpoint.connect().await.map_err(|error| format!("connect to {addr}: {error}"))
}

/// A client of a store's key-value service.
pub async fn store_client(addr: &str) -> Result<TikvClient<Channel>, String> {
    let client = TikvClient::new(connect(addr).await?);
    Ok(client.max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT))
}

/// A client of the scheduler.
pub async fn scheduler_client(addr: &str) -> Result<PdClient<Channel>, String> {
    Ok(PdClient::new(connect(addr).await?))
}

/// The id of the scheduler's cluster.
pub async fn cluster_id(addr: &str) -> Result<u64, String> {
    let mut client = scheduler_client(addr).await?;
    let answer = client.get_members(pdpb::GetMembersRequest::default()).await.map_err(|status| status.to_string())?;
    answer.into_inner().header.map(|header| header.cluster_id).ok_or_else(|| "an answer without a header".to_owned())
}

/// The header that the scheduler wants on everything but GetMembers.
pub fn header(cluster_id: u64) -> Option<pdpb::RequestHeader> {
    Some(pdpb::RequestHeader { cluster_id, ..Default::default() })
}

/// All regions, in key order, with the leaders that the scheduler knows.
pub async fn scan_regions(addr: &str) -> Result<Vec<(metapb::Region, Option<metapb::Peer>)>, String> {
    let header = header(cluster_id(addr).await?);
    let request = pdpb::ScanRegionsRequest { header, limit: REGION_LIMIT, ..Default::default() };
    let answer = scheduler_client(addr).await?.scan_regions(request).await.map_err(|status| status.to_string())?;
    let regions = answer.into_inner().regions;
    Ok(regions.into_iter().filter_map(|entry| Some((entry.region?, entry.leader))).collect())
}

/// The region of `key` and its leader.
pub async fn locate(addr: &str, key: &[u8]) -> Result<Located, String> {
    let cluster_id = cluster_id(addr).await?;
    let mut client = scheduler_client(addr).await?;
    let request = pdpb::GetRegionRequest {
        header: header(cluster_id),
        region_key: Bytes::copy_from_slice(key),
        ..Default::default()
    };
    let answer = client.get_region(request).await.map_err(|status| status.to_string())?.into_inner();
    let region = answer.region.ok_or("the scheduler knows no region for the key")?;
    let leader = answer.leader.filter(|leader| leader.store_id != 0).ok_or("the region has no leader")?;
    let request = pdpb::GetStoreRequest { header: header(cluster_id), store_id: leader.store_id };
    let answer = client.get_store(request).await.map_err(|status| status.to_string())?.into_inner();
    let store = answer.store.ok_or_else(|| format!("the scheduler does not know store {}", leader.store_id))?;
    Ok(Located { region, leader, address: store.address })
}

/// `Ok` when the regions cover the key space without a gap, with `peers` peers each, and every leader answers a read.
pub async fn all_regions_serve(addr: &str, peers: usize) -> Result<(), String> {
    let regions = scan_regions(addr).await?;
    let mut next = Bytes::new();
    for (position, (region, leader)) in regions.iter().enumerate() {
        if region.start_key != next || (position > 0 && next.is_empty()) {
            return Err(format!("region {} starts at {:?}, expected {next:?}", region.id, region.start_key));
        }
        if region.peers.len() < peers || leader.is_none() {
            return Err(format!("region {}: {} peers, leader {leader:?}", region.id, region.peers.len()));
        }
        next = region.end_key.clone();
    }
    if regions.is_empty() || !next.is_empty() {
        return Err(format!("{} regions, the last ends at {next:?}", regions.len()));
    }
    for (region, _) in &regions {
        read_from_leader(addr, &region.start_key).await?;
    }
    Ok(())
}

async fn read_from_leader(addr: &str, start_key: &[u8]) -> Result<(), String> {
    // The first region starts at the empty key, which no request may name.
    let key = if start_key.is_empty() { Bytes::from_static(b"\0") } else { Bytes::copy_from_slice(start_key) };
    let located = locate(addr, &key).await?;
    let request = kvrpcpb::RawGetRequest { context: Some(located.context()), key, ..Default::default() };
    let mut client = store_client(&located.address).await?;
    let answer = client.raw_get(request).await.map_err(|status| status.to_string())?.into_inner();
    match answer.region_error {
        Some(error) => Err(format!("region {}: {error:?}", located.region.id)),
        None if answer.error.is_empty() => Ok(()),
        None => Err(format!("region {}: {}", located.region.id, answer.error)),
    }
}
