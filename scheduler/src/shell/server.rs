//! The gRPC server: its port, its services, and an orderly stop.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::kv_server::KvServer;
use proto::operatorpb::operators_server::OperatorsServer;
use proto::pdpb::pd_server::PdServer;
use slog::{Logger, info, warn};
use storage::Engine;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::clock::Clock;
use super::error::{Error, Result};
use super::etcd::Etcd;
use super::node::{Identity, Node};
use super::operators::OperatorService;
use super::pd::PdService;
use crate::state::{Cluster, Options, TimestampOracle};

/// Calls in progress get this long to finish when the process stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Dead clients are noticed by unanswered pings.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a server is started with.
pub struct ServeOptions {
    /// How it presents itself.
    pub identity: Identity,
    /// How the state is loaded.
    pub state: Options,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Opens the port.
///
/// # Errors
/// [`Error::AddressInUse`] names the address and the remedy.
pub async fn bind(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => Error::AddressInUse { address: address.to_owned() },
        _ => Error::Bind { address: address.to_owned(), source },
    })
}

/// Loads the state and serves on `listener` until `shutdown` completes; `ready` is called with the cluster's id once the state is
/// loaded. When it returns, everything acknowledged is durable.
pub async fn serve<E: Engine>(
    engine: E,
    options: ServeOptions,
    listener: TcpListener,
    logger: Logger,
    ready: impl FnOnce(u64) -> Result<()>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let cluster = Cluster::open(engine.clone(), options.state)?;
    let oracle = TimestampOracle::load(engine.clone())?;
    let cluster_id = cluster.cluster_id();
    ready(cluster_id)?;
    info!(logger, "serving"; "cluster_id" => cluster_id, "address" => &options.identity.advertise_addr,
        "stores" => cluster.stores().iter().count(), "regions" => cluster.regions().len());

    let (stop, stopped) = watch::channel(false);
    let node = Node::new(options.identity, cluster, oracle, options.clock, stopped.clone(), logger.clone());
    let node = Arc::new(node);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<PdServer<PdService<E>>>().await;
    let mut signal = stopped.clone();
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .add_service(PdServer::new(PdService(node.clone())))
        .add_service(OperatorsServer::new(OperatorService(node.clone())))
        .add_service(ClusterServer::new(Etcd(node.clone())))
        .add_service(KvServer::new(Etcd(node)))
        .add_service(health_service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            let _closed = signal.wait_for(|stopped| *stopped).await;
        });
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = shutdown => {}
    }
    info!(logger, "stopping");
    stop.send_replace(true);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(result) => result?,
        Err(_) => warn!(logger, "some clients did not close their connections in time"),
    }
    engine.sync().map_err(crate::state::Error::from)?;
    Ok(())
}
