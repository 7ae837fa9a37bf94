//! The status port: plain HTTP for people, scripts and Prometheus.
//!
//! `GET /status` answers JSON ([`StatusReport`]), `GET /metrics` the Prometheus text format, `GET /` a line on both. Nothing
//! here changes anything, and nothing waits for raft: the numbers are what the peers last published.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::stop::StopSignal;
use crate::{Error, Result};

/// What `/status` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Id of this store; 0 in a standalone server.
    pub store_id: u64,
    /// Id of the cluster; 0 in a standalone server.
    pub cluster_id: u64,
    /// Version of this program.
    pub version: String,
    /// `standalone` or `replicated`.
    pub mode: String,
    /// Address that clients use.
    pub addr: String,
    /// Id of this process.
    pub pid: u32,
    /// The peers on this store, by region id.
    pub regions: Vec<RegionStatus>,
}

/// One peer of `/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionStatus {
    /// Id of the region.
    pub id: u64,
    /// First key, in hexadecimal; empty = the beginning of all keys.
    pub start_key: String,
    /// End of the keys, exclusive, in hexadecimal; empty = the end of all keys.
    pub end_key: String,
    /// Epoch: changes of membership.
    pub conf_ver: u64,
    /// Epoch: splits.
    pub version: u64,
    /// Id of the peer on this store.
    pub peer_id: u64,
    /// `leader`, `follower`, `candidate`, ...
    pub role: String,
    /// Peer id of the leader as this peer knows it; 0 = unknown.
    pub leader: u64,
    /// Store of that leader; 0 = unknown.
    pub leader_store_id: u64,
    /// Raft term.
    pub term: u64,
    /// Last committed index.
    pub commit: u64,
    /// Last applied index.
    pub applied: u64,
    /// Last index of the log.
    pub last: u64,
    /// All peers of the region.
    pub peers: Vec<PeerAddress>,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerAddress {
    /// Id of the peer.
    pub id: u64,
    /// Id of its store.
    pub store_id: u64,
}

/// Who knows the numbers. Called from HTTP tasks; must not block for long.
pub trait StatusSource: Send + Sync + 'static {
    /// The report for `/status`.
    fn report(&self) -> StatusReport;
    /// Brings gauges and copied counters of `metrics` up to date, before they are printed.
    fn refresh(&self, metrics: &Metrics);
}

/// A key as `/status` prints it.
pub fn hex(key: &[u8]) -> String {
    use std::fmt::Write as _;
    key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: writing into a string cannot fail");
        text
    })
}

#[derive(Clone)]
struct Shared {
    source: Arc<dyn StatusSource>,
    metrics: Arc<Metrics>,
}

/// Serves the status port until `stop`.
///
/// # Errors
/// [`Error::Serve`] if the listener fails.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn StatusSource>,
    metrics: Arc<Metrics>,
    stop: StopSignal,
) -> Result<()> {
    let routes = Router::new()
        .route("/", get(|| async { "tinykv store: see /status (JSON) and /metrics (Prometheus)\n" }))
        .route("/status", get(status))
        .route("/metrics", get(print_metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not here: try /status or /metrics\n") })
        .with_state(Shared { source, metrics });
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.stopped())
        .await
        .map_err(|e| Error::Serve { server: "status", reason: e.to_string() })
}

async fn status(State(shared): State<Shared>) -> Json<StatusReport> {
    Json(shared.source.report())
}

async fn print_metrics(State(shared): State<Shared>) -> Response {
    shared.source.refresh(&shared.metrics);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.encode()).into_response()
}
