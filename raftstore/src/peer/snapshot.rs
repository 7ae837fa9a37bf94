//! A peer's part in snapshots: having them made, accepting them, restoring them.
//!
//! A received snapshot takes this way: its files are read through by a worker; it is checked against the region, and its range
//! reserved; raft-core takes it in; when everything before it is applied, it goes to the log writer (kv {Applying}, then the raft
//! log is cleared); when that is durable, a worker replaces the data. Only then is raft-core told that the snapshot is durable:
//! until then it neither campaigns, appends nor hands out entries (R-SNAP-ONE).

use std::sync::Arc;

use prost::Message;
use proto::{
    eraftpb::{self, MessageType, Snapshot},
    metapb::Region,
    raft_serverpb::{PeerState, RaftApplyState, RaftMessage, RaftSnapshotData, RaftTruncatedState, RegionLocalState},
};
use slog::{debug, info};
use storage::{Cf, Engine, WriteBatch};

use super::{Effects, Peer};
use crate::{
    error::Error,
    keys,
    message::{ApplyWork, SnapshotRequest},
    region,
    snapshot::{InUse, Origin, SnapshotId, decode_data, recover},
    worker::{RestoreTask, Task, Ticket},
};

/// What raft-core has taken in as a snapshot.
pub(super) enum Arriving {
    /// A received one; its files must not be collected.
    Received { _files: InUse },
    /// The beginning of a region that a split has made; there is no data to move.
    Split { campaign: bool },
}

/// A snapshot on its way into this peer.
pub(super) struct Restoring {
    id: SnapshotId,
    region: Region,
    /// The `Ready` that carries it.
    ready: u64,
    stage: Stage,
    source: Arriving,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The log writer has it.
    Persisting,
    /// A worker has it.
    Replacing,
    /// Its files turned out to be damaged when the old state was gone. The peer does nothing more.
    Failed,
}

impl<E: Engine> Peer<E> {
    /// Whether the peer has neither its old state nor a new one.
    pub(super) fn is_out_of_order(&self) -> bool {
        self.restoring.as_ref().is_some_and(|restoring| restoring.stage == Stage::Failed)
    }

    /// Hands the wish of raft-core for a snapshot to the apply stage, behind everything that waits there.
    pub(super) fn request_snapshot(&mut self, effects: &mut Effects<E>) {
        let Some(ticket) = self.node.mut_store().take_up_generation() else { return };
        let applied = self.applied;
        let term = self.node.raft.log_term(applied).unwrap_or_default();
        let request = SnapshotRequest { region_id: self.region.id, ticket, applied, term };
        effects.apply.push(ApplyWork::Snapshot(request));
    }

    /// A worker has made a snapshot, or not.
    pub(super) fn on_snapshot_generated(&mut self, ticket: &Ticket, snapshot: Option<Box<Snapshot>>) {
        self.node.mut_store().generated(ticket, snapshot);
    }

    /// A snapshot was received. Raft hears of it when its files are read through.
    pub(super) fn on_snapshot_message(&mut self, message: RaftMessage, id: SnapshotId, effects: &mut Effects<E>) {
        if id.index <= self.node.raft.committed() || self.restoring.is_some() {
            debug!(self.logger, "a snapshot is not needed"; "index" => id.index);
            self.context.snapshots.done(Origin::Received, id);
            // It has to be answered all the same: the leader learns how far this peer is.
            return self.step(message.message.unwrap_or_default());
        }
        if self.checking.is_some() {
            debug!(self.logger, "another snapshot is being read through"; "index" => id.index);
            return self.context.snapshots.done(Origin::Received, id);
        }
        self.checking = Some(self.context.snapshots.hold(Origin::Received, id));
        effects.tasks.push(Task::CheckSnapshot { message: Box::new(message), id });
    }

    /// Would this append be refused because of the very snapshot whose files are being read through? The refusal would make the leader send
    /// another one. It asks again soon.
    pub(super) fn awaits_snapshot(&self, message: &eraftpb::Message) -> bool {
        let raft = &self.node.raft;
        let connects = || message.index <= raft.committed() || raft.log_term(message.index) == Some(message.log_term);
        self.checking.is_some() && message.msg_type() == MessageType::MsgAppend && !connects()
    }

    /// The files of a received snapshot are read through.
    pub(super) fn on_snapshot_checked(&mut self, message: RaftMessage, ok: bool) {
        let (Some(files), Some(id)) = (self.checking.take(), snapshot_id(&message)) else { return };
        if !ok {
            self.context.metrics.snapshots_damaged.inc();
            return; // the leader finds out that the log does not go on, and sends another one
        }
        let inner = message.message.unwrap_or_default();
        let free = self.node.raft.pending_snapshot().is_none();
        if free && inner.snapshot.as_ref().is_some_and(|snapshot| self.accept(snapshot)) {
            self.step(inner);
            if self.node.raft.pending_snapshot() == Some((id.index, id.term)) {
                self.arriving = Some(Arriving::Received { _files: files });
                return;
            }
            self.context.meta.lock().release(self.region.id);
        }
        self.context.metrics.snapshots_refused.inc();
        self.context.snapshots.done(Origin::Received, id);
    }

    /// Checks that a snapshot is for this peer and reserves its range (S-SNAP-RANGE).
    fn accept(&self, snapshot: &Snapshot) -> bool {
        // lab:begin 2C peer::accept  hint="is this peer a member? is it newer than what we know? whose keys does it cover?"
        let Some(region) = decode_data(snapshot).ok().map(|(region, _)| region) else { return false };
        let epoch = |region: &Region| region.region_epoch.unwrap_or_default();
        let (theirs, ours) = (epoch(&region), epoch(&self.region));
        let reason = if region.id != self.region.id || !region.peers.iter().any(|peer| peer.id == self.peer.id) {
            Some("this peer is not a member in it".to_owned())
        } else if theirs.version < ours.version || theirs.conf_ver < ours.conf_ver {
            Some("its region is older than ours".to_owned())
        } else {
            let reserved = self.context.meta.lock().reserve(region);
            reserved.err().map(|other| format!("its range is that of region {other}, too"))
        };
        if let Some(reason) = &reason {
            info!(self.logger, "refused a snapshot"; "reason" => reason);
        }
        reason.is_none()
        // lab:end
    }

    /// Whether the next `Ready` may be taken: one with a snapshot only when nothing is left to apply that the snapshot replaces.
    pub(super) fn may_take_ready(&self) -> bool {
        let waits = self.node.raft.pending_snapshot().is_some() && self.restoring.is_none();
        self.node.has_ready() && !(waits && self.applied < self.handed_to_apply)
    }

    /// A `Ready` carries a snapshot. Returns the records that the kv engine needs before the raft log is cleared for it: {Applying, a
    /// copy of the raft state}. A split has written its records already.
    pub(super) fn begin_restore(&mut self, snapshot: &Snapshot, ready: u64) -> Option<WriteBatch> {
        let id = SnapshotId::of(self.region.id, snapshot);
        let region = decode_region(snapshot);
        let source = self.arriving.take().expect("invariant R-SNAP-ONE: only what was accepted is taken in");
        self.node.mut_store().begin_restore(id);
        let kv = matches!(source, Arriving::Received { .. }).then(|| {
            let state = PeerState::Applying as i32;
            let state = RegionLocalState { state, region: Some(region.clone()), ..RegionLocalState::default() };
            let truncated_state = Some(RaftTruncatedState { index: id.index, term: id.term });
            let apply = RaftApplyState { applied_index: id.index, truncated_state, ..RaftApplyState::default() };
            let mut kv = WriteBatch::new();
            kv.put(Cf::Raft, keys::region_state(id.region_id), state.encode_to_vec());
            kv.put(Cf::Raft, keys::apply_state(id.region_id), apply.encode_to_vec());
            let raft_state = self.node.store().raft_state().encode_to_vec();
            kv.put(Cf::Raft, keys::snapshot_raft_state(id.region_id), raft_state);
            kv
        });
        self.restoring = Some(Restoring { id, region, ready, stage: Stage::Persisting, source });
        kv
    }

    /// Which `Ready`s raft-core may be told of: not the one whose snapshot is not restored yet.
    pub(super) fn persisted_for_raft(&self) -> u64 {
        let before = self.restoring.as_ref().map_or(u64::MAX, |restoring| restoring.ready - 1);
        self.persisted_ready.min(before)
    }

    /// Has the data replaced, once the records of [`Peer::begin_restore`] are durable.
    pub(super) fn continue_restore(&mut self, effects: &mut Effects<E>) {
        let due = |restoring: &&mut Restoring| {
            restoring.stage == Stage::Persisting && restoring.ready <= self.persisted_ready
        };
        let Some(restoring) = self.restoring.as_mut().filter(due) else { return };
        restoring.stage = Stage::Replacing;
        if matches!(restoring.source, Arriving::Split { .. }) {
            self.context.metrics.peers_adopted.inc();
            return self.finish_restore(effects);
        }
        // What this store holds of the region: also if a split has made it behind this peer's back.
        let old_range = self.context.meta.lock().region(self.region.id).map(recover::range);
        let (id, region) = (restoring.id, restoring.region.clone());
        effects.tasks.push(Task::Restore(RestoreTask { id, region, old_range }));
    }

    /// A worker has replaced the data, or could not.
    pub(super) fn on_snapshot_restored(&mut self, id: SnapshotId, ok: bool, effects: &mut Effects<E>) {
        let Some(restoring) = &mut self.restoring else { return };
        if !ok {
            restoring.stage = Stage::Failed;
            return;
        }
        assert!(
            restoring.id == id && restoring.stage == Stage::Replacing,
            "invariant R-SNAP-ONE: region {} peer {}: snapshot {id} is restored, {} was due",
            self.region.id,
            self.peer.id,
            restoring.id
        );
        self.context.metrics.snapshots_restored.inc();
        self.finish_restore(effects);
    }

    /// Everything on disk is that of the snapshot.
    fn finish_restore(&mut self, effects: &mut Effects<E>) {
        // lab:begin 2C peer::finish_restore  hint="region, applied and truncated index, apply stage, range index, raft: who still believes the old state?"
        let Some(Restoring { id, region, source, .. }) = self.restoring.take() else { return };
        self.region = Arc::new(region);
        self.strangers.clear();
        if let Some(peer) = region::peer_on_store(&self.region, self.context.store_id) {
            self.peer = *peer;
        }
        self.context.meta.lock().restored((*self.region).clone());
        self.applied = id.index;
        self.handed_to_apply = id.index;
        self.node.mut_store().finish_restore(id);
        self.log_gc.restored(id.index);
        self.forget_splits();
        self.end_proposals(id);
        effects.apply.push(ApplyWork::Reload(self.region.id));
        self.node.on_persisted(self.persisted_ready);
        self.node.advance_apply_to(id.index);
        if matches!(source, Arriving::Split { campaign: true }) {
            self.campaign();
        }
        self.assert_configuration();
        effects.statuses.push(self.status());
        // lab:end
    }

    /// Nobody will see the entries up to the snapshot's any more. Of a proposal among them it is not known whether it was committed; one
    /// behind it, from an older term than the snapshot's, was not and will not be.
    fn end_proposals(&mut self, id: SnapshotId) {
        for proposal in std::mem::take(&mut self.proposals) {
            match proposal.index > id.index {
                true if proposal.term >= id.term => self.proposals.push_back(proposal),
                true => proposal.waiting.refuse(|| Error::StaleCommand),
                false => proposal.waiting.refuse(|| Error::OutcomeUnknown { region_id: id.region_id }),
            }
        }
    }
}

/// The region of a snapshot that was accepted, or made by a split.
fn decode_region(snapshot: &Snapshot) -> Region {
    let data = RaftSnapshotData::decode(snapshot.data.clone()).ok();
    data.and_then(|data| data.region).expect("invariant R-SNAP-ONE: only a snapshot with a region is taken in")
}

/// The snapshot that a message carries.
pub(super) fn snapshot_id(message: &RaftMessage) -> Option<SnapshotId> {
    let inner = message.message.as_ref().filter(|inner| inner.msg_type() == MessageType::MsgSnapshot)?;
    inner.snapshot.as_ref().map(|snapshot| SnapshotId::of(message.region_id, snapshot))
}
