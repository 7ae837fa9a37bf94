//! What a simulated store finds outside: a transport that only collects, a scheduler that only remembers, and callbacks whose
//! answers the driver picks up after the step.
//!
//! The stages of raftstore run on the driver's thread, one at a time; the locks are there because its traits ask for `Send`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proto::pdpb::{RegionHeartbeatRequest, StoreStats};
use proto::raft_cmdpb::Response;
use proto::raft_serverpb::RaftMessage;
use raftstore::{ReadCallback, RegionSnapshot, SchedulerLink, Transport, WriteCallback};

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

/// Remembers the newest heartbeat of each region: by epoch, then term.
#[derive(Default)]
pub struct SimScheduler {
    regions: Mutex<BTreeMap<u64, RegionHeartbeatRequest>>,
}

impl SimScheduler {
    /// The newest report about a region.
    pub fn region(&self, region: u64) -> Option<RegionHeartbeatRequest> {
        lock(&self.regions).get(&region).cloned()
    }
}

impl SchedulerLink for SimScheduler {
    fn region_heartbeat(&self, heartbeat: RegionHeartbeatRequest) {
        let age = |report: &RegionHeartbeatRequest| {
            let epoch = report.region.as_ref().and_then(|region| region.region_epoch).unwrap_or_default();
            (epoch.version, epoch.conf_ver, report.term)
        };
        let Some(region) = heartbeat.region.as_ref().map(|region| region.id) else { return };
        let mut regions = lock(&self.regions);
        if regions.get(&region).is_none_or(|known| age(known) <= age(&heartbeat)) {
            regions.insert(region, heartbeat);
        }
    }

    fn store_heartbeat(&self, _stats: StoreStats) {}
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
