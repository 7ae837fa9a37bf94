//! What a simulated store finds outside: a transport that only collects, a scheduler behind a post box, and callbacks whose answers
//! the driver picks up after the step.
//!
//! The stages of raftstore run on the driver's thread, one at a time; the locks are there because its traits ask for `Send`.

use std::sync::{Arc, Mutex, MutexGuard};

use proto::metapb::{Peer, Region, Store};
use proto::pdpb::{OperatorStatus, RegionHeartbeatRequest, RegionHeartbeatResponse, StoreStats};
use proto::raft_cmdpb::Response;
use proto::raft_serverpb::RaftMessage;
use raftstore::command::AdminCallback;
use raftstore::store::bootstrap::{initial_id_count, initial_regions};
use raftstore::{
    ReadCallback, RegionCallback, RegionSnapshot, SchedulerLink, SplitIdsCallback, Transport, WriteCallback,
};
use scheduler::state::{Cluster, OperatorKind, Options};
use storage::MemEngine;

use crate::sim::StoreSnapshot;

/// Collects what a store sends, for the driver to hand to the network.
#[derive(Clone, Default)]
pub struct Outbox {
    messages: Arc<Mutex<Vec<RaftMessage>>>,
}

impl Outbox {
    /// Takes what was sent since the last call.
    pub fn take(&self) -> Vec<RaftMessage> {
        std::mem::take(&mut *lock(&self.messages))
    }
}

impl Transport for Outbox {
    fn send(&mut self, message: RaftMessage) {
        lock(&self.messages).push(message);
    }

    fn flush(&mut self) {}
}

/// What a store sends to the scheduler.
pub enum SchedulerMail {
    /// A leader's report.
    Heartbeat(Box<RegionHeartbeatRequest>),
    /// A split that was applied.
    Split(Vec<Region>),
    /// A question for a region, by a peer that has no leader.
    Region(u64, RegionCallback),
    /// A question for ids.
    Question(Region, u32, SplitIdsCallback),
}

impl SchedulerMail {
    /// Its name in traces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Heartbeat(_) => "heartbeat",
            Self::Split(_) => "split",
            Self::Question(..) => "ask ids",
            Self::Region(..) => "ask region",
        }
    }
}

struct SchedulerState {
    cluster: Cluster<MemEngine>,
    outgoing: Vec<SchedulerMail>,
}

/// The scheduler's real state machine, behind a post box: what stores send is collected for the driver, which delivers or loses it.
pub struct SimScheduler {
    state: Mutex<SchedulerState>,
}

impl SimScheduler {
    /// A scheduler that knows these stores, and the first regions, which it returns: with peers on the first `replicas` stores.
    pub fn new(store_ids: &[u64], replicas: usize) -> (Self, Vec<Region>) {
        let options = Options { new_cluster_id: Some(1), max_peer_count: replicas as u32 };
        let mut cluster = Cluster::open(MemEngine::new(), options).expect("invariant: memory does not fail");
        let store = |id: &u64| Store { id: *id, address: format!("127.0.0.1:{}", 20_000 + id), ..Default::default() };
        for id in store_ids {
            cluster.put_store(&store(id)).expect("invariant: a new store is taken");
        }
        let members = &store_ids[..replicas];
        let count = initial_id_count(replicas) as u64;
        let last = cluster.alloc_ids(count as u32).expect("invariant: there are ids");
        let regions = initial_regions(members, &mut (last + 1 - count..=last)).expect("invariant: ids were counted");
        cluster.bootstrap(&store(&store_ids[0]), regions.clone()).expect("invariant: the first regions are taken");
        (Self { state: Mutex::new(SchedulerState { cluster, outgoing: Vec::new() }) }, regions)
    }

    /// Takes what was sent since the last call.
    pub fn take_mail(&self) -> Vec<SchedulerMail> {
        std::mem::take(&mut lock(&self.state).outgoing)
    }

    /// A piece of mail arrives. What the scheduler refuses, because it knows better, is lost. Returns the answer to a heartbeat.
    pub fn deliver(&self, mail: SchedulerMail, now_ms: u64) -> Option<RegionHeartbeatResponse> {
        let mut state = lock(&self.state);
        match mail {
            SchedulerMail::Heartbeat(heartbeat) => {
                let answer = state.cluster.region_heartbeat(*heartbeat).ok()?;
                return Some(state.cluster.add_order(answer, now_ms));
            }
            SchedulerMail::Split(parts) => drop(state.cluster.report_split(parts)),
            SchedulerMail::Region(region_id, callback) => {
                let region = state.cluster.regions().get(region_id).map(|info| info.meta.clone());
                drop(state);
                if let Some(region) = region {
                    callback(region);
                }
            }
            SchedulerMail::Question(region, new_regions, callback) => {
                let ids = state.cluster.ask_split(&region, new_regions).map_err(|error| error.to_string());
                drop(state);
                callback(ids);
            }
        }
        None
    }

    /// Somebody wants something done. Returns whether the scheduler sees to it.
    pub fn add_operator(&self, region: u64, kind: OperatorKind, now_ms: u64) -> bool {
        lock(&self.state).cluster.add_operator(region, kind, now_ms).is_ok()
    }

    /// What the scheduler still wants to do with a region.
    pub fn running_operator(&self, region: u64) -> Option<OperatorKind> {
        let state = lock(&self.state);
        let operator = state.cluster.operator(region)?;
        (operator.status == OperatorStatus::Running).then_some(operator.kind)
    }

    /// The region of a key, and the store of its leader.
    pub fn find(&self, key: &[u8]) -> Option<(Region, Option<u64>)> {
        let state = lock(&self.state);
        let info = state.cluster.regions().find(key)?;
        Some((info.meta.clone(), info.leader.map(|leader| leader.store_id)))
    }

    /// The leader of a region, as far as it was reported.
    pub fn leader(&self, region: u64) -> Option<Peer> {
        lock(&self.state).cluster.regions().get(region)?.leader
    }

    /// All regions in key order. There may be holes between them.
    pub fn regions(&self) -> Vec<Region> {
        lock(&self.state).cluster.regions().iter().map(|info| info.meta.clone()).collect()
    }
}

impl SchedulerLink for SimScheduler {
    fn region_heartbeat(&self, heartbeat: RegionHeartbeatRequest) {
        lock(&self.state).outgoing.push(SchedulerMail::Heartbeat(Box::new(heartbeat)));
    }

    fn store_heartbeat(&self, _stats: StoreStats) {}

    fn ask_split(&self, region: Region, new_regions: u32, callback: SplitIdsCallback) {
        lock(&self.state).outgoing.push(SchedulerMail::Question(region, new_regions, callback));
    }

    fn ask_region(&self, region_id: u64, callback: RegionCallback) {
        lock(&self.state).outgoing.push(SchedulerMail::Region(region_id, callback));
    }

    fn report_split(&self, parts: Vec<Region>) {
        lock(&self.state).outgoing.push(SchedulerMail::Split(parts));
    }
}

/// One attempt of a client's operation at one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId {
    /// Which client.
    pub client: u64,
    /// Which call of it.
    pub call: u64,
}

/// What a store answered.
pub enum StoreAnswer {
    /// To a write.
    Written(raftstore::Result<Vec<Response>>),
    /// To a read.
    Read(raftstore::Result<RegionSnapshot<StoreSnapshot>>),
    /// To an admin command; whether it was carried out is nobody's business.
    Admin,
    /// Nothing: the callback was dropped.
    Dropped,
}

type AnswerQueue = Arc<Mutex<Vec<(CallId, StoreAnswer)>>>;

/// Answers that the stores gave during a step, in order.
#[derive(Clone, Default)]
pub struct Answers {
    queue: AnswerQueue,
}

impl Answers {
    /// Takes the answers given since the last call.
    pub fn take(&self) -> Vec<(CallId, StoreAnswer)> {
        std::mem::take(&mut *lock(&self.queue))
    }

    /// A callback for a write.
    pub fn on_write(&self, call: CallId) -> WriteCallback {
        let guard = Guard { call, queue: Some(self.queue.clone()) };
        Box::new(move |result| guard.answer(StoreAnswer::Written(result)))
    }

    /// A callback for a read.
    pub fn on_read(&self, call: CallId) -> ReadCallback<StoreSnapshot> {
        let guard = Guard { call, queue: Some(self.queue.clone()) };
        Box::new(move |result| guard.answer(StoreAnswer::Read(result)))
    }
}

impl Answers {
    /// A callback for an admin command.
    pub fn on_admin(&self, call: CallId) -> AdminCallback {
        let guard = Guard { call, queue: Some(self.queue.clone()) };
        Box::new(move |_| guard.answer(StoreAnswer::Admin))
    }
}

/// Notices when a callback is dropped instead of called.
struct Guard {
    call: CallId,
    queue: Option<AnswerQueue>,
}

impl Guard {
    fn answer(mut self, answer: StoreAnswer) {
        if let Some(queue) = self.queue.take() {
            lock(&queue).push((self.call, answer));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            lock(&queue).push((self.call, StoreAnswer::Dropped));
        }
    }
}

/// All simulation runs on one thread; a poisoned lock only means that a stage panicked, which the driver reports by itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
