//! Three stores in memory, run step by step on the test's own thread, over a network that delivers in order and can be cut.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use proto::{
    metapb::Region,
    pdpb,
    raft_cmdpb::{AdminRequest, AdminResponse, CmdType, DeleteRequest, PutRequest, Request, Response},
    raft_serverpb::{RaftMessage, StoreIdent},
};
use raft_core::Role;
use raftstore::{
    AdminCommand, Config, Engines, Error, ReadCommand, RegionCallback, RegionSnapshot, RequestHeader, Result,
    SchedulerLink, SplitIdsCallback, StoreParts, Transport, WriteCommand,
    snapshot::{MemDir, SnapshotId, SnapshotStore},
    store::{Layout, bootstrap},
};
use slog::{Discard, Logger, o};
use storage::{Cf, MemEngine, Reader};

pub use crate::answer::Answer;
use crate::answer::OpenCallbacks;

pub type Snapshot = <MemEngine as storage::Engine>::Snapshot;

/// Messages on their way, shared by all stores.
#[derive(Clone, Default)]
pub struct Network {
    queue: Arc<Mutex<VecDeque<RaftMessage>>>,
}

impl Transport for Network {
    fn send(&mut self, message: RaftMessage) {
        self.queue.lock().unwrap().push_back(message);
    }

    fn flush(&mut self) {}
}

/// Remembers the reports to the scheduler.
#[derive(Default)]
pub struct Reports {
    pub regions: Mutex<Vec<pdpb::RegionHeartbeatRequest>>,
    pub stores: Mutex<Vec<pdpb::StoreStats>>,
    /// Splits that were reported, each with all its parts.
    pub splits: Mutex<Vec<Vec<Region>>>,
    /// Questions for ids that were not answered because of `silent`.
    pub questions: Mutex<Vec<(Region, u32, SplitIdsCallback)>>,
    /// Ids handed out so far.
    pub ids: AtomicU64,
    /// Questions wait.
    pub silent: AtomicBool,
    /// The regions as the scheduler knows them, for peers that ask.
    pub known: Mutex<BTreeMap<u64, Region>>,
}

impl Reports {
    pub fn new_ids(&self, region: &Region, count: u32) -> Vec<pdpb::SplitId> {
        let next = || 1000 + self.ids.fetch_add(1, Ordering::Relaxed);
        let id =
            |_| pdpb::SplitId { new_region_id: next(), new_peer_ids: region.peers.iter().map(|_| next()).collect() };
        (0..count).map(id).collect()
    }

    /// Answers what waits.
    pub fn answer_questions(&self) -> usize {
        let questions = std::mem::take(&mut *self.questions.lock().unwrap());
        let count = questions.len();
        for (region, count, callback) in questions {
            callback(Ok(self.new_ids(&region, count)));
        }
        count
    }
}

impl SchedulerLink for Reports {
    fn region_heartbeat(&self, heartbeat: pdpb::RegionHeartbeatRequest) {
        self.regions.lock().unwrap().push(heartbeat);
    }

    fn store_heartbeat(&self, stats: pdpb::StoreStats) {
        self.stores.lock().unwrap().push(stats);
    }

    fn ask_split(&self, region: Region, new_regions: u32, callback: SplitIdsCallback) {
        if self.silent.load(Ordering::Relaxed) {
            return self.questions.lock().unwrap().push((region, new_regions, callback));
        }
        callback(Ok(self.new_ids(&region, new_regions)));
    }

    fn ask_region(&self, region_id: u64, callback: RegionCallback) {
        if let Some(region) = self.known.lock().unwrap().get(&region_id) {
            callback(region.clone());
        }
    }

    fn report_split(&self, parts: Vec<Region>) {
        self.splits.lock().unwrap().push(parts);
    }
}

pub struct Store {
    pub engines: Engines<MemEngine>,
    pub parts: Option<StoreParts<MemEngine, Network>>,
    /// The folder of the snapshots that it makes.
    pub dir: MemDir,
}

pub struct Cluster {
    pub stores: Vec<Store>,
    pub regions: Vec<Region>,
    pub network: Network,
    pub reports: Arc<Reports>,
    pub config: Config,
    pub layout: Layout,
    /// Stores whose messages, in and out, are lost.
    pub isolated: BTreeSet<u64>,
    /// Stores that apply nothing.
    pub lazy: BTreeSet<u64>,
    /// Stores whose background workers rest.
    pub resting: BTreeSet<u64>,
    /// Messages that are lost although nobody is isolated.
    pub lost: Box<dyn FnMut(&RaftMessage) -> bool>,
    /// Whether the next snapshot is damaged on the disk when it has arrived.
    pub damage: bool,
    /// Why the files of a snapshot could not be taken by its receiver, the last time.
    pub not_taken: Option<(u64, Error)>,
    /// Callbacks that were not called yet: their numbers and the stores that have them.
    open: OpenCallbacks,
}

pub fn logger() -> Logger {
    Logger::root(Discard, o!())
}

impl Cluster {
    pub fn new(layout: Layout) -> Self {
        // Logs that are never compacted: what is tested with these settings does not need it.
        Cluster::with_config(layout, Config { log_gc_ticks: u64::MAX >> 1, ..Config::default() })
    }

    pub fn with_config(layout: Layout, config: Config) -> Self {
        let store_ids = [1, 2, 3];
        let regions = bootstrap::initial_regions(&store_ids, &mut (10..)).unwrap();
        let mut cluster = Cluster {
            stores: Vec::new(),
            regions,
            network: Network::default(),
            reports: Arc::default(),
            config: Config { seed: 7, ..config },
            layout,
            isolated: BTreeSet::new(),
            lazy: BTreeSet::new(),
            resting: BTreeSet::new(),
            lost: Box::new(|_| false),
            damage: false,
            not_taken: None,
            open: OpenCallbacks::default(),
        };
        for store_id in store_ids {
            let engines = Engines { kv: MemEngine::new(), raft: MemEngine::new() };
            bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id, ..Default::default() }).unwrap();
            for region in &cluster.regions {
                assert!(bootstrap::create_initial_peer(&engines, store_id, region).unwrap());
            }
            cluster.stores.push(Store { engines, parts: None, dir: MemDir::new() });
            cluster.start(store_id);
        }
        cluster
    }

    pub fn store(&mut self, store_id: u64) -> &mut Store {
        &mut self.stores[store_id as usize - 1]
    }

    /// A store more, without any peer.
    pub fn add_store(&mut self) -> u64 {
        let engines = Engines { kv: MemEngine::new(), raft: MemEngine::new() };
        let store_id = self.stores.len() as u64 + 1;
        bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id, ..Default::default() }).unwrap();
        self.stores.push(Store { engines, parts: None, dir: MemDir::new() });
        self.start(store_id);
        store_id
    }

    pub fn start(&mut self, store_id: u64) {
        let engines = self.store(store_id).engines.clone();
        let (config, network, reports) = (self.config.clone(), self.network.clone(), self.reports.clone());
        let snapshots = self.snapshots(store_id);
        let parts = raftstore::build(config, self.layout, engines, snapshots, network, reports, &logger()).unwrap();
        self.store(store_id).parts = Some(parts);
    }

    /// Ends a store without warning; a prefix of what it had not synced survives.
    pub fn crash(&mut self, store_id: u64, surviving_batches: usize) {
        let store = self.store(store_id);
        store.parts.take().unwrap().router.clear();
        self.open.forget(store_id);
        let store = self.store(store_id);
        for engine in [&mut store.engines.kv, &mut store.engines.raft] {
            *engine = engine.crash(surviving_batches);
        }
        store.dir = store.dir.crash(surviving_batches);
    }

    /// Replaces the disks of a store that is down by those of one that knows its identity and nothing else.
    pub fn wipe(&mut self, store_id: u64) {
        let engines = Engines { kv: MemEngine::new(), raft: MemEngine::new() };
        bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id, ..Default::default() }).unwrap();
        *self.store(store_id) = Store { engines, parts: None, dir: MemDir::new() };
    }

    fn snapshots(&self, store_id: u64) -> SnapshotStore {
        let store = &self.stores[store_id as usize - 1];
        SnapshotStore::new(Arc::new(store.dir.clone()), store.engines.kv.clone())
    }

    /// Carries the files of a snapshot to another store.
    pub fn carry(&self, message: &RaftMessage, from: u64, to: u64) -> Result<()> {
        let snapshot = message.message.as_ref().unwrap().snapshot.as_ref().unwrap();
        let (region, meta) = raftstore::snapshot::decode_data(snapshot)?;
        let id = SnapshotId::of(message.region_id, snapshot);
        let mut source = self.snapshots(from).source(id)?;
        let mut sink = self.snapshots(to).receive(id, region, meta);
        while let Some(chunk) = source.next_chunk(100)? {
            sink.write(&chunk)?;
        }
        sink.finish()
    }

    /// Runs all stages and delivers all messages until nothing is left to do.
    pub fn settle(&mut self) {
        while self.settle_step(None) {}
    }

    /// Lets every stage work once, or only those of `only`, and delivers the messages. Returns whether there was work.
    pub fn settle_step(&mut self, only: Option<u64>) -> bool {
        let mut busy = false;
        for store_id in (1..=self.stores.len() as u64).filter(|id| only.is_none_or(|only| only == *id)) {
            busy |= self.step_store(store_id).unwrap();
        }
        busy |= self.deliver();
        busy
    }

    /// Lets every stage of a store work once.
    fn step_store(&mut self, store_id: u64) -> Result<bool> {
        let Some(parts) = &mut self.stores[store_id as usize - 1].parts else { return Ok(false) };
        let mut busy = parts.pollers[0].round(usize::MAX)? != raftstore::poller::Round::Handled(0);
        if let Some(writer) = &mut parts.log_writer {
            busy |= writer.round()? > 0;
        }
        if !self.lazy.contains(&store_id) {
            busy |= parts.apply_workers[0].round()? > 0;
        }
        if !self.resting.contains(&store_id) {
            busy |= parts.workers[0].round()? > 0;
        }
        Ok(busy)
    }

    /// Ticks until a stage of this store fails, or it cannot take a snapshot, or `done` says so, and returns the failure.
    pub fn run_until_failure(&mut self, store_id: u64, done: impl Fn(&mut Self) -> bool) -> Option<Error> {
        for _ in 0..500 {
            if done(self) {
                return None;
            }
            self.stores.iter().filter_map(|store| store.parts.as_ref()).for_each(|parts| parts.router.tick());
            let mut busy = true;
            while busy {
                busy = false;
                for id in 1..=self.stores.len() as u64 {
                    match self.step_store(id) {
                        Ok(worked) => busy |= worked,
                        Err(error) if id == store_id => return Some(error),
                        Err(error) => panic!("store {id}: {error}"),
                    }
                }
                busy |= self.deliver();
                match self.not_taken.take() {
                    Some((store, error)) if store == store_id => return Some(error),
                    _ => {}
                }
            }
        }
        panic!("store {store_id} neither fails nor comes to an end");
    }

    fn deliver(&mut self) -> bool {
        let messages = std::mem::take(&mut *self.network.queue.lock().unwrap());
        let busy = !messages.is_empty();
        for message in messages {
            let (from, to) = (message.from_peer.unwrap().store_id, message.to_peer.unwrap().store_id);
            let lost = (self.lost)(&message);
            let reachable = !self.isolated.contains(&from) && !self.isolated.contains(&to) && !lost;
            if let Some(inner) = message.message.as_ref().filter(|inner| inner.snapshot.is_some()) {
                let (to_peer, up) = (inner.to, self.stores[to as usize - 1].parts.is_some());
                let carried = (reachable && up).then(|| self.carry(&message, from, to));
                let ok = carried.as_ref().is_some_and(Result::is_ok);
                self.not_taken = carried.and_then(Result::err).map(|error| (to, error));
                if let Some(parts) = &self.store(from).parts {
                    parts.router.snapshot_status(message.region_id, to_peer, ok);
                }
                if ok && std::mem::take(&mut self.damage) {
                    let id = SnapshotId::of(message.region_id, inner.snapshot.as_ref().unwrap());
                    assert!(self.store(to).engines.kv.damage_tables(&format!("rev_{id}")));
                }
            }
            if !reachable {
                continue;
            }
            if let Some(parts) = &self.store(to).parts {
                parts.router.raft_message(message);
            }
        }
        busy
    }

    /// Ticks one store alone.
    pub fn tick_store(&mut self, store_id: u64) {
        self.store(store_id).parts.as_ref().expect("the store runs").router.tick();
        self.settle();
    }

    pub fn tick(&mut self, times: usize) {
        for _ in 0..times {
            for store in &self.stores {
                if let Some(parts) = &store.parts {
                    parts.router.tick();
                }
            }
            self.settle();
        }
    }

    /// Store of the leader of the first region with the highest term, if it has one.
    pub fn leader(&self) -> Option<u64> {
        self.leader_of(self.regions[0].id)
    }

    /// Store of the leader of a region with the highest term, if it has one.
    pub fn leader_of(&self, region_id: u64) -> Option<u64> {
        let running = self.stores.iter().filter_map(|s| s.parts.as_ref());
        let leaders = running.flat_map(|p| p.router.statuses()).filter(|s| s.region.id == region_id);
        leaders.filter(|s| s.role == Role::Leader).max_by_key(|s| s.term).map(|s| s.peer.store_id)
    }

    /// Ticks until a store other than `not` leads the first region.
    pub fn elect(&mut self, not: Option<u64>) -> u64 {
        for _ in 0..500 {
            self.tick(1);
            if let Some(leader) = self.leader().filter(|l| Some(*l) != not && !self.isolated.contains(l)) {
                return leader;
            }
        }
        panic!("no leader after 500 ticks; not = {not:?}");
    }

    pub fn header(&self, store_id: u64) -> RequestHeader {
        let region = &self.regions[0];
        let peer = *region.peers.iter().find(|p| p.store_id == store_id).unwrap();
        RequestHeader { region_id: region.id, epoch: region.region_epoch.unwrap(), peer, term: 0 }
    }

    /// Sends a write; the answer appears once the cluster has worked on it.
    pub fn write(&self, header: RequestHeader, requests: Vec<Request>) -> Answer<Vec<Response>> {
        let answer = Answer::default();
        let callback = answer.callback(self.open.add(header.peer.store_id));
        let store = &self.stores[header.peer.store_id as usize - 1];
        let command = WriteCommand { header, requests, callback };
        store.parts.as_ref().expect("the store runs").router.write(command);
        answer
    }

    pub fn read(&self, header: RequestHeader) -> Answer<RegionSnapshot<Snapshot>> {
        let answer = Answer::default();
        let callback = answer.callback(self.open.add(header.peer.store_id));
        let store = &self.stores[header.peer.store_id as usize - 1];
        store.parts.as_ref().expect("the store runs").router.read(ReadCommand { header, callback });
        answer
    }

    pub fn admin(&self, header: RequestHeader, request: AdminRequest) -> Answer<AdminResponse> {
        let answer = Answer::default();
        let callback = answer.callback(self.open.add(header.peer.store_id));
        let store = &self.stores[header.peer.store_id as usize - 1];
        store.parts.as_ref().expect("the store runs").router.admin(AdminCommand { header, request, callback });
        answer
    }

    pub fn must_put(&mut self, key: &str, value: &str) {
        let leader = self.leader().expect("there is a leader");
        let answer = self.write(self.header(leader), vec![put(key, value)]);
        self.settle();
        answer.take().expect("answered").expect("accepted");
    }

    pub fn must_get(&mut self, key: &str) -> Option<Bytes> {
        let leader = self.leader().expect("there is a leader");
        let answer = self.read(self.header(leader));
        self.settle();
        let view = answer.take().expect("answered").expect("accepted");
        view.snapshot.get(Cf::Raw, key.as_bytes()).unwrap()
    }
}

/// S-CB-ONCE: in the end nobody is left without an answer, unless the store that had the question is gone.
impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() || self.open.is_empty() {
            return;
        }
        self.isolated.clear();
        self.lazy.clear();
        self.resting.clear();
        self.lost = Box::new(|_| false);
        self.reports.answer_questions();
        for _ in 0..200 {
            self.tick(1);
            if self.open.is_empty() {
                return;
            }
        }
        panic!("S-CB-ONCE: stores of callbacks that were never called: {:?}", self.open.stores());
    }
}

pub fn put(key: &str, value: &str) -> Request {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    let put = PutRequest { cf: "raw".to_owned(), key, value };
    Request { cmd_type: CmdType::Put as i32, put: Some(put), ..Default::default() }
}

pub fn delete(key: &str) -> Request {
    let delete = DeleteRequest { cf: "raw".to_owned(), key: Bytes::copy_from_slice(key.as_bytes()) };
    Request { cmd_type: CmdType::Delete as i32, delete: Some(delete), ..Default::default() }
}
