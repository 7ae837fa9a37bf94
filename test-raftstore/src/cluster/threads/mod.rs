//! Lab tests for real: stores on the threads of production, clients on threads, a clock that runs by itself.
//!
//! What cannot be seen here are the beliefs of peers between two steps, so most of the simulator's invariants are not checked. What is:
//! the clients' history, equal data after equal logs, and the ranges of regions.
//!
//! | file | what it holds |
//! |---|---|
//! | `disk.rs` | engines that a crash cuts off |
//! | `network.rs` | the links between stores |
//! | `client.rs` | a client |

mod client;
pub mod disk;
mod network;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use proto::metapb::Region;
use proto::pdpb::{RegionHeartbeatRequest, StoreStats};
use proto::raft_cmdpb::{AdminRequest, AdminResponse, Request, Response};
use proto::raft_serverpb::{RaftApplyState, RegionLocalState, StoreIdent};
use raftstore::orders::command_of;
use raftstore::peer::PeerStatus;
use raftstore::snapshot::{MemDir, SnapshotStore};
use raftstore::store::{Layout, bootstrap};
use raftstore::threads::RunningStore;
use raftstore::{
    AdminCommand, Config, Engines, ReadCommand, RegionCallback, RegionSnapshot, RequestHeader, SchedulerLink,
    SplitIdsCallback, WriteCommand, keys,
};
use slog::{Discard, Logger, o};
use storage::{Cf, Engine, Reader};

use self::disk::{Cut, LabEngine};
use self::network::{Routers, ThreadNetwork};
use super::PATIENCE;
use super::driver::{Driver, Pending, Step, Summary, lock};
use super::work::Work;
use crate::clock::VirtualTime;
use crate::history::History;
use crate::linearizability::{self, Verdict};
use crate::network::LinkQuality;
use crate::rng::SeededRng;
use crate::sim::lab::{count_bytes, read_raw, regions_of};
use crate::sim::{SimScheduler, check_cover, summarize};
use crate::verdict::{Failure, FailureKind};

/// How long a tick of the raft clock takes.
pub const TICK: Duration = Duration::from_millis(20);

/// What clients and stores share.
pub struct Shared<E: Engine> {
    seed: u64,
    began: Instant,
    routers: Routers<E>,
    scheduler: Arc<SimScheduler>,
    history: Mutex<History>,
    complaint: Mutex<Option<String>>,
}

impl<E: Engine> Shared<E> {
    fn now(&self) -> VirtualTime {
        VirtualTime::from_micros(self.began.elapsed().as_micros() as u64)
    }

    fn rng(&self, client: u64) -> SeededRng {
        SeededRng::stream(self.seed, &format!("client {client}"))
    }
}

/// A scheduler that hears at once, and whose orders are there at once.
struct NearScheduler<E: Engine> {
    scheduler: Arc<SimScheduler>,
    routers: Routers<E>,
    began: Instant,
}

impl<E: Engine> NearScheduler<E> {
    fn pass_on(&self) {
        for mail in self.scheduler.take_mail() {
            let answer = self.scheduler.deliver(mail, self.began.elapsed().as_millis() as u64);
            let Some((header, request)) = answer.and_then(command_of) else { continue };
            let router = lock(&self.routers).get(&header.peer.store_id).cloned();
            if let Some(router) = router {
                // What is not done is ordered again with the next report.
                router.admin(AdminCommand { header, request, callback: Box::new(drop) });
            }
        }
    }
}

impl<E: Engine> SchedulerLink for NearScheduler<E> {
    fn region_heartbeat(&self, heartbeat: RegionHeartbeatRequest) {
        self.scheduler.region_heartbeat(heartbeat);
        self.pass_on();
    }

    fn store_heartbeat(&self, stats: StoreStats) {
        self.scheduler.store_heartbeat(stats);
    }

    fn ask_split(&self, region: Region, new_regions: u32, callback: SplitIdsCallback) {
        self.scheduler.ask_split(region, new_regions, callback);
        self.pass_on();
    }

    fn ask_region(&self, region_id: u64, callback: RegionCallback) {
        self.scheduler.ask_region(region_id, callback);
        self.pass_on();
    }

    fn report_split(&self, parts: Vec<Region>) {
        self.scheduler.report_split(parts);
        self.pass_on();
    }
}

struct ThreadStore<E: LabEngine> {
    folder: PathBuf,
    /// `None` while nobody has them open.
    engines: Option<Engines<Cut<E>>>,
    snapshots: SnapshotStore,
    running: Option<RunningStore<Cut<E>>>,
}

struct ThreadClient {
    thread: JoinHandle<Work>,
    stop: Arc<AtomicBool>,
}

/// See the module.
pub struct ThreadCluster<E: LabEngine> {
    name: String,
    config: Config,
    layout: Layout,
    stores: BTreeMap<u64, ThreadStore<E>>,
    clients: BTreeMap<u64, ThreadClient>,
    shared: Arc<Shared<Cut<E>>>,
    network: ThreadNetwork<Cut<E>>,
    rng: SeededRng,
    crashes: u64,
    folder: Option<tempfile::TempDir>,
    failed: Cell<bool>,
}

impl<E: LabEngine> ThreadCluster<E> {
    /// Stores with the first regions, running.
    ///
    /// # Panics
    /// If a store cannot be made or started.
    pub fn new(name: &str, seed: u64, stores: u64, config: Config, layout: Layout) -> Self {
        let ids: Vec<u64> = (1..=stores).collect();
        let (scheduler, regions) = SimScheduler::new(&ids, ids.len());
        let network = ThreadNetwork::new(SeededRng::stream(seed, "network"));
        let folder = tempfile::Builder::new().prefix(&format!("lab-{name}-")).tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("no folder for the stores: {error}"));
        let shared = Shared {
            seed,
            began: Instant::now(),
            routers: network.routers().clone(),
            scheduler: Arc::new(scheduler),
            history: Mutex::default(),
            complaint: Mutex::default(),
        };
        let mut cluster = Self {
            name: name.to_owned(),
            config,
            layout,
            stores: BTreeMap::new(),
            clients: BTreeMap::new(),
            shared: Arc::new(shared),
            network,
            rng: SeededRng::stream(seed, "crashes"),
            crashes: 0,
            folder: Some(folder),
            failed: Cell::new(false),
        };
        for id in ids {
            cluster.create(id, &regions).unwrap_or_else(|error| panic!("store {id} cannot be made: {error}"));
        }
        cluster
    }

    fn create(&mut self, id: u64, regions: &[Region]) -> raftstore::Result<()> {
        let folder =
            self.folder.as_ref().expect("invariant: a folder until the end").path().join(format!("store-{id}"));
        let engines = open::<E>(&folder)?;
        bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id: id, ..Default::default() })?;
        for region in regions {
            bootstrap::create_initial_peer(&engines, id, region)?;
        }
        let snapshots = SnapshotStore::new(Arc::new(MemDir::new()));
        lock(self.network.folders()).insert(id, snapshots.clone());
        self.stores.insert(id, ThreadStore { folder, engines: Some(engines), snapshots, running: None });
        self.run_store(id)
    }

    fn run_store(&mut self, id: u64) -> raftstore::Result<()> {
        let logger = Logger::root(Discard, o!());
        let store = self.stores.get_mut(&id).unwrap_or_else(|| panic!("contract of the test: no store {id}"));
        let engines = match &store.engines {
            Some(engines) => engines.clone(),
            None => store.engines.insert(open::<E>(&store.folder)?).clone(),
        };
        let scheduler = Arc::new(NearScheduler {
            scheduler: self.shared.scheduler.clone(),
            routers: self.shared.routers.clone(),
            began: self.shared.began,
        });
        let (config, snapshots, wire) = (self.config.clone(), store.snapshots.clone(), self.network.wire());
        let parts = raftstore::build(config, self.layout, engines, snapshots, wire, scheduler, &logger)?;
        lock(self.network.routers()).insert(id, parts.router.clone());
        store.running = Some(raftstore::threads::start(parts, TICK, &logger)?);
        Ok(())
    }

    fn stop_all(&mut self) {
        self.clients.values().for_each(|client| client.stop.store(true, Ordering::Relaxed));
        for client in std::mem::take(&mut self.clients).into_values() {
            // A client that panicked has printed why.
            let _ = client.thread.join();
        }
        lock(self.network.routers()).clear();
        self.stores.values_mut().filter_map(|store| store.running.take()).for_each(RunningStore::stop);
    }

    fn check_alive(&self) -> Step {
        if let Some(complaint) = lock(&self.shared.complaint).clone() {
            return Err(self.verdict(FailureKind::Safety, "CLIENT-READ", complaint));
        }
        for (id, store) in &self.stores {
            let fatal = store.running.as_ref().and_then(|running| running.fatal().try_recv().ok());
            if let Some(error) = fatal {
                let details = format!("store {id} has stopped by itself: {error}");
                return Err(self.verdict(FailureKind::Contract, "STORE-ERROR", details));
            }
        }
        Ok(())
    }

    fn kv(&self, store: u64) -> Option<&Cut<E>> {
        self.stores.get(&store)?.engines.as_ref().map(|engines| &engines.kv)
    }

    fn regions_on(&self, store: u64) -> Vec<Region> {
        regions_of(&self.region_states(store))
    }

    /// Replicas at the same applied index hold the same data, and the regions cover the key space.
    fn check_replicas(&self) -> Result<(), (&'static str, String)> {
        let known = self.shared.scheduler.regions();
        check_cover(&known).map_err(|details| ("S-COVER", details))?;
        for region in known {
            let mut first = None;
            for peer in &region.peers {
                let Some(kv) = self.kv(peer.store_id) else { continue };
                let snapshot = kv.snapshot();
                let Some(applied) = applied_of(&snapshot, region.id) else { continue };
                let state = (applied, summarize(&snapshot, &region).digest);
                let (first_state, first_store) = *first.get_or_insert((state, peer.store_id));
                if first_state.0 == applied && first_state != state {
                    let (id, other) = (region.id, peer.store_id);
                    let details = format!(
                        "region {id}: with all applied up to {applied}, stores {first_store} and {other} hold different data"
                    );
                    return Err(("R-APPLY-SAME", details));
                }
            }
        }
        Ok(())
    }
}

fn open<E: LabEngine>(folder: &Path) -> raftstore::Result<Engines<Cut<E>>> {
    let engine = |name: &str| open_engine(folder, name).map(Cut::new);
    Ok(Engines { kv: engine("kv")?, raft: engine("raft")? })
}

/// A thread that was at work in the store when it crashed lets go of its engines a moment later.
fn open_engine<E: LabEngine>(folder: &Path, name: &str) -> storage::Result<E> {
    for _ in 0..PATIENCE {
        match E::open(folder, name) {
            Err(storage::Error::Busy { .. }) => thread::sleep(TICK),
            other => return other,
        }
    }
    E::open(folder, name)
}

fn applied_of(reader: &impl Reader, region: u64) -> Option<u64> {
    let record = reader.get(Cf::Raft, &keys::apply_state(region)).ok().flatten()?;
    RaftApplyState::decode(record).ok().map(|state| state.applied_index)
}

impl<E: LabEngine> Driver for ThreadCluster<E> {
    fn advance(&mut self, ticks: u64) -> Step {
        for _ in 0..ticks {
            self.check_alive()?;
            thread::sleep(TICK);
        }
        self.check_alive()
    }

    fn start_client(&mut self, work: Work) {
        let (id, stop, shared) = (work.client(), Arc::new(AtomicBool::new(false)), self.shared.clone());
        let asked_to_stop = stop.clone();
        let thread = thread::spawn(move || client::run(&shared, work, &asked_to_stop));
        self.clients.insert(id, ThreadClient { thread, stop });
    }

    fn abandon_client(&mut self, client: u64) {
        if let Some(client) = self.clients.get(&client) {
            client.stop.store(true, Ordering::Relaxed);
        }
    }

    fn finished_clients(&mut self) -> Vec<Work> {
        let done = self.clients.iter().filter(|(_, client)| client.thread.is_finished());
        let done: Vec<u64> = done.map(|(id, _)| *id).collect();
        let threads = done.into_iter().filter_map(|id| self.clients.remove(&id));
        threads.filter_map(|client| client.thread.join().ok()).filter(Work::is_done).collect()
    }

    fn describe_clients(&self) -> String {
        let history = lock(&self.shared.history);
        let open = history.records().iter().filter(|record| record.completed.is_none());
        open.map(|record| format!("{record}\n")).collect()
    }

    fn set_links(&mut self, quality: LinkQuality) {
        self.network.links().set_quality(quality);
    }

    fn partition(&mut self, side: &BTreeSet<u64>) {
        let all: Vec<u64> = self.stores.keys().copied().collect();
        self.network.links().partition(side, &all);
    }

    fn heal_network(&mut self) {
        self.network.links().heal();
    }

    fn crash(&mut self, id: u64) -> Step {
        lock(self.network.routers()).remove(&id);
        let Some(store) = self.stores.get_mut(&id) else { return Ok(()) };
        let (Some(running), Some(engines)) = (store.running.take(), store.engines.take()) else { return Ok(()) };
        engines.kv.cut();
        engines.raft.cut();
        let kv = engines.kv.inner().after_crash(&mut self.rng);
        let raft = engines.raft.inner().after_crash(&mut self.rng);
        running.stop();
        drop(engines);
        store.engines = kv.zip(raft).map(|(kv, raft)| Engines { kv: Cut::new(kv), raft: Cut::new(raft) });
        self.crashes += 1;
        Ok(())
    }

    fn start(&mut self, store: u64) -> Step {
        self.run_store(store).map_err(|error| {
            let details = format!("store {store} does not start after a crash: {error}");
            self.verdict(FailureKind::Contract, "RESTART", details)
        })
    }

    fn is_running(&self, store: u64) -> bool {
        self.stores.get(&store).is_some_and(|store| store.running.is_some())
    }

    fn statuses(&self) -> Vec<PeerStatus> {
        let running = self.stores.values().filter_map(|store| store.running.as_ref());
        running.flat_map(|running| running.router().statuses()).collect()
    }

    fn stored(&self, store: u64, cf: Cf, key: &[u8]) -> Option<Bytes> {
        if let Some(kv) = self.kv(store) {
            return kv.get(cf, key).ok().flatten();
        }
        let folder = &self.stores.get(&store)?.folder;
        open_engine::<E>(folder, "kv").ok()?.get(cf, key).ok().flatten()
    }

    fn bytes_in(&self, store: u64, region: &Region) -> u64 {
        self.kv(store).map_or(0, |kv| count_bytes(kv, region))
    }

    fn region_states(&self, store: u64) -> Vec<RegionLocalState> {
        let read = |kv: &Cut<E>| raftstore::store::region_states(kv).unwrap_or_default();
        if let Some(kv) = self.kv(store) {
            return read(kv);
        }
        let folder = self.stores.get(&store).map(|store| &store.folder);
        folder.and_then(|folder| open_engine(folder, "kv").ok()).map(|kv| read(&Cut::new(kv))).unwrap_or_default()
    }

    fn apply_state(&self, store: u64, region: u64) -> Option<RaftApplyState> {
        let record = self.stored(store, Cf::Raft, &keys::apply_state(region))?;
        RaftApplyState::decode(record).ok()
    }

    fn scheduler(&self) -> &SimScheduler {
        &self.shared.scheduler
    }

    fn now_ms(&self) -> u64 {
        self.shared.now().as_micros() / 1000
    }

    fn read_at(&mut self, store: u64, header: RequestHeader, key: Bytes) -> Step<Pending<Option<Bytes>>> {
        let (pending, callback) = Pending::new();
        let callback = Box::new(move |result: raftstore::Result<RegionSnapshot<E::Snapshot>>| {
            callback(result.map(|view| read_raw(&view.snapshot, &key)));
        });
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.read(ReadCommand { header, callback });
        }
        Ok(pending)
    }

    fn write_at(&mut self, store: u64, header: RequestHeader, request: Request) -> Step<Pending<Vec<Response>>> {
        let (pending, callback) = Pending::new();
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.write(WriteCommand { header, requests: vec![request], callback });
        }
        Ok(pending)
    }

    fn admin_at(&mut self, store: u64, header: RequestHeader, request: AdminRequest) -> Step<Pending<AdminResponse>> {
        let (pending, callback) = Pending::new();
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.admin(AdminCommand { header, request, callback });
        }
        Ok(pending)
    }

    fn has_settled(&self) -> bool {
        let regions = self.shared.scheduler.regions();
        let on_disk = self.stores.keys().flat_map(|store| self.regions_on(*store));
        if check_cover(&regions).is_err() || !on_disk.into_iter().all(|region| regions.contains(&region)) {
            return false;
        }
        let statuses = self.statuses();
        regions.iter().all(|region| {
            let peers: Vec<_> = statuses.iter().filter(|status| status.region.id == region.id).collect();
            let Some(first) = peers.first() else { return false };
            let quiet = |peer: &&&PeerStatus| {
                let applied = self.kv(peer.peer.store_id).and_then(|kv| applied_of(kv, region.id));
                applied == Some(peer.last) && (peer.last, peer.term) == (first.last, first.term)
            };
            peers.len() == region.peers.len() && peers.iter().filter(quiet).count() == peers.len()
        })
    }

    fn check_end(&mut self) -> Step {
        self.check_alive()?;
        let broken = |(id, details)| self.verdict(FailureKind::Safety, id, details);
        self.check_replicas().map_err(broken)?;
        let verdict = linearizability::check(&lock(&self.shared.history));
        let kind = match verdict {
            Verdict::Linearizable(_) => return Ok(()),
            Verdict::Illegal(_) | Verdict::Malformed { .. } => FailureKind::Safety,
            Verdict::Undecided { .. } => FailureKind::Resource,
        };
        Err(self.verdict(kind, "LINEARIZABLE", verdict.to_string()))
    }

    fn summary(&self) -> Summary {
        let network = self.network.links().counters();
        Summary {
            steps: 0,
            ticks: (self.shared.began.elapsed().as_micros() / TICK.as_micros()) as u64,
            outcomes: lock(&self.shared.history).count_outcomes(),
            crashes: self.crashes,
            snapshots: self.network.snapshots(),
            lost: network.lost,
            cut: network.cut,
            digest: 0,
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for status in self.statuses() {
            let _ = writeln!(
                text,
                "region {} store {} peer {}: {:?} in term {} (leader {:?}), truncated {} applied {} commit {} last {}, {:?}",
                status.region.id,
                status.peer.store_id,
                status.peer.id,
                status.role,
                status.term,
                status.leader.map(|leader| leader.store_id),
                status.truncated,
                status.applied,
                status.commit,
                status.last,
                status.region.region_epoch.unwrap_or_default(),
            );
        }
        text + &self.describe_clients()
    }

    fn verdict(&self, kind: FailureKind, id: &'static str, details: String) -> Box<Failure> {
        self.failed.set(true);
        let operations = lock(&self.shared.history).records().len() as u64;
        Box::new(Failure {
            kind,
            id,
            name: self.name.clone(),
            seed: self.shared.seed,
            step: operations,
            details: details.into(),
            trace: None,
            replay: String::new().into(),
        })
    }
}

impl<E: LabEngine> Drop for ThreadCluster<E> {
    fn drop(&mut self) {
        self.stop_all();
        // What a failed run leaves on disk may be what explains it.
        if let Some(folder) = self.folder.take().filter(|_| self.failed.get()) {
            println!("the stores' folders are kept in {}", folder.keep().display());
        }
    }
}
