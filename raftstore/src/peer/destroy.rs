//! The end of a peer: how it learns that it is not a member any more, and what is left of it.
//!
//! A peer goes because it applies its own removal, or because it has missed that and is told: by a member, by a message for its successor on the same
//! store, or by the scheduler. Only what a newer `conf_ver` says is believed, and ids of peers are never used twice; so who goes is really
//! not wanted any more.
//!
//! ```text
//! told to go          ─→ nothing is taken in any more; the apply worker is asked for the tombstone, behind all that it still has to apply
//! own removal applied ─→ (the tombstone is written with it)
//! tombstone on disk   ─→ the store forgets the region and keeps the tombstone; the log writer is asked to clear the log, behind all it has
//! log cleared         ─→ the mailbox is closed; what still comes is refused or dropped
//! ```
//!
//! Until the mailbox is closed the region has a peer here, so no other one can come into being while records of this one are still being removed.
//! A crash in between is made up for at the next start: what has a tombstone is not loaded, and its log is cleared (order: DESIGN of the
//! write orders in `docs/architecture.md`, "destroy").
//!
//! Invariants: S-APPLY-STOP (a peer that goes applies, sends and persists nothing more), S-TOMB, S-CB-ONCE.

use proto::{
    eraftpb::MessageType,
    metapb::{Region, RegionEpoch},
    raft_serverpb::{ExtraMessage, ExtraMessageType, RaftMessage},
};
use slog::{debug, info};
use storage::Engine;

use super::{Effects, Peer};
use crate::{
    error::{Error, Result},
    log_writer::PersistTask,
    message::{ApplyResult, ApplyWork, DestroyTask, PeerMessage},
};

/// Where a peer is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// It works.
    #[default]
    Serving,
    /// It knows that it has to go, and waits for its tombstone.
    Ending,
    /// Its tombstone is on disk, its log is being cleared.
    Clearing,
    /// Nothing of it is left.
    Gone,
}

/// What a raft message says about this peer, apart from its content.
enum Verdict {
    /// It is for this peer, from somebody who may speak.
    Handle,
    /// It is of no use.
    Drop(&'static str),
    /// This peer is not wanted any more.
    Leave(&'static str),
    /// Its sender is not wanted any more, and does not know it.
    TellSender,
}

impl<E: Engine> Peer<E> {
    /// Is nothing left of the peer? Then its mailbox can be closed.
    pub fn is_gone(&self) -> bool {
        self.life == Life::Gone
    }

    /// Does the peer still take part in its region?
    pub fn is_serving(&self) -> bool {
        self.life == Life::Serving
    }

    /// Looks at the envelope of a raft message. Returns the message if its content is to be handled.
    pub(super) fn judge_message(&mut self, message: RaftMessage, effects: &mut Effects<E>) -> Option<RaftMessage> {
        match self.verdict(&message) {
            Verdict::Handle => {
                let sent = message.region_epoch.unwrap_or_default().conf_ver;
                self.told_conf_ver = self.told_conf_ver.max(sent);
                return Some(message);
            }
            Verdict::Drop(reason) => {
                debug!(self.logger, "dropped a message"; "why" => reason, "from" => ?message.from_peer);
                self.context.metrics.messages_dropped.inc();
            }
            Verdict::Leave(reason) => self.leave(reason, effects),
            Verdict::TellSender => effects.messages.push(self.tombstone_for(&message)),
        }
        None
    }

    fn verdict(&self, message: &RaftMessage) -> Verdict {
        let to = message.to_peer.map_or(0, |peer| peer.id);
        let from = message.from_peer.map_or(0, |peer| peer.id);
        let sent = message.region_epoch.unwrap_or_default().conf_ver;
        let own = self.known_conf_ver();
        if to == self.peer.id && sent == own && !message.is_tombstone {
            return Verdict::Handle; // both know the same members
        }
        // lab:begin 3B destroy::verdict  hint="ids of peers first, then conf_ver: who of the two does not belong to the region any more?"
        if to > self.peer.id {
            return Verdict::Leave("a younger peer of the region is wanted on this store");
        }
        if to != self.peer.id {
            return Verdict::Drop("it is for an earlier peer");
        }
        if message.is_tombstone {
            return match sent > own {
                true => Verdict::Leave("a member says so"),
                false => Verdict::Drop("a tombstone from before this peer came"),
            };
        }
        // Who has no region yet is at conf_ver 0; it may be newer than what is known here.
        if sent != 0 && sent < own && self.is_initialized() && self.region.peers.iter().all(|peer| peer.id != from) {
            return Verdict::TellSender;
        }
        Verdict::Handle
        // lab:end
    }

    fn tombstone_for(&self, message: &RaftMessage) -> RaftMessage {
        info!(self.logger, "tells a peer that it was removed"; "peer" => ?message.from_peer);
        RaftMessage {
            region_id: self.region.id,
            from_peer: Some(self.peer),
            to_peer: message.from_peer,
            region_epoch: self.region.region_epoch,
            is_tombstone: true,
            ..Default::default()
        }
    }

    /// The peer has to go. Whoever waits for it learns that; then its tombstone is asked for.
    pub(super) fn leave(&mut self, reason: &'static str, effects: &mut Effects<E>) {
        // lab:begin 3B destroy::leave  hint="what the apply worker still has to apply comes before the tombstone"
        if !self.is_serving() || (self.restoring.is_some() && !self.is_out_of_order()) {
            return; // whoever restores a snapshot writes what must not be written any more; it will be told again
        }
        info!(self.logger, "is not wanted any more"; "why" => reason);
        self.stop(Life::Ending);
        // Of what an uninitialised peer was told, the tombstone keeps this much.
        let mut region = (*self.region).clone();
        region.region_epoch.get_or_insert_default().conf_ver = self.known_conf_ver();
        effects.apply.push(ApplyWork::Destroy(DestroyTask { region, peer: self.peer }));
        // lab:end
    }

    /// The tombstone is on disk; it came with the peer's own removal, or because it was asked for.
    /// What was applied before it still counts: parts that were split off need their peers.
    pub(super) fn on_buried(
        &mut self,
        removed_by: (u64, u64),
        results: Vec<ApplyResult>,
        effects: &mut Effects<E>,
    ) -> Result<()> {
        // lab:begin 3B destroy::on_buried  hint="the store forgets the region; the log goes last, behind everything that is still to be written"
        for result in results {
            match result {
                ApplyResult::Split { parts, skipped } => self.on_split_applied(parts, &skipped, effects)?,
                ApplyResult::MembersChanged { region, .. } => self.on_members_changed(*region, effects),
                ApplyResult::LogCompacted(_) | ApplyResult::Buried { .. } => {}
            }
        }
        info!(self.logger, "destroyed"; "index" => removed_by.0);
        self.stop(Life::Clearing);
        self.context.metrics.peers_destroyed.inc();
        self.context.meta.lock().bury(self.region.id);
        self.last_ready += 1;
        effects.persist.push(PersistTask::clear(self.region.id, self.last_ready));
        Ok(())
        // lab:end
    }

    /// The `conf_ver` up to which the peer knows what became of the members. One that was never initialised knows what messages told.
    fn known_conf_ver(&self) -> u64 {
        match self.is_initialized() {
            true => self.region.region_epoch.unwrap_or_default().conf_ver,
            false => self.told_conf_ver,
        }
    }

    /// The log writer has come to this number. If that was the end of the log, nothing is left.
    pub(super) fn on_persisted_while_leaving(&mut self, ready: u64) {
        self.persisted_ready = self.persisted_ready.max(ready);
        if self.life == Life::Clearing && self.persisted_ready == self.last_ready {
            self.life = Life::Gone;
        }
    }

    /// Takes in nothing any more, and lets nobody wait.
    fn stop(&mut self, life: Life) {
        self.life = life;
        let region_id = self.region.id;
        let gone = || Error::RegionNotFound { region_id };
        for proposal in std::mem::take(&mut self.proposals) {
            // It may be in the logs of others, who may commit it yet.
            proposal.waiting.refuse(|| Error::OutcomeUnknown { region_id });
        }
        self.end_waiting_writes(gone);
        self.end_reads(gone);
        self.end_splits(gone);
        self.changes.clear();
    }

    /// Ends a message that reaches a peer which has stopped.
    pub(super) fn on_late_message(&mut self, message: PeerMessage<E::Snapshot>) {
        if matches!(message, PeerMessage::Raft(_)) {
            self.context.metrics.messages_dropped.inc();
        }
        message.refuse(Error::RegionNotFound { region_id: self.region.id });
    }

    /// A leader has spoken, or somebody speaks for one.
    pub(super) fn note_leader(&mut self, msg_type: MessageType, term: u64) {
        let from_leader =
            matches!(msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot);
        if from_leader && term >= self.term {
            self.leader_missing = 0;
        }
    }

    /// One tick without a leader more. After many of them the peer may have been removed while it was away: it asks around.
    pub(super) fn ask_if_wanted(&mut self, effects: &mut Effects<E>) {
        self.leader_missing += 1;
        if self.is_leader() {
            self.leader_missing = 0;
        }
        let limit = self.context.config.max_leader_missing_ticks;
        if self.leader_missing == 0 || !self.leader_missing.is_multiple_of(limit) {
            return;
        }
        info!(self.logger, "asks whether it is still a member"; "ticks" => self.leader_missing);
        effects.membership_questions.push(self.region.id);
        for other in self.region.peers.iter().filter(|other| other.id != self.peer.id) {
            effects.messages.push(RaftMessage {
                region_id: self.region.id,
                from_peer: Some(self.peer),
                to_peer: Some(*other),
                region_epoch: self.region.region_epoch,
                extra_msg: Some(ExtraMessage {
                    r#type: ExtraMessageType::MsgCheckStalePeer as i32,
                    ..Default::default()
                }),
                ..Default::default()
            });
        }
    }

    /// The region as the scheduler knows it. It has been told by leaders, of what was applied.
    pub(super) fn on_region_known(&mut self, region: &Region, effects: &mut Effects<E>) {
        let conf_ver = |epoch: Option<RegionEpoch>| epoch.unwrap_or_default().conf_ver;
        let newer = conf_ver(region.region_epoch) > self.known_conf_ver();
        if newer && region.peers.iter().all(|peer| peer.id != self.peer.id) {
            self.leave("the scheduler says so", effects);
        }
    }
}
