//! The network side of a store: its two ports, the gRPC server and the status server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::tikvpb::tikv_server::TikvServer;
use slog::{Logger, info, warn};
use storage::Storage;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use super::dispatch::Dispatch;
use crate::config::{Config, ServerConfig};
use crate::metrics::Metrics;
use crate::service::TikvService;
use crate::service::raft::RaftInbox;
use crate::service::split::RegionSplitter;
use crate::status::{self, StatusSource};
use crate::stop::{StopSignal, StopTrigger};
use crate::{Error, Result};

/// A connection that answers no ping for this long is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// The ports of a store, taken but not served yet.
pub struct Ports {
    grpc: TcpListener,
    status: Option<TcpListener>,
}

impl Ports {
    /// Takes the ports of the configuration.
    ///
    /// # Errors
    /// [`Error::Bind`] naming the address that cannot be had.
    pub async fn bind(config: &ServerConfig) -> Result<Self> {
        let grpc = listen("server.addr", &config.addr).await?;
        let status = match config.status_addr.as_str() {
            "" => None,
            addr => Some(listen("server.status-addr", addr).await?),
        };
        Ok(Self { grpc, status })
    }

    /// The gRPC address.
    pub fn addr(&self) -> SocketAddr {
        self.grpc.local_addr().expect("invariant: a listening socket has an address")
    }

    /// The status address, if there is one.
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status
            .as_ref()
            .map(|listener| listener.local_addr().expect("invariant: a listening socket has an address"))
    }
}

async fn listen(key: &'static str, addr: &str) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|source| Error::Bind { key, addr: addr.to_owned(), source })
}

/// The servers of a store while they run.
pub(super) struct Edge {
    grpc: JoinHandle<Result<()>>,
    status: Option<JoinHandle<Result<()>>>,
    health: tonic_health::server::HealthReporter,
    /// Stops the two servers and the streams of the service.
    trigger: StopTrigger,
    stop_timeout: Duration,
    log: Logger,
}

impl Edge {
    /// Serves `service` and `source`. `trigger` must be the one whose signal the service listens to.
    pub(super) async fn start<S: Storage, I: RaftInbox + RegionSplitter>(
        ports: Ports,
        service: TikvService<S, I>,
        source: Arc<dyn StatusSource>,
        metrics: Arc<Metrics>,
        config: &Config,
        (trigger, signal): (StopTrigger, StopSignal),
        log: &Logger,
    ) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", ServingStatus::Serving).await;
        health.set_service_status("tikvpb.Tikv", ServingStatus::Serving).await;
        let limit = config.server.grpc_max_message_size.as_usize();
        let tikv = TikvServer::new(service).max_decoding_message_size(limit);
        let services = Dispatch { tikv, health: health_service };
        let server = builder(&config.server);
        let incoming = TcpIncoming::from(ports.grpc).with_nodelay(Some(true));
        let grpc_stop = signal.clone();
        let grpc = tokio::spawn(async move {
            server
                .serve_with_incoming_shutdown(services, incoming, grpc_stop.stopped())
                .await
                .map_err(|e| Error::Serve { server: "gRPC", reason: e.to_string() })
        });
        let status = ports.status.map(|listener| tokio::spawn(status::serve(listener, source, metrics, signal)));
        let stop_timeout = config.server.stop_timeout.duration();
        Self { grpc, status, health, trigger, stop_timeout, log: log.clone() }
    }

    /// Runs until `stop` or until one of the servers fails, then ends both; requests that run get `stop-timeout` to finish.
    pub(super) async fn run(mut self, stop: StopSignal) -> Result<()> {
        let result = tokio::select! {
            () = stop.stopped() => Ok(()),
            ended = &mut self.grpc => ended.unwrap_or_else(|e| Err(super::panicked(&e))),
        };
        info!(self.log, "stopping: no new requests");
        self.health.set_service_status("", ServingStatus::NotServing).await;
        self.health.set_service_status("tikvpb.Tikv", ServingStatus::NotServing).await;
        self.trigger.stop();
        if !self.grpc.is_finished() && tokio::time::timeout(self.stop_timeout, &mut self.grpc).await.is_err() {
            warn!(self.log, "requests were still running and are cut off"; "waited" => ?self.stop_timeout);
            self.grpc.abort();
        }
        if let Some(status) = self.status {
            // A reader of /metrics that keeps its connection open must not hold the stop up.
            status.abort();
        }
        result
    }
}

fn builder(config: &ServerConfig) -> Server {
    let window = |size: crate::config::ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX >> 1);
    Server::builder()
        .initial_stream_window_size(window(config.grpc_stream_window))
        .initial_connection_window_size(window(config.grpc_connection_window))
        .max_concurrent_streams(config.grpc_concurrent_streams)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .tcp_nodelay(true)
}
