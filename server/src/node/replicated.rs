//! A member of a cluster: raftstore on threads of its own, the network and the scheduler around it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use client::SchedulerClient;
use proto::kvrpcpb::Context;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, BatchSplitRequest, SplitRequest};
use proto::raft_serverpb::{RaftMessage, StoreIdent};
use raftstore::peer::PeerStatus;
use raftstore::snapshot::SnapshotStore;
use raftstore::split::SplitLimits;
use raftstore::store::Layout;
use raftstore::threads::{self, RunningStore};
use raftstore::{AdminCommand, Engines, Router};
use slog::{Logger, info, warn};
use storage::Engine;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::bootstrap::{self, raftstore_error, scheduler_error};
pub(super) use super::bootstrap::{identity, wrong_cluster};
use super::scheduler_link::{Link, LinkTask, StoreAddresses};
use super::{Edge, Node, Ports};
use crate::clock::SystemClock;
use crate::config::{Config, Millis, RaftstoreConfig};
use crate::metrics::Metrics;
use crate::raft_storage::RaftStorage;
use crate::service::TikvService;
use crate::service::raft::RaftInbox;
use crate::service::raw::RawCommands;
use crate::service::region_error::Failure;
use crate::service::split::RegionSplitter;
use crate::snapshot_folder::SnapshotFolder;
use crate::snapshots::SnapshotTraffic;
use crate::status::{PeerAddress, RegionStatus, StatusReport, StatusSource, hex};
use crate::stop::StopSignal;
use crate::transport::{Addresses, RaftTransport, Unreachable};
use crate::{Error, Result, stop};

/// One try to reach the scheduler at the start, before it is said again that it is waited for.
const SCHEDULER_PATIENCE: Duration = Duration::from_secs(30);
/// A log keeps what a member needs that is restoring a snapshot, for this long.
const SNAPSHOT_WAIT: Millis = Millis(60_000);
/// How often files of snapshots that nobody needs are looked for.
const SNAPSHOT_GC: Millis = Millis(60_000);

/// What the engines of this process can tell beyond the [`Engine`] trait.
pub trait EngineExtras: Send + Sync + 'static {
    /// Bytes of memory, by part.
    fn memory(&self) -> Vec<(&'static str, u64)>;
}

/// Which store of which cluster this is.
pub struct Membership {
    /// The identity in the engines.
    pub ident: StoreIdent,
    /// The cluster's scheduler.
    pub scheduler: SchedulerClient,
}

/// Joins the cluster and serves `engines` on `ports`. `at_end` runs once raft has stopped, to write the engines out.
///
/// Waits for enough other stores if the cluster is new.
///
/// # Errors
/// The store was removed from the cluster, the scheduler or the engines fail.
pub async fn serve<E: Engine>(
    ports: Ports,
    engines: Engines<E>,
    Membership { ident, scheduler }: Membership,
    extras: Vec<(&'static str, Arc<dyn EngineExtras>)>,
    config: &Config,
    log: &Logger,
    at_end: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<Node> {
    let (addr, status_addr) = (ports.addr(), ports.status_addr());
    let config = &with_real_ports(config, &ports);
    let store = bootstrap::register(&ident, config, &scheduler).await?;
    bootstrap::first_regions(&engines, &store, &scheduler, log).await?;

    let metrics = Arc::new(Metrics::new());
    let lost = LostMessages::<E>::default();
    let snapshots = SnapshotFolder::open(config.storage.data_dir.join("snap"))?;
    let snapshots = SnapshotStore::new(Arc::new(snapshots), engines.kv.clone());
    let max_message_size = config.server.grpc_max_message_size.as_usize();
    let traffic = SnapshotTraffic::new(snapshots.clone(), &config.raftstore, max_message_size, &metrics, log.clone());
    let transport = RaftTransport::new(
        StoreAddresses::new(scheduler.clone()),
        lost.clone(),
        metrics.clone(),
        log.clone(),
        Handle::current(),
        config.raftstore.send_queue_capacity,
        max_message_size,
        traffic.clone(),
    );
    let (link, orders) = Link::new(&scheduler, log);
    let layout = Layout {
        log_writer: config.raftstore.store_io_threads > 0,
        background_workers: config.raftstore.background_threads,
        ..Layout::default()
    };
    let settings = raft_settings(&config.raftstore, election_seed(ident.store_id));
    let parts = raftstore::build(settings, layout, engines, snapshots, transport.clone(), link.clone(), log)
        .map_err(raftstore_error)?;
    let router = parts.router.clone();
    let link_task = link.start(orders, router.clone(), &config.storage.data_dir);
    lost.0.set(router.clone()).unwrap_or_else(|_| unreachable!("invariant: the router is set once"));
    let running = threads::start(parts, config.raftstore.raft_tick.duration(), log).map_err(raftstore_error)?;

    let limits = super::standalone::limits(config);
    let storage = RaftStorage::new(router.clone());
    let raw = RawCommands::new(storage, limits, Arc::new(SystemClock), ident.cluster_id, metrics.clone());
    let inbox = Inbox { store_id: ident.store_id, router: router.clone(), transport: transport.clone() };
    let (servers, servers_stop) = stop::pair();
    let concurrency = config.server.batch_concurrency;
    let service = TikvService::new(raw, inbox, concurrency, metrics.clone(), servers_stop.clone());
    let service = service.with_snapshots(traffic);
    let source = ReplicatedStatus {
        store_id: ident.store_id,
        cluster_id: ident.cluster_id,
        addr: config.server.public_addr().to_owned(),
        router,
        extras,
    };
    let edge = Edge::start(ports, service, Arc::new(source), metrics, config, (servers, servers_stop), log).await;
    info!(log, "serving"; "mode" => "replicated", "store" => ident.store_id, "addr" => %addr,
        "status_addr" => ?status_addr);
    let (trigger, signal) = stop::pair();
    let member = Member { edge, running, transport, link_task, log: log.clone() };
    let task = tokio::spawn(async move {
        let result = member.run(signal).await;
        result.and(at_end())
    });
    Ok(Node { addr, status_addr, trigger, task })
}

/// A configuration that asked for port 0 gets the ports it was given, so that the registered addresses are right.
fn with_real_ports(config: &Config, ports: &Ports) -> Config {
    let mut config = config.clone();
    if config.server.addr.ends_with(":0") {
        config.server.addr = ports.addr().to_string();
    }
    if let Some(addr) = ports.status_addr().filter(|_| config.server.status_addr.ends_with(":0")) {
        config.server.status_addr = addr.to_string();
    }
    config
}

/// Connects to the scheduler, waiting for it as long as it takes.
///
/// # Errors
/// Something else answers at its address.
pub async fn connect(config: &Config, log: &Logger) -> Result<SchedulerClient> {
    loop {
        let endpoints = config.scheduler.endpoints.clone();
        match SchedulerClient::connect_within(endpoints, SCHEDULER_PATIENCE, log.clone()).await {
            Ok(scheduler) => return Ok(scheduler),
            Err(error) if error.is_retryable() => {
                warn!(log, "still waiting for the scheduler"; "error" => %error);
            }
            Err(error) => return Err(scheduler_error(error)),
        }
    }
}

/// Different for each store and each start, so that two stores do not campaign at the same moments again and again.
fn election_seed(store_id: u64) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (since.as_nanos() as u64).rotate_left(17) ^ store_id.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn raft_settings(config: &RaftstoreConfig, seed: u64) -> raftstore::Config {
    let ticks = |time: Millis| (time.0 / config.raft_tick.0).max(1);
    raftstore::Config {
        election_ticks: config.election_ticks,
        heartbeat_ticks: config.heartbeat_ticks,
        region_heartbeat_ticks: ticks(config.region_heartbeat),
        store_heartbeat_ticks: ticks(config.store_heartbeat),
        log_gc_ticks: ticks(config.log_gc_interval),
        log_gc_threshold: config.log_gc_threshold,
        split_check_ticks: ticks(config.split_check_interval),
        split: SplitLimits {
            max_bytes: config.region_max_size.0,
            split_bytes: config.region_split_size.0,
            max_keys: config.region_max_keys,
            split_keys: config.region_split_keys,
            ..SplitLimits::default()
        },
        log_gc_count_limit: config.log_gc_count_limit,
        log_gc_size_limit: config.log_gc_size_limit.0,
        snapshot_wait_ticks: ticks(SNAPSHOT_WAIT),
        snapshot_gc_ticks: ticks(SNAPSHOT_GC),
        max_leader_missing_ticks: ticks(config.max_leader_missing),
        mailbox_capacity: config.mailbox_capacity,
        max_entry_bytes: config.max_entry_size.0,
        seed,
        ..raftstore::Config::default()
    }
}

/// Everything of a running member that has to be stopped.
struct Member<E: Engine> {
    edge: Edge,
    running: RunningStore<E>,
    transport: RaftTransport<StoreAddresses, LostMessages<E>>,
    link_task: LinkTask,
    log: Logger,
}

impl<E: Engine> Member<E> {
    async fn run(self, stop: StopSignal) -> Result<()> {
        let (failed, failure) = oneshot::channel();
        let fatal = self.running.fatal().clone();
        // Its only job is to wait; it ends with the threads of the store.
        let waiter = std::thread::Builder::new().name("fatal".to_owned()).spawn(move || {
            if let Ok(error) = fatal.recv() {
                let _stopping = failed.send(error);
            }
        });
        waiter.map_err(|e| Error::Raftstore(format!("cannot start a thread: {e}")))?;
        let (servers, servers_stop) = stop::pair();
        let serving = self.edge.run(servers_stop);
        tokio::pin!(serving);
        let result = tokio::select! {
            served = &mut serving => served,
            () = stop.stopped() => {
                servers.stop();
                serving.await
            }
            Ok(error) = failure => {
                servers.stop();
                serving.await.and(Err(raftstore_error(error)))
            }
        };
        drop(self.link_task);
        let running = self.running;
        if tokio::task::spawn_blocking(move || running.stop()).await.is_err() {
            warn!(self.log, "a thread of the store failed while stopping");
        }
        self.transport.stop();
        result
    }
}

/// Tells the router about lost messages, once there is one: the transport is made first.
struct LostMessages<E: Engine>(Arc<OnceLock<Router<E>>>);

impl<E: Engine> Default for LostMessages<E> {
    fn default() -> Self {
        Self(Arc::new(OnceLock::new()))
    }
}

impl<E: Engine> Clone for LostMessages<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Engine> Unreachable for LostMessages<E> {
    fn report(&self, store_id: u64) {
        if let Some(router) = self.0.get() {
            router.unreachable(store_id);
        }
    }

    fn snapshot_sent(&self, region_id: u64, to_peer: u64, ok: bool) {
        if let Some(router) = self.0.get() {
            router.snapshot_status(region_id, to_peer, ok);
        }
    }
}

impl<A: Addresses, U: Unreachable> raftstore::Transport for RaftTransport<A, U> {
    fn send(&mut self, message: RaftMessage) {
        RaftTransport::send(self, message);
    }

    fn flush(&mut self) {
        RaftTransport::flush(self);
    }
}

/// Where messages of other stores go.
struct Inbox<E: Engine> {
    store_id: u64,
    router: Router<E>,
    transport: RaftTransport<StoreAddresses, LostMessages<E>>,
}

impl<E: Engine> Clone for Inbox<E> {
    fn clone(&self) -> Self {
        Self { store_id: self.store_id, router: self.router.clone(), transport: self.transport.clone() }
    }
}

impl<E: Engine> RaftInbox for Inbox<E> {
    fn store_id(&self) -> u64 {
        self.store_id
    }

    fn deliver(&self, message: RaftMessage) {
        self.router.raft_message(message);
    }

    fn heard_from(&self, store_id: u64) {
        self.transport.heard_from(store_id);
    }
}

impl<E: Engine> RegionSplitter for Inbox<E> {
    async fn split(&self, ctx: &Context, keys: Vec<Bytes>) -> std::result::Result<Vec<Region>, Failure> {
        let (sender, answer) = oneshot::channel();
        let callback = Box::new(move |result| {
            // A client that has gone away does not wait for its answer.
            let _gone = sender.send(result);
        });
        let requests = keys.into_iter().map(|split_key| SplitRequest { split_key, ..Default::default() }).collect();
        let splits = Some(BatchSplitRequest { requests, ..Default::default() });
        let request = AdminRequest { cmd_type: AdminCmdType::BatchSplit as i32, splits, ..Default::default() };
        self.router.admin(AdminCommand { header: ctx.into(), request, callback });
        match answer.await {
            Ok(Ok(response)) => Ok(response.splits.unwrap_or_default().regions),
            Ok(Err(error)) => Err(match error.to_region_error() {
                Some(region_error) => Failure::Region(Box::new(region_error)),
                None => Failure::Text(error.to_string()),
            }),
            Err(_) => Err(Failure::Text("the store is stopping; whether the region was split is unknown".to_owned())),
        }
    }
}

struct ReplicatedStatus<E: Engine> {
    store_id: u64,
    cluster_id: u64,
    addr: String,
    router: Router<E>,
    extras: Vec<(&'static str, Arc<dyn EngineExtras>)>,
}

impl<E: Engine> StatusSource for ReplicatedStatus<E> {
    fn report(&self) -> StatusReport {
        StatusReport {
            store_id: self.store_id,
            cluster_id: self.cluster_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: "replicated".to_owned(),
            addr: self.addr.clone(),
            pid: std::process::id(),
            regions: self.router.statuses().into_iter().map(region_status).collect(),
        }
    }

    fn refresh(&self, metrics: &Metrics) {
        let statuses = self.router.statuses();
        let leads = |status: &&PeerStatus| status.leader.as_ref().is_some_and(|l| l.id == status.peer.id);
        metrics.regions.set(i64::try_from(statuses.len()).unwrap_or(i64::MAX));
        metrics.leaders.set(i64::try_from(statuses.iter().filter(leads).count()).unwrap_or(i64::MAX));
        for (engine, extras) in &self.extras {
            for (part, bytes) in extras.memory() {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                metrics.engine_memory.with_label_values(&[engine, part]).set(bytes);
            }
        }
        metrics.copy_raftstore(&self.router.metrics().all());
    }
}

fn region_status(status: PeerStatus) -> RegionStatus {
    let epoch = status.region.region_epoch.unwrap_or_default();
    let leader = status.leader.unwrap_or_default();
    RegionStatus {
        id: status.region.id,
        start_key: hex(&status.region.start_key),
        end_key: hex(&status.region.end_key),
        conf_ver: epoch.conf_ver,
        version: epoch.version,
        peer_id: status.peer.id,
        role: format!("{:?}", status.role).to_lowercase(),
        leader: leader.id,
        leader_store_id: leader.store_id,
        term: status.term,
        commit: status.commit,
        applied: status.applied,
        last: status.last,
        peers: status.region.peers.iter().map(|p| PeerAddress { id: p.id, store_id: p.store_id }).collect(),
    }
}
