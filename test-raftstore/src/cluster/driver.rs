//! What a lab test needs of the thing that runs its stores. Two things do: the simulator, and threads with a real clock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminRequest, AdminResponse, Request, Response};
use proto::raft_serverpb::{RaftApplyState, RegionLocalState};
use raftstore::RequestHeader;
use raftstore::peer::PeerStatus;
use storage::Cf;

use super::work::Work;
use crate::network::LinkQuality;
use crate::sim::SimScheduler;
use crate::verdict::{Failure, FailureKind};

/// What came of a wait: time passed, or a rule broke meanwhile.
pub type Step<T = ()> = Result<T, Box<Failure>>;

/// Where the answer to something that was asked of one store appears.
pub struct Pending<T>(Arc<Mutex<Slot<T>>>);

enum Slot<T> {
    Waiting,
    Answered(raftstore::Result<T>),
    Dropped,
}

/// What a store has answered so far.
#[derive(Debug)]
pub enum Reaction<T> {
    /// Nothing yet.
    Silent,
    /// This.
    Answered(raftstore::Result<T>),
    /// It let go of the question: the store is gone.
    Dropped,
}

impl<T: Send + 'static> Pending<T> {
    /// A place for an answer, and the callback that puts one there.
    #[allow(clippy::type_complexity, reason = "it is the type that raftstore's commands take")]
    pub fn new() -> (Self, Box<dyn FnOnce(raftstore::Result<T>) + Send>) {
        let slot = Arc::new(Mutex::new(Slot::Waiting));
        let guard = Guard(Some(slot.clone()));
        (Self(slot), Box::new(move |result| guard.answer(result)))
    }

    /// Takes the answer, if there is one.
    pub fn take(&self) -> Reaction<T> {
        let mut slot = lock(&self.0);
        match std::mem::replace(&mut *slot, Slot::Waiting) {
            Slot::Waiting => Reaction::Silent,
            Slot::Answered(result) => Reaction::Answered(result),
            Slot::Dropped => Reaction::Dropped,
        }
    }
}

/// Notices a callback that is dropped instead of called.
struct Guard<T>(Option<Arc<Mutex<Slot<T>>>>);

impl<T> Guard<T> {
    fn answer(mut self, result: raftstore::Result<T>) {
        if let Some(slot) = self.0.take() {
            *lock(&slot) = Slot::Answered(result);
        }
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            *lock(&slot) = Slot::Dropped;
        }
    }
}

/// A poisoned lock only means that a stage panicked, which is reported by itself.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Steps of the simulator.
    pub steps: u64,
    /// Ticks that passed.
    pub ticks: u64,
    /// Operations that ended ok, failed, unknown.
    pub outcomes: (usize, usize, usize),
    /// Stores that crashed.
    pub crashes: u64,
    /// Snapshots that have reached a store.
    pub snapshots: u64,
    /// Messages lost at random.
    pub lost: u64,
    /// Messages lost at a cut link.
    pub cut: u64,
    /// Hash over all that happened; 0 where it cannot be repeated.
    pub digest: u64,
}

/// Runs the stores of a test. Time is counted in ticks of the raft clock.
pub trait Driver {
    /// Lets time pass.
    ///
    /// # Errors
    /// The first rule that broke.
    fn advance(&mut self, ticks: u64) -> Step;

    /// Gives a client work; it begins at once.
    fn start_client(&mut self, work: Work);

    /// Takes a client's work away. What it has asked for already may still be done.
    fn abandon_client(&mut self, client: u64);

    /// The clients whose work is done. They are gone then.
    fn finished_clients(&mut self) -> Vec<Work>;

    /// Who of the clients is at what, for reports.
    fn describe_clients(&self) -> String;

    /// How every link between stores behaves from now on.
    fn set_links(&mut self, quality: LinkQuality);

    /// Stores of `side` and others cannot reach each other from now on; all other links are whole.
    fn partition(&mut self, side: &BTreeSet<u64>);

    /// All faults of the network end.
    fn heal_network(&mut self);

    /// A store's process ends without warning. What it had not synced may be lost.
    ///
    /// # Errors
    /// A rule that broke.
    fn crash(&mut self, store: u64) -> Step;

    /// Starts a store that is down on what its disks hold.
    ///
    /// # Errors
    /// A rule that broke.
    fn start(&mut self, store: u64) -> Step;

    /// Whether a store runs.
    fn is_running(&self, store: u64) -> bool;

    /// What the peers of the running stores last said about themselves. At most a tick old.
    fn statuses(&self) -> Vec<PeerStatus>;

    /// What a store's data engine holds under a key, whether it runs or not.
    fn stored(&self, store: u64, cf: Cf, key: &[u8]) -> Option<Bytes>;

    /// Bytes of a region's keys and values in a store's data engine.
    fn bytes_in(&self, store: u64, region: &Region) -> u64;

    /// The records of a store's regions, in order of their ids.
    fn region_states(&self, store: u64) -> Vec<RegionLocalState>;

    /// A region's record of what is applied on a store.
    fn apply_state(&self, store: u64, region: u64) -> Option<RaftApplyState>;

    /// The scheduler.
    fn scheduler(&self) -> &SimScheduler;

    /// Milliseconds since the beginning, as the scheduler counts them.
    fn now_ms(&self) -> u64;

    /// Asks one store to read a key.
    ///
    /// # Errors
    /// A rule that broke.
    fn read_at(&mut self, store: u64, header: RequestHeader, key: Bytes) -> Step<Pending<Option<Bytes>>>;

    /// Asks one store to write.
    ///
    /// # Errors
    /// A rule that broke.
    fn write_at(&mut self, store: u64, header: RequestHeader, request: Request) -> Step<Pending<Vec<Response>>>;

    /// Asks one store to change a region.
    ///
    /// # Errors
    /// A rule that broke.
    fn admin_at(&mut self, store: u64, header: RequestHeader, request: AdminRequest) -> Step<Pending<AdminResponse>>;

    /// Whether all replicas have come to the same state and the scheduler knows it.
    fn has_settled(&self) -> bool;

    /// The last checks: equal replicas, no open callback, a history that can be explained.
    ///
    /// # Errors
    /// What is wrong.
    fn check_end(&mut self) -> Step;

    /// What the run came to so far.
    fn summary(&self) -> Summary;

    /// Who waits for whom.
    fn describe(&self) -> String;

    /// Makes a verdict over this moment, with all that the driver knows of it.
    fn verdict(&self, kind: FailureKind, id: &'static str, details: String) -> Box<Failure>;
}

/// A header for a request to the peer of `region` on `store`.
pub(super) fn header(region: &Region, store: u64) -> RequestHeader {
    let peer = region.peers.iter().find(|peer| peer.store_id == store).copied().unwrap_or_default();
    RequestHeader { region_id: region.id, epoch: region.region_epoch.unwrap_or_default(), peer, term: 0 }
}
