//! Turns committed entries into data.
//!
//! Owner: the apply worker. In one round it applies the waiting entries of all regions into one batch of the kv engine: data and
//! each region's apply state together, so that every entry takes effect exactly once. The batch is not synced: after a crash the
//! entries are applied again from the raft log, which was synced before they could be committed here.
//!
//! Order in a round: the batch is written, then clients are answered, then the peers are told.

mod admin;
mod conf_change;
mod execute;
mod snapshot;
mod split;

use std::{collections::BTreeMap, sync::Arc};

use crossbeam_channel::{Receiver, Sender};
use prost::Message;
use proto::{
    eraftpb::Entry,
    metapb::{Peer, Region},
    raft_cmdpb::{AdminResponse, Response},
    raft_serverpb::{PeerState, RaftApplyState, RegionLocalState},
};
use storage::{Cf, Durability, Engine, WriteBatch};

use crate::{
    batch::Router,
    command::{AdminCallback, WriteCallback},
    error::{Error, Result},
    keys,
    message::{Applied, ApplyResult, ApplyTask, ApplyWork, PeerMessage, Proposal, Waiting},
    metrics::Metrics,
    peer_storage::read,
    region::peer_on_store,
    split::Growth,
    worker::Task,
};

/// Tasks that are taken into one round, so that clients do not wait for an endless batch.
const TASKS_PER_ROUND: usize = 256;

/// The apply side of one region.
struct ApplyRegion {
    region: Region,
    /// The peer on this store.
    peer: Peer,
    state: RaftApplyState,
    /// What the peer has to be told besides the applied index.
    results: Vec<ApplyResult>,
    growth: Growth,
    /// What was split off the region last, for clients that ask with an epoch from before.
    split_off: Vec<Region>,
    /// Term of the last entry that was applied since the region was loaded.
    term: Option<u64>,
    changed: bool,
    /// Index and term of the entry that has removed this peer. Nothing is applied after it.
    removed_by: Option<(u64, u64)>,
}

/// What an entry came to.
enum Outcome {
    /// Data was written; one response for each request.
    Written(Vec<Response>),
    /// An admin command was carried out.
    Changed(Box<AdminResponse>),
}

/// Somebody whose entry is in the batch that is being made.
enum Answer {
    Write(WriteCallback, Result<Vec<Response>>),
    Admin(AdminCallback, Result<Box<AdminResponse>>),
}

/// See the module.
pub struct ApplyWorker<E: Engine> {
    store_id: u64,
    kv: E,
    router: Router<E>,
    tasks: Receiver<ApplyWork>,
    background: Sender<Task<E::Snapshot>>,
    regions: BTreeMap<u64, ApplyRegion>,
    batch: WriteBatch,
    /// The batch holds something that the raft log cannot bring back: it has to be synced.
    must_sync: bool,
    answers: Vec<Answer>,
    /// What the peers that were removed in this round have to be told.
    buried: Vec<(u64, Applied)>,
    metrics: Arc<Metrics>,
}

impl<E: Engine> ApplyWorker<E> {
    /// A worker of this store that takes its tasks from `tasks`.
    pub fn new(
        store_id: u64,
        kv: E,
        router: Router<E>,
        tasks: Receiver<ApplyWork>,
        background: Sender<Task<E::Snapshot>>,
    ) -> Self {
        ApplyWorker {
            store_id,
            kv,
            metrics: router.metrics().clone(),
            router,
            tasks,
            background,
            regions: BTreeMap::new(),
            batch: WriteBatch::new(),
            must_sync: false,
            answers: Vec::new(),
            buried: Vec::new(),
        }
    }

    /// Where the worker's tasks come from, for the driver to wait on.
    pub fn tasks(&self) -> &Receiver<ApplyWork> {
        &self.tasks
    }

    /// Applies what waits. Returns how many tasks that were.
    ///
    /// # Errors
    /// The engine's errors and [`Error::Corrupted`]. They are fatal: this replica can no longer follow the others.
    pub fn round(&mut self) -> Result<usize> {
        match self.tasks.try_recv() {
            Ok(first) => self.round_from(first),
            Err(_) => Ok(0),
        }
    }

    /// A round that starts with a task the driver has already received.
    pub fn round_from(&mut self, first: ApplyWork) -> Result<usize> {
        self.work(first)?;
        let mut count = 1;
        while count < TASKS_PER_ROUND {
            let Ok(task) = self.tasks.try_recv() else { break };
            self.work(task)?;
            count += 1;
        }
        self.flush()?;
        self.report();
        Ok(count)
    }

    fn work(&mut self, work: ApplyWork) -> Result<()> {
        match work {
            ApplyWork::Entries(task) => self.apply(task),
            ApplyWork::Snapshot(request) => self.start_snapshot(request),
            ApplyWork::Reload(region_id) => {
                self.regions.remove(&region_id);
                Ok(())
            }
            ApplyWork::Destroy(task) => self.destroy(task),
        }
    }

    fn apply(&mut self, task: ApplyTask) -> Result<()> {
        let ApplyTask { region_id, peer_id, entries, proposals } = task;
        let Some(mut region) = self.take(region_id)?.filter(|region| region.peer.id == peer_id) else {
            // Of a peer that was removed.
            proposals.into_iter().for_each(|p| p.waiting.refuse(|| Error::OutcomeUnknown { region_id }));
            return Ok(());
        };
        self.apply_entries(&mut region, entries, proposals)?;
        match region.removed_by {
            Some(entry) => self.bury(region, entry),
            None => {
                self.regions.insert(region_id, region);
                Ok(())
            }
        }
    }

    /// The region, for as long as it is worked on; `None` if its peer was removed.
    fn take(&mut self, region_id: u64) -> Result<Option<ApplyRegion>> {
        match self.regions.remove(&region_id) {
            Some(region) => Ok(Some(region)),
            None => self.load(region_id),
        }
    }

    fn load(&self, region_id: u64) -> Result<Option<ApplyRegion>> {
        let missing = |what: &str| Error::Corrupted(format!("region {region_id} has no {what}"));
        let local: RegionLocalState =
            read(&self.kv, Cf::Raft, &keys::region_state(region_id))?.ok_or_else(|| missing("region state"))?;
        if local.state() == PeerState::Tombstone {
            return Ok(None);
        }
        let state = read(&self.kv, Cf::Raft, &keys::apply_state(region_id))?.ok_or_else(|| missing("apply state"))?;
        let region = local.region.ok_or_else(|| missing("region in its region state"))?;
        let peer = *peer_on_store(&region, self.store_id).ok_or_else(|| missing("peer on this store"))?;
        Ok(Some(ApplyRegion {
            region,
            peer,
            state,
            results: Vec::new(),
            growth: Growth::default(),
            split_off: Vec::new(),
            term: None,
            changed: false,
            removed_by: None,
        }))
    }

    fn apply_entries(&mut self, region: &mut ApplyRegion, entries: Vec<Entry>, proposals: Vec<Proposal>) -> Result<()> {
        // lab:begin 2B apply::apply_entries  hint="execute in order, move the applied index with each, answer who waits for it"
        let mut proposals = proposals.into_iter().peekable();
        for entry in entries {
            let expected = region.state.applied_index + 1;
            assert!(
                entry.index == expected,
                "invariant R-APPLY-ORDER: region {}: entry {} to apply, {expected} expected",
                region.region.id,
                entry.index
            );
            let waiting = proposals.next_if(|p| p.index == entry.index).map_or(Waiting::Nobody, |p| p.waiting);
            let outcome = self.execute(region, &entry)?;
            region.state.applied_index = entry.index;
            region.changed = true;
            self.metrics.entries_applied.inc();
            self.answer(waiting, outcome);
            if region.removed_by.is_some() {
                break;
            }
        }
        let region_id = region.region.id;
        proposals.for_each(|proposal| proposal.waiting.refuse(|| Error::OutcomeUnknown { region_id }));
        Ok(())
        // lab:end
    }

    /// Deals the outcome of an entry out to those who wait for it.
    fn answer(&mut self, waiting: Waiting, outcome: Result<Outcome>) {
        match (waiting, outcome) {
            (Waiting::Nobody, _) => {}
            (Waiting::Writes(callbacks), Ok(Outcome::Written(responses))) => {
                let mut responses = responses.into_iter();
                for (requests, callback) in callbacks {
                    self.answers.push(Answer::Write(callback, Ok(responses.by_ref().take(requests).collect())));
                }
            }
            (Waiting::Writes(callbacks), Err(error)) => {
                for (_, callback) in callbacks {
                    self.answers.push(Answer::Write(callback, Err(error.for_another_client())));
                }
            }
            (Waiting::Admin(callback), Ok(Outcome::Changed(response))) => {
                self.answers.push(Answer::Admin(callback, Ok(response)));
            }
            (Waiting::Admin(callback), Err(error)) => self.answers.push(Answer::Admin(callback, Err(error))),
            (Waiting::Writes(_), Ok(Outcome::Changed(_))) | (Waiting::Admin(_), Ok(Outcome::Written(_))) => {
                panic!("invariant S-CB-ONCE: an entry is not the one that somebody waits for at its index and term")
            }
        }
    }

    /// Writes the batch with the apply states of all regions in it, then answers the clients.
    fn flush(&mut self) -> Result<()> {
        for region in self.regions.values().filter(|r| r.changed) {
            put_apply_state(&mut self.batch, region);
        }
        if !self.batch.is_empty() {
            let durability = if self.must_sync { Durability::Sync } else { Durability::Buffered };
            self.kv.write(std::mem::take(&mut self.batch), durability)?;
            self.must_sync = false;
            self.metrics.apply_batches.inc();
        }
        for answer in self.answers.drain(..) {
            match answer {
                Answer::Write(callback, result) => callback(result),
                Answer::Admin(callback, result) => callback(result.map(|response| *response)),
            }
        }
        Ok(())
    }

    fn report(&mut self) {
        for (id, applied) in self.buried.drain(..) {
            // A region that is gone meanwhile no longer cares; here and below.
            let _ = self.router.report(id, PeerMessage::Applied(applied));
        }
        for (id, region) in self.regions.iter_mut().filter(|(_, r)| r.changed) {
            region.changed = false;
            let (results, growth) = (std::mem::take(&mut region.results), std::mem::take(&mut region.growth));
            let applied = Applied { index: region.state.applied_index, results, growth };
            let _ = self.router.report(*id, PeerMessage::Applied(applied));
        }
    }
}

fn put_apply_state(batch: &mut WriteBatch, region: &ApplyRegion) {
    batch.put(Cf::Raft, keys::apply_state(region.region.id), region.state.encode_to_vec());
}
