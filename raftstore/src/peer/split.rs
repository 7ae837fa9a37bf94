//! Splitting a region: from the wish to the new peers.
//!
//! 1. The leader finds its region too large (a walk by a background worker), or is told where to split it.
//! 2. It asks the scheduler for ids of the new regions and their peers, and goes on serving meanwhile.
//! 3. It proposes the split, with keys and ids, for the epoch at which it asked: if members or range have changed since, the ids do
//!    not fit any more and the split is dropped.
//! 4. When the entry is applied, the apply worker has written the state of all parts, in one synced batch. Each peer then shrinks to its
//!    part and makes the peers of the other parts. A leader lets them campaign at once, so that clients find leaders, and tells the
//!    scheduler all parts together, so that no key is without a region.

use std::{collections::BTreeSet, sync::Arc};

use proto::{
    metapb::Region,
    raft_cmdpb::{AdminCmdType, AdminRequest, BatchSplitRequest, SplitRequest},
    raft_serverpb::{PeerState, RegionLocalState},
};
use slog::info;
use storage::{Cf, Engine};

use super::{Effects, Peer};
use crate::{
    command::AdminCallback,
    env::SplitIds,
    epoch::EpochRule,
    error::{Error, Result},
    keys,
    message::{SplitChecked, Waiting},
    peer_storage::read,
    split::{CutPolicy, Growth, RegionSize, check_split_keys},
    worker::{SplitCheckTask, Task},
};

/// A question to the scheduler: ids for a split of a region.
pub struct SplitQuestion {
    /// Its number among those of the peer.
    pub number: u64,
    /// The region as it is when the question is asked.
    pub region: Region,
    /// How many new regions there will be.
    pub new_regions: u32,
}

/// A split that waits for its ids.
struct AskedSplit {
    question: u64,
    region: Arc<Region>,
    request: BatchSplitRequest,
    waiting: Waiting,
    deadline: u64,
}

/// What a peer remembers about splits.
#[derive(Default)]
pub(super) struct Splits {
    size: RegionSize,
    asked: Option<AskedSplit>,
    questions: u64,
    /// Who wants the region cut in the middle and waits for the walk that finds it.
    halving: Option<AdminCallback>,
    /// All parts of the last split of this region that the peer has seen applied.
    last_parts: Vec<Region>,
}

impl<E: Engine> Peer<E> {
    /// Is a split on its way? Whatever needs the range to stay as it is has to wait then.
    pub fn is_splitting(&self) -> bool {
        self.splits.asked.is_some() || self.changes.overtaking(EpochRule::DATA).is_some()
    }

    /// Bytes and keys of the region, about.
    pub(super) fn approximate_size(&self) -> (u64, u64) {
        (self.splits.size.bytes(), self.splits.size.keys())
    }

    /// Bytes and keys that the region does not exceed, if it was walked over in this life.
    pub fn size_bound(&self) -> Option<(u64, u64)> {
        self.splits.size.bound()
    }

    pub(super) fn on_growth(&mut self, growth: Growth) {
        self.splits.size.grow(growth);
    }

    /// The regions to tell a client whose epoch is not the region's: this one, and what was split off it last.
    pub(super) fn current_regions(&self) -> Vec<Region> {
        let siblings = self.splits.last_parts.iter().filter(|part| part.id != self.region.id);
        let meta = self.context.meta.lock();
        let newest = siblings.map(|part| meta.region(part.id).unwrap_or(part).clone());
        [(*self.region).clone()].into_iter().chain(newest).collect()
    }

    pub(super) fn on_split_check_tick(&mut self, effects: &mut Effects<E>) {
        let now = self.ticks.now();
        if let Some(late) = self.splits.asked.take_if(|asked| asked.deadline <= now) {
            let reason = "the scheduler has given no ids for the split";
            late.waiting.refuse(|| Error::ServerIsBusy { reason: reason.to_owned() });
        }
        let limits = self.context.config.split;
        if self.is_leader() && !self.is_splitting() && self.splits.size.is_check_due(&limits) {
            self.walk(CutPolicy::Limits, effects);
        }
    }

    /// Has the region walked over, unless that is done already.
    fn walk(&mut self, policy: CutPolicy, effects: &mut Effects<E>) {
        if self.splits.size.is_walking() {
            return;
        }
        let walk = self.splits.size.begin_walk();
        let limits = self.context.config.split;
        effects.tasks.push(Task::SplitCheck(SplitCheckTask { region: self.region.clone(), walk, limits, policy }));
    }

    /// A split from outside, which passed the checks of all admin commands. Without keys the region is cut in the middle.
    pub(super) fn on_split_request(
        &mut self,
        request: BatchSplitRequest,
        callback: AdminCallback,
        effects: &mut Effects<E>,
    ) {
        if self.is_splitting() || self.splits.halving.is_some() || self.splits.size.is_walking() {
            let reason = format!("region {} is being split or looked at already", self.region.id);
            return callback(Err(Error::ServerIsBusy { reason }));
        }
        if request.requests.is_empty() {
            self.splits.halving = Some(callback);
            return self.walk(CutPolicy::Half, effects);
        }
        match check_split_keys(&self.region, request.requests.iter().map(|r| &r.split_key)) {
            Ok(()) => self.ask_ids(request.requests, Waiting::Admin(callback), effects),
            Err(error) => callback(Err(error)),
        }
    }

    pub(super) fn on_split_checked(&mut self, checked: SplitChecked, effects: &mut Effects<E>) {
        let SplitChecked { walk, policy, found } = checked;
        if !self.splits.size.is_current(walk) {
            return; // who waited for it was told when the region got other bounds or other data
        }
        let waiting = match self.splits.halving.take() {
            Some(callback) if policy == CutPolicy::Half => Waiting::Admin(callback),
            halving => {
                self.splits.halving = halving;
                Waiting::Nobody
            }
        };
        // A walk that found where to cut may have ended early.
        match found.cuts.is_empty() {
            true => self.splits.size.end_walk(found.bytes, found.keys),
            false => self.splits.size.abandon_walk(),
        }
        if !self.is_leader() {
            return waiting.refuse(|| self.not_leader());
        }
        if self.is_splitting() {
            return waiting.refuse(|| Error::ServerIsBusy { reason: "the region is being split already".to_owned() });
        }
        if found.cuts.is_empty() {
            return waiting.refuse(|| self.admin_refused("there is no key between its pairs to cut it at".to_owned()));
        }
        let requests = found.cuts.into_iter().map(|split_key| SplitRequest { split_key, ..Default::default() });
        self.ask_ids(requests.collect(), waiting, effects);
    }

    fn ask_ids(&mut self, requests: Vec<SplitRequest>, waiting: Waiting, effects: &mut Effects<E>) {
        self.splits.questions += 1;
        let (question, new_regions) = (self.splits.questions, requests.len() as u32);
        effects.questions.push(SplitQuestion { number: question, region: (*self.region).clone(), new_regions });
        let request =
            BatchSplitRequest { requests, right_derive: self.context.config.right_derive, ..Default::default() };
        let deadline = self.ticks.now() + self.context.config.split_wait_ticks;
        self.splits.asked = Some(AskedSplit { question, region: self.region.clone(), request, waiting, deadline });
    }

    /// The scheduler has answered: the split can be proposed.
    pub(super) fn on_split_ids(&mut self, question: u64, ids: SplitIds) {
        // lab:begin 3B split::on_split_ids  hint="the ids were asked for at one epoch; what if it has moved on since?"
        let Some(asked) = self.splits.asked.take_if(|asked| asked.question == question) else { return };
        let AskedSplit { region, mut request, waiting, .. } = asked;
        let ids = match ids {
            Ok(ids) if ids.len() == request.requests.len() => ids,
            Ok(ids) => {
                let (given, wanted) = (ids.len(), request.requests.len());
                return waiting
                    .refuse(|| self.admin_refused(format!("the scheduler gave ids for {given} of {wanted}")));
            }
            Err(reason) => return waiting.refuse(|| Error::ServerIsBusy { reason: format!("scheduler: {reason}") }),
        };
        if !self.is_leader() {
            return waiting.refuse(|| self.not_leader());
        }
        if region.region_epoch != self.region.region_epoch {
            return waiting.refuse(|| Error::EpochNotMatch { current: self.current_regions() });
        }
        for (new, ids) in request.requests.iter_mut().zip(ids) {
            new.new_region_id = ids.new_region_id;
            new.new_peer_ids = ids.new_peer_ids;
        }
        let cmd_type = AdminCmdType::BatchSplit as i32;
        self.propose_admin(AdminRequest { cmd_type, splits: Some(request), ..Default::default() }, waiting);
        // lab:end
    }

    /// This peer no longer leads: splits that were not proposed yet are somebody else's business.
    pub(super) fn abandon_splits(&mut self) {
        if let Some(asked) = self.splits.asked.take() {
            asked.waiting.refuse(|| self.not_leader());
        }
        if let Some(callback) = self.splits.halving.take() {
            callback(Err(self.not_leader()));
        }
    }

    /// What is remembered of the range that the region had: a snapshot has replaced it.
    pub(super) fn forget_splits(&mut self) {
        self.abandon_splits();
        self.splits.size.reset();
        self.splits.last_parts.clear();
    }

    /// The peer has to go: nothing is split any more.
    pub(super) fn end_splits(&mut self, error: impl Fn() -> Error) {
        if let Some(asked) = self.splits.asked.take() {
            asked.waiting.refuse(&error);
        }
        if let Some(callback) = self.splits.halving.take() {
            callback(Err(error()));
        }
    }

    /// Tells the store of the parts of a split. Returns those that need a peer, and the ids of those whose peer is here already,
    /// uninitialised.
    fn enter_parts<'a>(&self, parts: &'a [Region], skipped: &[u64]) -> Result<(Vec<&'a Region>, BTreeSet<u64>)> {
        let mut meta = self.context.meta.lock();
        let mut made = Vec::new();
        for part in parts.iter().filter(|part| part.id != self.region.id && !skipped.contains(&part.id)) {
            // An uninitialised peer of the part may have had to go since. Under the lock that a peer takes when it goes.
            let record: Option<RegionLocalState> =
                read(&self.context.engines.kv, Cf::Raft, &keys::region_state(part.id))?;
            if record.is_some_and(|record| record.state() != PeerState::Tombstone) {
                made.push(part);
            }
        }
        let own = parts.iter().filter(|part| part.id == self.region.id);
        let uninitialized = meta.split(made.iter().copied().chain(own));
        Ok((made, uninitialized))
    }

    /// A split was applied; the state of all parts is on disk, but for those that were skipped: they are here in another way.
    pub(super) fn on_split_applied(
        &mut self,
        parts: Vec<Region>,
        skipped: &[u64],
        effects: &mut Effects<E>,
    ) -> Result<()> {
        // lab:begin 3B split::on_split_applied  hint="five places know a region: which of them have to learn of the new ones, and in which order?"
        let own = parts.iter().find(|part| part.id == self.region.id);
        let own = own.expect("invariant S-SPLIT-IDS: one part keeps the id of the region").clone();
        info!(self.logger, "split"; "parts" => parts.len(), "version" => own.region_epoch.unwrap_or_default().version);
        self.context.metrics.regions_split.inc();
        self.region = Arc::new(own);
        let (made, uninitialized) = self.enter_parts(&parts, skipped)?;
        for part in made {
            if uninitialized.contains(&part.id) {
                effects.adopted.push((part.clone(), self.is_leader()));
                continue;
            }
            let state = PeerState::Normal as i32;
            let state = RegionLocalState { state, region: Some(part.clone()), ..Default::default() };
            let mut peer = Peer::load(self.context.clone(), state)?;
            if self.is_leader() {
                peer.campaign();
            }
            effects.created.push(Box::new(peer));
        }
        self.splits.size.reset();
        if let Some(callback) = self.splits.halving.take() {
            callback(Err(Error::EpochNotMatch { current: parts.clone() }));
        }
        self.splits.last_parts = parts.clone();
        if self.is_leader() {
            effects.heartbeats.push(self.heartbeat());
            effects.splits.push(parts);
        }
        effects.statuses.push(self.status());
        Ok(())
        // lab:end
    }
}
