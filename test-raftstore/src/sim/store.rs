//! One simulated store: two disks, and while it runs, the stages of raftstore.
//!
//! A crash drops all stages at once and keeps of the disks what a power failure would leave. Nothing else outlives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use proto::metapb::Region;
use proto::raft_serverpb::{PeerState, RaftApplyState, RaftLocalState, RegionLocalState, StoreIdent};
use raftstore::peer::Peer;
use raftstore::poller::Round;
use raftstore::snapshot::{MemDir, SnapshotDir, SnapshotStore};
use raftstore::store::{Layout, bootstrap};
use raftstore::{Config, Engines, StoreParts, build, keys};
use slog::Logger;
use storage::{Cf, Reader};

use super::crash_points::{Disk, Watch, WatchedDir};
use super::disk::{DiskLie, SimDisk};
use super::forgotten_check::check_identity;
use super::meta_check::{check_map, check_peer};
use super::observe::{Observed, observe};
use super::proposal_check::check_proposals;
use super::records::{RecordCache, Records, in_use, of_region};
use super::world::{Outbox, SimScheduler};
use crate::faults::HEALTHY_SYNC;
use crate::rng::SeededRng;
use crate::view::{ClusterView, DurableEntry, PeerKey};

/// The stages of a running store.
pub struct Running {
    /// The stages.
    pub parts: StoreParts<SimDisk, Outbox>,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// A poll of the raft stage is scheduled.
    pub poll_scheduled: bool,
    /// A round of the log writer is scheduled.
    pub persist_scheduled: bool,
    /// A round of the apply worker is scheduled.
    pub apply_scheduled: bool,
    /// A round of the background worker is scheduled.
    pub work_scheduled: bool,
    /// A stage has failed; the store is about to stop.
    pub failing: bool,
}

/// What a look at a peer came to: the rule that it breaks, and how.
type Checked = Result<(), (&'static str, String)>;

/// A peer that was polled.
pub struct Polled {
    /// Where it is.
    pub key: PeerKey,
    /// What has become of it.
    pub observed: Observed,
    /// Whether it breaks a rule.
    pub checked: Checked,
}

/// See the module.
pub struct SimStore {
    /// Its id.
    pub id: u64,
    /// Its disks.
    pub engines: Engines<SimDisk>,
    /// The folder of the snapshots that it makes.
    pub snapshot_dir: MemDir,
    /// Its stages; `None` while it is down.
    pub running: Option<Running>,
    /// How often it was started.
    pub incarnation: u64,
    /// How long a sync takes, in microseconds.
    pub sync_micros: u64,
    /// Length of its tick in microseconds: clocks differ.
    pub tick_micros: u64,
    /// What it has sent and the network has not got yet.
    pub outbox: Outbox,
    /// What its kv disk says of its regions.
    records: RecordCache,
    /// The records that were checked last.
    pub checked: Option<Records>,
    /// Who numbers what it does to its disks.
    watch: Option<Watch>,
}

impl SimStore {
    /// A store that has an identity and a peer of each of `regions`, not started. If its changes are numbered already, its disks are
    /// empty until it starts.
    pub fn create(id: u64, regions: &[Region], tick_micros: u64, lies: Lies, watch: Option<&Watch>) -> Self {
        let watch = watch.filter(|watch| watch.store() == id).cloned();
        let disk = |lie, disk| match &watch {
            Some(watch) => SimDisk::new(lie).watched(watch.clone(), disk),
            None => SimDisk::new(lie),
        };
        let store = Self {
            id,
            engines: Engines { kv: disk(lies.kv, Disk::Kv), raft: disk(lies.raft, Disk::Raft) },
            snapshot_dir: MemDir::new(),
            running: None,
            incarnation: 0,
            sync_micros: HEALTHY_SYNC,
            tick_micros,
            outbox: Outbox::default(),
            records: RecordCache::default(),
            checked: None,
            watch,
        };
        if !store.watch.as_ref().is_some_and(Watch::is_open) {
            store.bootstrap(regions).expect("invariant: a new store in memory can be bootstrapped");
        }
        store
    }

    /// What every start of a store does before anything else: it has an identity then, and its first peers of those regions that are still
    /// as they were in the beginning.
    fn bootstrap(&self, regions: &[Region]) -> raftstore::Result<()> {
        let ident = StoreIdent { cluster_id: 1, store_id: self.id, ..Default::default() };
        bootstrap::write_ident(&self.engines, &ident)?;
        for region in regions {
            bootstrap::create_initial_peer(&self.engines, self.id, region)?;
        }
        Ok(())
    }

    /// Makes up for a bootstrap that a crash has interrupted.
    fn found(&self, scheduler: &SimScheduler) -> raftstore::Result<()> {
        if self.watch.is_none() {
            return Ok(()); // it was done when the store was made
        }
        check_identity(&self.engines).map_err(raftstore::Error::Corrupted)?;
        self.bootstrap(&scheduler.regions())
    }

    fn set_starting(&self, starting: bool) {
        if let Some(watch) = &self.watch {
            watch.set_starting(starting);
        }
    }

    fn snapshot_folder(&self) -> Arc<dyn SnapshotDir> {
        match &self.watch {
            Some(watch) => Arc::new(WatchedDir::new(self.snapshot_dir.clone(), watch.clone())),
            None => Arc::new(self.snapshot_dir.clone()),
        }
    }

    /// Starts the stages on what the disks hold.
    ///
    /// # Errors
    /// Those of loading; after a crash they mean that something was lost or torn.
    pub fn start(
        &mut self,
        config: &Config,
        layout: Layout,
        scheduler: &Arc<SimScheduler>,
        logger: &Logger,
    ) -> raftstore::Result<()> {
        self.set_starting(true);
        self.outbox = Outbox::default();
        let (engines, outbox) = (self.engines.clone(), self.outbox.clone());
        let snapshots = SnapshotStore::new(self.snapshot_folder(), self.engines.kv.clone());
        let parts = self.found(scheduler).and_then(|()| {
            build(config.clone(), layout, engines, snapshots.clone(), outbox, scheduler.clone(), logger)
        });
        self.set_starting(false);
        let parts = parts?;
        self.incarnation += 1;
        self.running = Some(Running {
            parts,
            snapshots,
            poll_scheduled: false,
            persist_scheduled: false,
            apply_scheduled: false,
            work_scheduled: false,
            failing: false,
        });
        Ok(())
    }

    /// The stages are gone.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.parts.router.clear();
        }
    }

    /// The power fails.
    pub fn crash(&mut self, rng: &mut SeededRng) {
        self.stop();
        self.engines = Engines { kv: self.engines.kv.crash(rng), raft: self.engines.raft.crash(rng) };
        let survivors = rng.below(self.snapshot_dir.unsynced() as u64 + 1) as usize;
        self.snapshot_dir = self.snapshot_dir.crash(survivors);
    }

    /// Lets the raft stage handle one mailbox, and notes in the view what became of the peer in it. Of a peer that has changed it says also
    /// whether it agrees with what the store knows of its region (S-META-AGREE), and its log with what clients wait for (R-DROP-TOLD).
    ///
    /// # Errors
    /// Those of the stage; they are fatal for the store.
    pub fn poll(&mut self, view: &mut ClusterView) -> raftstore::Result<Option<Polled>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let Ok(ready) = running.parts.pollers[0].ready().try_recv() else { return Ok(None) };
        let mailbox = match &ready {
            raftstore::batch::Ready::Peer(mailbox) => Some(mailbox.clone()),
            raftstore::batch::Ready::Store(_) | raftstore::batch::Ready::Stop => None,
        };
        let round = running.parts.pollers[0].round_from(ready, 1)?;
        debug_assert_eq!(round, Round::Handled(1));
        let router = &running.parts.router;
        view.peers.retain(|key, _| key.store != self.id || router.has_peer(key.region));
        let Some(taken) = mailbox.and_then(|mailbox| mailbox.take()) else { return Ok(None) };
        if !taken.machine.is_serving() {
            let _queued = taken.mailbox.release(taken.machine); // see below
            return Ok(None);
        }
        let key = PeerKey { store: self.id, region: taken.machine.region_id() };
        let observed = observe(view, key, self.incarnation, &taken.machine);
        let checked = if observed.changed { self.check_changed(&taken.machine) } else { Ok(()) };
        // True if something waits in the mailbox. The poller has seen that as well and queued it already.
        let _queued = taken.mailbox.release(taken.machine);
        Ok(Some(Polled { key, observed, checked }))
    }

    fn check_changed(&self, peer: &Peer<SimDisk>) -> Checked {
        let Some(running) = &self.running else { return Ok(()) };
        let (router, states) = (&running.parts.router, self.region_states());
        let agrees = {
            let meta = router.meta().lock();
            let checked = check_peer(peer, &meta, of_region(&states, peer.region_id()), &self.engines.kv);
            checked.and_then(|()| check_map(&meta, |region| router.has_peer(region)))
        };
        agrees.map_err(|details| ("S-META-AGREE", details))?;
        let raft = &peer.node().raft;
        // Others wait for the outcome of what an earlier leader has begun.
        let term = if raft.is_leader() { raft.term() } else { return Ok(()) };
        check_proposals(term, peer.proposed(), |index| raft.log_term(index)).map_err(|details| ("R-DROP-TOLD", details))
    }

    /// What the kv disk says of the regions now.
    pub fn region_states(&self) -> Records {
        self.records.get(self.engines.kv.engine())
    }

    /// The regions that the kv disk holds now.
    pub fn regions(&self) -> Vec<Region> {
        in_use(&self.region_states()).into_iter().cloned().collect()
    }

    /// Whether the kv disk says that a snapshot is being restored.
    pub fn is_restoring(&self) -> bool {
        self.region_states().iter().any(|state| state.state() == PeerState::Applying)
    }

    /// Looks for holes in the log of a region: entries that are not compacted according to the durable apply state must be there
    /// whatever a power failure leaves of the raft disk (invariant WRITE-ORDER: kv synced, then log entries deleted).
    ///
    /// # Errors
    /// The first hole.
    pub fn check_log_on_disk(&self, region: u64) -> Result<(), String> {
        let Some(apply) = self.engines.kv.durable(Cf::Raft, &keys::apply_state(region)) else { return Ok(()) };
        let apply = RaftApplyState::decode(apply).map_err(|error| error.to_string())?;
        let Some(local) = self.engines.raft.durable(Cf::Default, &keys::raft_state(region)) else { return Ok(()) };
        let local = RaftLocalState::decode(local).map_err(|error| error.to_string())?;
        let truncated = apply.truncated_state.unwrap_or_default().index;
        let raft = self.engines.raft.engine();
        let hole = (truncated + 1..=local.last_index)
            .find(|index| !matches!(raft.get(Cf::Default, &keys::raft_log(region, *index)), Ok(Some(_))));
        match hole {
            Some(index) => Err(format!(
                "store {}: log entry {index} of region {region} is deleted, but its apply state, if the power fails now, says \
                 that the log begins behind {truncated} and ends at {}",
                self.id, local.last_index
            )),
            None => Ok(()),
        }
    }

    /// Whether a power failure would leave the tombstone of this peer, or a later peer in its place.
    fn is_buried(&self, region: u64, peer: u64) -> bool {
        let record = self.engines.kv.durable(Cf::Raft, &keys::region_state(region));
        let Some(state) = record.and_then(|value| RegionLocalState::decode(value).ok()) else { return false };
        let members = state.region.iter().flat_map(|region| &region.peers);
        let buried = state.removed_records.iter().any(|removed| removed.id >= peer);
        buried || members.into_iter().any(|member| member.store_id == self.id && member.id > peer)
    }

    /// What would be found on the raft disk at an index after a power failure.
    pub fn durable_entry(&self, region: u64, peer: u64, index: u64) -> DurableEntry {
        if self.is_buried(region, peer) {
            return DurableEntry::Buried;
        }
        let state = self.engines.kv.durable(Cf::Raft, &keys::apply_state(region));
        let state = state.and_then(|value| RaftApplyState::decode(value).ok()).unwrap_or_default();
        if state.truncated_state.unwrap_or_default().index >= index {
            return DurableEntry::Compacted;
        }
        let read = |key: &[u8]| self.engines.raft.durable(Cf::Default, key);
        let local = read(&keys::raft_state(region)).and_then(|value| RaftLocalState::decode(value).ok());
        if local.is_none_or(|local| local.last_index < index) {
            return DurableEntry::Missing;
        }
        let entry = read(&keys::raft_log(region, index));
        match entry.and_then(|value| proto::eraftpb::Entry::decode(value).ok()) {
            Some(entry) => DurableEntry::Term(entry.term),
            None => DurableEntry::Missing,
        }
    }
}

/// Which promises the disks of a store break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// The disk of the data.
    pub kv: Option<DiskLie>,
    /// The disk of the logs.
    pub raft: Option<DiskLie>,
}

/// All stores of a run, by id.
pub type Stores = BTreeMap<u64, SimStore>;
