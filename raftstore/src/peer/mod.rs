//! One replica of one region on this store.
//!
//! Owner: the poller that took the peer out of its mailbox; so there are no locks here. A peer does nothing to the outside: what
//! it wants done is collected in [`Effects`], and the poller does it in the order that safety asks for (messages that may leave,
//! committed entries to apply, then the write task).
//!
//! | file | what it decides |
//! |---|---|
//! | `context.rs` | what peers share; [`Effects`] |
//! | `create.rs` | how a peer comes into being |
//! | `propose.rs` | which writes may become log entries, and how waiting ones are joined |
//! | `admin.rs` | which admin commands may become log entries |
//! | `conf_change.rs` | which changes of members are proposed, and what an applied one means here |
//! | `destroy.rs` | when the peer has to go, and in which steps |
//! | `log_gc.rs` | when the log is compacted |
//! | `read.rs` | when a read may be answered, and from which snapshot |
//! | `snapshot.rs` | how snapshots are made and restored |
//! | `ready.rs` | what a `Ready` of raft-core turns into |
//! | `split.rs` | when and how the region is split |
//! | `transfer.rs` | how the leadership is handed over |
//! | `ticks.rs` | what happens from time to time |

mod admin;
mod conf_change;
mod context;
mod create;
mod destroy;
mod log_gc;
pub(crate) mod propose;
mod read;
mod ready;
mod snapshot;
mod split;
mod status;
mod ticks;
mod transfer;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use proto::{eraftpb, metapb, raft_serverpb::RaftMessage};
use raft_core::{RawNode, Role};
use slog::{Logger, debug};
use storage::Engine;

pub use context::{Effects, PeerContext};
pub(crate) use ready::is_initial;
pub use split::SplitQuestion;
pub use status::PeerStatus;
pub use ticks::PeerTick;

use self::{
    destroy::Life,
    log_gc::LogGc,
    propose::WaitingWrites,
    read::ReadQueue,
    snapshot::{Arriving, Restoring, snapshot_id},
    split::Splits,
    ticks::Ticks,
};
use crate::{
    command::RequestHeader,
    epoch::{ChangesInFlight, EpochRule},
    error::{Error, Result},
    message::{Applied, ApplyResult, PeerMessage, Proposal},
    peer_storage::PeerStorage,
    region,
    snapshot::InUse,
};

/// Senders outside of the region that are remembered.
const MAX_STRANGERS: usize = 16;

/// One replica of one region.
pub struct Peer<E: Engine> {
    context: Arc<PeerContext<E>>,
    logger: Logger,
    peer: metapb::Peer,
    /// The region as of the last applied entry this peer was told of.
    region: Arc<metapb::Region>,
    /// Peers that have written to this one and are not in the region as it knows it, so that they can be answered.
    strangers: BTreeMap<u64, metapb::Peer>,
    node: RawNode<PeerStorage<E>>,
    role: Role,
    leader_id: u64,
    term: u64,
    writes: WaitingWrites,
    /// Proposed and neither applied nor known to be lost, ordered by index.
    proposals: VecDeque<Proposal>,
    changes: ChangesInFlight,
    reads: ReadQueue<E::Snapshot>,
    log_gc: LogGc,
    splits: Splits,
    /// Number of the last `Ready` that was handed to the log writer.
    last_ready: u64,
    /// Number of the last `Ready` known to be on disk.
    persisted_ready: u64,
    /// All entries up to here are applied.
    applied: u64,
    /// All entries up to here are with the apply worker, or applied.
    handed_to_apply: u64,
    /// A received snapshot whose files are being read through.
    checking: Option<InUse>,
    /// What raft-core has taken in and not handed out yet.
    arriving: Option<Arriving>,
    /// What has replaced the log and not all of the rest yet.
    restoring: Option<Restoring>,
    life: Life,
    /// Peers of the region lagged behind when this leader last looked.
    lagging: bool,
    /// Raft ticks since a leader was heard of.
    leader_missing: u64,
    /// The newest `conf_ver` that any message named.
    told_conf_ver: u64,
    ticks: Ticks,
    /// The tick at which the last crowd is forgotten.
    crowded_until: u64,
}

impl<E: Engine> Peer<E> {
    /// Id of the region.
    pub fn region_id(&self) -> u64 {
        self.region.id
    }

    /// The region as of the last applied entry that the peer was told of.
    pub fn region(&self) -> &metapb::Region {
        &self.region
    }

    /// The consensus state, for checks of the simulator.
    pub fn node(&self) -> &RawNode<PeerStorage<E>> {
        &self.node
    }

    /// This peer.
    pub fn peer(&self) -> &metapb::Peer {
        &self.peer
    }

    /// Ticks since it was loaded.
    pub fn ticks(&self) -> u64 {
        self.ticks.now()
    }

    /// Index of the last entry that the apply worker has reported as applied.
    pub fn applied_index(&self) -> u64 {
        self.applied
    }

    /// Index and term of the proposals of this peer that are neither handed to the apply worker nor known to be lost.
    pub fn proposed(&self) -> impl Iterator<Item = (u64, u64)> {
        self.proposals.iter().map(|proposal| (proposal.index, proposal.term))
    }

    fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// Handles one message. What follows from it is done by [`Peer::finish_round`].
    ///
    /// # Errors
    /// Those of the engines; they are fatal for the store.
    pub fn on_message(&mut self, message: PeerMessage<E::Snapshot>, effects: &mut Effects<E>) -> Result<()> {
        match message {
            PeerMessage::Applied(applied) => return self.on_applied(applied, effects),
            PeerMessage::Persisted { ready } if !self.is_serving() => self.on_persisted_while_leaving(ready),
            late if !self.is_serving() => self.on_late_message(late),
            PeerMessage::Raft(message) => self.on_raft_message(*message, effects),
            PeerMessage::Write(command) => self.on_write(command),
            PeerMessage::Read(command) => self.on_read(command),
            PeerMessage::Admin(command) => self.on_admin(*command, effects),
            PeerMessage::Persisted { ready } => self.on_persisted(ready),
            PeerMessage::LogDeleted { to } => self.on_log_deleted(to, effects),
            PeerMessage::SplitChecked(checked) => self.on_split_checked(checked, effects),
            PeerMessage::SplitIds { question, ids } => self.on_split_ids(question, ids),
            PeerMessage::RegionKnown(region) => self.on_region_known(&region, effects),
            PeerMessage::SplitOff { region, campaign } => self.on_split_off(*region, campaign),
            PeerMessage::SnapshotGenerated { ticket, snapshot } => self.on_snapshot_generated(&ticket, snapshot),
            PeerMessage::SnapshotChecked { message, ok } => self.on_snapshot_checked(*message, ok),
            PeerMessage::SnapshotRestored { id, ok } => self.on_snapshot_restored(id, ok, effects),
            PeerMessage::SnapshotStatus { to_peer, ok } => self.on_snapshot_status(to_peer, ok),
            PeerMessage::Unreachable { store_id } => {
                if let Some(peer) = region::peer_on_store(&self.region, store_id) {
                    self.node.report_unreachable(peer.id);
                }
            }
        }
        Ok(())
    }

    fn on_raft_message(&mut self, message: RaftMessage, effects: &mut Effects<E>) {
        let Some(message) = self.judge_message(message, effects) else { return };
        let inner = message.message.as_ref().filter(|inner| inner.to == self.peer.id);
        let Some(inner) = inner.filter(|_| !self.is_out_of_order()) else {
            debug!(self.logger, "dropped a raft message without content for this peer");
            return self.context.metrics.messages_dropped.inc();
        };
        self.context.metrics.messages_received.inc();
        self.note_leader(inner.msg_type(), inner.term);
        self.remember_sender(&message);
        match (snapshot_id(&message), message.message) {
            (Some(id), Some(inner)) => {
                let message = RaftMessage { message: Some(inner), ..message };
                self.on_snapshot_message(message, id, effects);
            }
            (None, Some(inner)) if self.awaits_snapshot(&inner) => self.context.metrics.messages_dropped.inc(),
            (None, Some(inner)) => self.step(inner),
            (_, None) => {}
        }
    }

    /// Remembers a sender that is not in the region as this peer knows it. All of them are in the region as somebody knows it.
    fn remember_sender(&mut self, message: &RaftMessage) {
        let Some(from) = message.from_peer.filter(|from| !self.region.peers.contains(from)) else { return };
        if self.strangers.len() >= MAX_STRANGERS {
            self.strangers.clear();
        }
        self.strangers.insert(from.id, from);
    }

    fn step(&mut self, message: eraftpb::Message) {
        if let Err(error) = self.node.step(message) {
            debug!(self.logger, "raft refused a message"; "error" => %error);
        }
    }

    fn on_applied(&mut self, applied: Applied, effects: &mut Effects<E>) -> Result<()> {
        if let Some(ApplyResult::Buried { removed_by }) = applied.results.last() {
            return self.on_buried(*removed_by, applied.results, effects);
        }
        for result in &applied.results {
            if let ApplyResult::MembersChanged { change, .. } = result {
                self.change_configuration(change);
            }
        }
        self.applied = applied.index;
        self.node.mut_store().set_applied(applied.index);
        self.node.advance_apply_to(applied.index);
        self.on_growth(applied.growth);
        for result in applied.results {
            match result {
                ApplyResult::MembersChanged { region, .. } => self.on_members_changed(*region, effects),
                ApplyResult::Buried { .. } => {}
                ApplyResult::LogCompacted(truncated) => self.on_log_compacted(truncated, effects),
                ApplyResult::Split { parts, skipped } => self.on_split_applied(parts, &skipped, effects)?,
            }
        }
        self.assert_configuration();
        self.changes.applied_to(applied.index);
        self.hurry_changes();
        self.leave_joint();
        Ok(())
    }

    fn on_persisted(&mut self, ready: u64) {
        assert!(
            ready <= self.last_ready,
            "invariant R-PERSIST-ORDER: region {} peer {}: ready {ready} reported, {} handed out",
            self.region.id,
            self.peer.id,
            self.last_ready
        );
        self.persisted_ready = self.persisted_ready.max(ready);
        self.node.on_persisted(self.persisted_for_raft());
    }

    /// One tick of the raft clock.
    pub fn on_tick(&mut self, effects: &mut Effects<E>) {
        if !self.is_serving() {
            return;
        }
        for tick in self.ticks.advance(&self.context.config) {
            match tick {
                PeerTick::Raft if self.is_out_of_order() => self.ask_if_wanted(effects),
                PeerTick::Raft => {
                    self.node.tick();
                    self.node.mut_store().on_tick();
                    self.expire_waiting_reads();
                    self.leave_joint();
                    self.ask_if_wanted(effects);
                    self.report_caught_up(effects);
                }
                PeerTick::RegionHeartbeat if self.is_leader() => effects.heartbeats.push(self.heartbeat()),
                PeerTick::RegionHeartbeat => {}
                PeerTick::LogGc => self.on_log_gc_tick(),
                PeerTick::SplitCheck => self.on_split_check_tick(effects),
            }
        }
        effects.statuses.push(self.status());
    }

    /// Ends the round: proposes what waits, turns everything new into effects, answers the reads that can be answered.
    ///
    /// # Errors
    /// Those of the engines; they are fatal for the store.
    pub fn finish_round(&mut self, effects: &mut Effects<E>) -> Result<()> {
        if !self.is_serving() {
            return Ok(());
        }
        self.note_crowd();
        self.propose_waiting_writes();
        self.start_read_round();
        while self.may_take_ready() {
            self.handle_ready(effects)?;
        }
        self.continue_restore(effects);
        self.request_snapshot(effects);
        self.answer_reads()
    }

    /// True if several clients waited at a time just now. Then what comes next is better gathered than handled alone: what is handled
    /// together shares an entry, a message and a sync. The memory of a tick bridges the moment in which all have their answers and
    /// their next requests are on the way.
    pub fn is_crowded(&self) -> bool {
        self.crowded_until > self.ticks.now()
    }

    /// Counts at most once a tick while there is a crowd: a busy region has better things to do.
    fn note_crowd(&mut self) {
        let until = self.ticks.now() + 2;
        if self.crowded_until < until && self.waiting_writers() + self.reads.waiting_readers() > 1 {
            self.crowded_until = until;
        }
    }

    /// The checks that every request has to pass, in the order in which TiKV makes them.
    fn check_header(&self, header: &RequestHeader, rule: EpochRule) -> Result<()> {
        if header.peer.store_id != 0 {
            if header.peer.store_id != self.context.store_id {
                return Err(Error::StoreNotMatch { request: header.peer.store_id, actual: self.context.store_id });
            }
            if header.peer.id != self.peer.id {
                let (request, actual) = (header.peer.id, self.peer.id);
                return Err(Error::MismatchPeerId { region_id: self.region.id, request, actual });
            }
        }
        if !self.is_initialized() {
            return Err(Error::RegionNotFound { region_id: self.region.id });
        }
        if !self.is_leader() {
            return Err(self.not_leader());
        }
        if header.term != 0 && header.term != self.term {
            return Err(Error::StaleCommand);
        }
        self.check_epoch(rule, &header.epoch)
    }

    fn check_epoch(&self, rule: EpochRule, sent: &metapb::RegionEpoch) -> Result<()> {
        rule.check(&self.region, sent).map_err(|_| Error::EpochNotMatch { current: self.current_regions() })
    }

    fn not_leader(&self) -> Error {
        let leader = self.region.peers.iter().find(|p| p.id == self.leader_id && p.id != self.peer.id);
        Error::NotLeader { region_id: self.region.id, leader: leader.copied().map(Box::new) }
    }
}
