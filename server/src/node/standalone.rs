//! `--standalone`: one node, one engine, no replication.

use std::sync::Arc;

use futures_util::FutureExt;
use proto::kvrpcpb;
use slog::{Logger, info};
use storage::raw::{Limits, WallClock};
use storage::{CasOutcome, CompareAndSwap, Engine, Modify, RegionReader, Standalone, Storage};

use super::{Edge, Node, Ports};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::service::TikvService;
use crate::service::raft::NoRaft;
use crate::service::raw::RawCommands;
use crate::status::{StatusReport, StatusSource};
use crate::{Result, stop};

/// The limits of the raw API that the configuration sets.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        max_key_len: config.storage.max_key_size.as_usize(),
        max_value_len: config.raftstore.max_entry_size.as_usize(),
        max_scan_limit: config.storage.max_scan_limit as usize,
        max_response_bytes: config.storage.max_response_size.as_usize(),
    }
}

/// Serves `engine` on `ports`. `at_end` runs after the last request, to write the engine out.
///
/// # Errors
/// None for now; a start that can fail keeps its signature.
pub async fn serve<E: Engine>(
    ports: Ports,
    engine: E,
    config: &Config,
    log: &Logger,
    at_end: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<Node> {
    let (addr, status_addr) = (ports.addr(), ports.status_addr());
    let metrics = Arc::new(Metrics::new());
    let clock: Arc<dyn WallClock> = Arc::new(SystemClock);
    let storage = Pooled { inner: Standalone::new(engine) };
    let (servers, servers_stop) = stop::pair();
    let raw = RawCommands::new(storage, limits(config), clock, 0, metrics.clone());
    let concurrency = config.server.batch_concurrency;
    let service = TikvService::new(raw, NoRaft, concurrency, metrics.clone(), servers_stop.clone());
    let source = Arc::new(StandaloneStatus { addr: addr.to_string() });
    let edge = Edge::start(ports, service, source, metrics, config, (servers, servers_stop), log).await;
    info!(log, "serving"; "mode" => "standalone", "addr" => %addr, "status_addr" => ?status_addr);
    let (trigger, signal) = stop::pair();
    let task = tokio::spawn(async move {
        let result = edge.run(signal).await;
        result.and(at_end())
    });
    Ok(Node { addr, status_addr, trigger, task })
}

struct StandaloneStatus {
    addr: String,
}

impl StatusSource for StandaloneStatus {
    fn report(&self) -> StatusReport {
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: "standalone".to_owned(),
            addr: self.addr.clone(),
            pid: std::process::id(),
            ..Default::default()
        }
    }

    fn refresh(&self, _metrics: &Metrics) {}
}

/// [`Standalone`] with its writes, which wait for the disk, moved off the threads of the async runtime. The engine joins the
/// syncs of writes that are under way at the same time.
#[derive(Clone)]
struct Pooled<E: Engine> {
    inner: Standalone<E>,
}

impl<E: Engine> Pooled<E> {
    async fn in_pool<T, F, W>(&self, work: W) -> storage::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = storage::Result<T>>,
        W: FnOnce(Standalone<E>) -> F + Send + 'static,
    {
        let inner = self.inner.clone();
        let run = move || work(inner).now_or_never().expect("invariant: the standalone store never waits for a task");
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Err(storage::Error::Stopped),
        }
    }
}

impl<E: Engine> Storage for Pooled<E> {
    type Reader = E::Snapshot;

    async fn reader(&self, ctx: &kvrpcpb::Context) -> storage::Result<RegionReader<E::Snapshot>> {
        self.inner.reader(ctx).await
    }

    async fn write(&self, ctx: &kvrpcpb::Context, modifies: Vec<Modify>) -> storage::Result<()> {
        let ctx = ctx.clone();
        self.in_pool(|inner| async move { inner.write(&ctx, modifies).await }).await
    }

    async fn compare_and_swap(&self, ctx: &kvrpcpb::Context, cas: CompareAndSwap) -> storage::Result<CasOutcome> {
        let ctx = ctx.clone();
        self.in_pool(|inner| async move { inner.compare_and_swap(&ctx, cas).await }).await
    }
}
