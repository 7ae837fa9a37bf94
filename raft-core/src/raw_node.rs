//! The node as its owner sees it: [`RawNode`].
//!
//! It wraps [`Raft`] with the hand-over of work: what changed since the last [`Ready`], which Readies are on their way to the disk, and
//! which messages may leave before they are there. See [`crate::ready`] for the contract.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::eraftpb::{ConfState, EntryType, HardState, Message, MessageType, Snapshot};
use slog::Logger;

use crate::membership::Change;
use crate::raft::{Raft, SoftState};
use crate::status::Status;
use crate::validate::{is_local, is_response};
use crate::{Config, Error, Ready, Result, Storage};

/// Term and vote: a node must not speak for a term before both are on disk.
type Ballot = (u64, u64);

/// One node of a group, driven by its owner: ticks and messages in, [`Ready`] out. The order of the fields in memory is that of [`Raft`]:
/// first what an idle tick needs.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct RawNode<S: Storage> {
    pub(crate) prev_soft_state: SoftState,
    pub(crate) prev_hard_state: HardState,
    /// The algorithm.
    pub raft: Raft<S>,
    /// Number of the last Ready.
    pub(crate) number: u64,
    /// The ballot on disk.
    pub(crate) durable_ballot: Ballot,
    /// Ballots on their way to the disk, with the number of their Ready.
    pub(crate) ballots: VecDeque<(u64, Ballot)>,
}

impl<S: Storage> RawNode<S> {
    /// A node that continues where `store` says it stopped.
    pub fn new(config: &Config, store: S, logger: &Logger) -> Result<Self> {
        let prev_hard_state = store.initial_state()?.hard_state;
        let raft = Raft::new(config, store, logger)?;
        Ok(RawNode {
            prev_soft_state: raft.soft_state(),
            prev_hard_state,
            number: 0,
            durable_ballot: (prev_hard_state.term, prev_hard_state.vote),
            ballots: VecDeque::new(),
            raft,
        })
    }

    /// One tick of the clock. Returns true if it made something to do.
    pub fn tick(&mut self) -> bool {
        self.raft.tick()
    }

    /// Starts an election now. Does nothing on a leader and on a node that may not lead.
    pub fn campaign(&mut self) -> Result<()> {
        self.raft.campaign();
        Ok(())
    }

    /// Proposes an entry. Returns the index and term at which it will be committed; if another term's entry is committed at that index,
    /// the proposal is lost.
    ///
    /// Errors: [`Error::NotLeader`], [`Error::ProposalDropped`], [`Error::TransferInProgress`]; in all cases nothing was appended.
    pub fn propose(&mut self, context: Bytes, data: Bytes) -> Result<(u64, u64)> {
        self.raft.propose(EntryType::EntryNormal, context, data)
    }

    /// Proposes a change of membership: a [`proto::eraftpb::ConfChange`] or a [`proto::eraftpb::ConfChangeV2`]. An empty one of the latter
    /// leaves a joint configuration. Returns index and term like [`RawNode::propose`]. The change takes effect when its entry is applied,
    /// see [`RawNode::apply_conf_change`].
    ///
    /// Errors, all without an entry: [`Error::NotLeader`], [`Error::ConfChangeRefused`] (not now: one at a time),
    /// [`Error::ConfChangeInvalid`] (never in this configuration), [`Error::ProposalDropped`].
    pub fn propose_conf_change(&mut self, context: Bytes, change: impl Into<Change>) -> Result<(u64, u64)> {
        self.raft.propose_conf_change(context, change.into())
    }

    /// Puts a change of membership into force. To be called when its entry is applied, before [`RawNode::advance_apply_to`] reports that index;
    /// the returned members are to be persisted together with it. [`crate::decode_conf_change`] reads the entry.
    ///
    /// While a snapshot that this node has taken in is not on its disk, nothing changes: what was handed out before is covered by it, and the
    /// returned members are the snapshot's.
    ///
    /// Errors: [`Error::ConfChangeInvalid`], and nothing has changed; every node that applies the entry meets the same error.
    pub fn apply_conf_change(&mut self, change: impl Into<Change>) -> Result<ConfState> {
        self.raft.apply_conf_change(change.into())
    }

    /// Transfers the leadership to a voter; to this node itself means to give up a transfer that runs. Watch the soft state for its success; it
    /// ends unsuccessfully after an election timeout. Meanwhile proposals are refused.
    ///
    /// Errors: [`Error::NotLeader`], [`Error::TransferRefused`] for a stranger or a learner.
    pub fn transfer_leader(&mut self, to: u64) -> Result<()> {
        self.raft.transfer_leader(to)
    }

    /// Takes in a message of another node. Messages that cannot be used are ignored.
    ///
    /// Errors: [`Error::StepLocalMessage`] for a type that never comes from outside, [`Error::StepPeerNotFound`] for an answer of a node
    /// that is no member.
    pub fn step(&mut self, message: Message) -> Result<()> {
        if let Ok(msg_type) = MessageType::try_from(message.msg_type) {
            if is_local(msg_type) {
                return Err(Error::StepLocalMessage);
            }
            if is_response(msg_type) && self.raft.tracker().get(message.from).is_none() {
                return Err(Error::StepPeerNotFound(message.from));
            }
        }
        self.raft.step(message)
    }

    /// Asks for a linearizable read. A [`crate::ReadState`] with this context comes with a later Ready. If this node loses its
    /// leadership first, the context comes back in [`Ready::dropped_reads`].
    ///
    /// Errors: [`Error::NotLeader`], [`Error::ReadIndexNotReady`].
    pub fn read_index(&mut self, request_ctx: Bytes) -> Result<()> {
        self.raft.read_index(request_ctx)
    }

    /// The same for a node that need not lead: a follower asks its leader. Its request or the answer may be lost without a sign; ask again
    /// after a while.
    ///
    /// Errors: [`Error::NotLeader`] if no leader is known, [`Error::ReadIndexNotReady`].
    pub fn forward_read(&mut self, request_ctx: Bytes) -> Result<()> {
        self.raft.forward_read(request_ctx)
    }

    /// Asks the leader for a snapshot although the log may be enough, because the own state machine is of no use any more. Until it comes,
    /// nothing is appended. A request is forgotten when the term changes: ask again.
    ///
    /// Errors: [`Error::SnapshotRequestRefused`].
    pub fn request_snapshot(&mut self) -> Result<()> {
        self.raft.request_snapshot()
    }

    /// Takes in a snapshot that did not come from another node: the owner knows by other means that the group has been there. It comes back
    /// with a Ready like one that was received. Returns false, and does nothing, if the log is as far already, a snapshot is being taken
    /// in, or this node is not a member in it.
    pub fn restore(&mut self, snapshot: Snapshot) -> bool {
        self.raft.restore(Box::new(snapshot))
    }

    /// Makes a leader send a heartbeat to everybody now: a sign of life for a group that has been silent. Does nothing on others.
    pub fn ping(&mut self) {
        if self.raft.is_leader() {
            self.raft.broadcast_heartbeat();
        }
    }

    /// Changes [`Config::priority`].
    pub fn set_priority(&mut self, priority: i64) {
        self.raft.config.priority = priority;
    }

    /// Changes [`Config::skip_commit_broadcast`]. Switched off for a while, everything that is committed meanwhile is told at once.
    pub fn set_skip_commit_broadcast(&mut self, skip: bool) {
        self.raft.config.skip_commit_broadcast = skip;
    }

    /// Changes [`Config::apply_unpersisted_limit`].
    pub fn set_apply_unpersisted_limit(&mut self, limit: u64) {
        self.raft.log.set_apply_unpersisted_limit(limit);
    }

    /// True if [`RawNode::ready`] would have something in it.
    pub fn has_ready(&self) -> bool {
        // lab:begin 2AC raw_node::has_ready  hint="each part of a Ready can be the reason for one"
        let raft = &self.raft;
        raft.soft_state() != self.prev_soft_state
            || raft.hard_state() != self.prev_hard_state
            || !raft.msgs.is_empty()
            || !raft.read_states.is_empty()
            || raft.log.unstable().has_next()
            || raft.log.has_next_committed()
            || raft.has_unflushed()
        // lab:end
    }

    /// Takes out the work to do. What it contains is on its way: the next Ready has only what is new. The owner may take several before
    /// it reports the first as persisted.
    pub fn ready(&mut self) -> Ready {
        self.number += 1;
        self.raft.flush();
        let old = self.prev_hard_state;
        let mut ready = self.collect(self.number);
        if let Some(new) = ready.hard_state.filter(|new| (new.term, new.vote) != (old.term, old.vote)) {
            self.ballots.push_back((self.number, (new.term, new.vote)));
        }
        ready.dropped_reads = self.raft.reads.take_dropped();
        self.raft.uncommitted.release(&ready.committed_entries);
        self.split_messages(&mut ready);
        ready
    }

    /// Collects everything but the messages, and notes what is handed out.
    fn collect(&mut self, number: u64) -> Ready {
        // lab:begin 2AC raw_node::ready  hint="states only if they changed; self.raft.log hands out what was not handed out yet; when does a write have to be durable?"
        let raft = &mut self.raft;
        let mut ready = Ready { number, ..Ready::default() };
        let (soft_state, hard_state) = (raft.soft_state(), raft.hard_state());
        if soft_state != self.prev_soft_state {
            ready.soft_state = Some(soft_state);
            self.prev_soft_state = soft_state;
        }
        let old = self.prev_hard_state;
        if hard_state != old {
            ready.hard_state = Some(hard_state);
            self.prev_hard_state = hard_state;
        }
        (ready.snapshot, ready.entries) = raft.log.hand_out_unstable(number);
        ready.must_sync = (hard_state.term, hard_state.vote) != (old.term, old.vote)
            || !ready.entries.is_empty()
            || ready.snapshot.is_some();
        ready.committed_entries = raft.log.next_committed(raft.config.max_committed_size_per_ready);
        ready.read_states = std::mem::take(&mut raft.read_states);
        ready
        // lab:end
    }

    /// Sorts the messages into those that may leave at once and those that promise something which must be on disk before.
    ///
    /// What a leader sends as leader promises nothing about its own disk: it may replicate while it writes. Likewise the answer to a
    /// heartbeat. But both speak for a term, so nothing leaves before that is on disk: a leader that forgets its election could be
    /// elected again in the same term, and put other entries at the same indices.
    fn split_messages(&mut self, ready: &mut Ready) {
        let messages = std::mem::take(&mut self.raft.msgs);
        let ballot_is_durable = self.durable_ballot == (self.raft.term, self.raft.vote);
        if ballot_is_durable && messages.iter().all(leaves_at_once) {
            ready.messages = messages;
        } else if !ballot_is_durable || !messages.iter().any(leaves_at_once) {
            ready.persisted_messages = messages;
        } else {
            (ready.messages, ready.persisted_messages) = messages.into_iter().partition(leaves_at_once);
        }
    }

    /// The Readies up to `number` are durable, the snapshots and entries in them readable from the storage. Their
    /// `persisted_messages` may leave now.
    pub fn on_persisted(&mut self, number: u64) {
        let number = number.min(self.number);
        while let Some((_, ballot)) = self.ballots.front().filter(|(at, _)| *at <= number) {
            self.durable_ballot = *ballot;
            self.ballots.pop_front();
        }
        self.raft.on_persisted(number);
    }

    /// The synchronous form: everything in `ready`, and in all Readies before it, is written, and what it had to apply is applied.
    pub fn advance(&mut self, ready: Ready) {
        // lab:begin 2AC raw_node::advance  hint="persisted by number, applied up to the last committed entry (or the snapshot)"
        self.on_persisted(ready.number);
        let snapshot = ready.snapshot.as_ref().and_then(|s| s.metadata.as_ref()).map(|m| m.index);
        if let Some(index) = ready.committed_entries.last().map(|e| e.index).or(snapshot) {
            self.advance_apply_to(index);
        }
        // lab:end
        self.take_back(ready);
    }

    /// Keeps the buffer of messages that are gone for those to come: a group that works needs one for each Ready.
    fn take_back(&mut self, ready: Ready) {
        // An idle group must not keep what a burst needed.
        const KEEP: usize = 16;
        let Ready { mut messages, mut persisted_messages, .. } = ready;
        if messages.capacity() == 0 {
            std::mem::swap(&mut messages, &mut persisted_messages);
        }
        if self.raft.msgs.capacity() == 0 && messages.capacity() <= KEEP {
            messages.clear();
            self.raft.msgs = messages;
        }
    }

    /// The state machine has applied everything up to `index`.
    ///
    /// # Panics
    /// If that goes back, or past what was handed out.
    pub fn advance_apply_to(&mut self, index: u64) {
        self.raft.on_applied(index);
    }

    /// The transport could not reach node `id`.
    pub fn report_unreachable(&mut self, id: u64) {
        self.raft.on_unreachable(id);
    }

    /// A snapshot for node `id` was delivered (`ok`) or lost.
    pub fn report_snapshot(&mut self, id: u64, ok: bool) {
        self.raft.on_snapshot_status(id, ok);
    }

    /// A picture for people.
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// The storage.
    pub fn store(&self) -> &S {
        self.raft.store()
    }

    /// The storage, for its owner to write what the Readies contain.
    pub fn mut_store(&mut self) -> &mut S {
        self.raft.store_mut()
    }
}

/// True for messages that depend on nothing but the term and the vote being on disk.
fn leaves_at_once(message: &Message) -> bool {
    use MessageType::*;
    matches!(
        message.msg_type(),
        MsgAppend
            | MsgHeartbeat
            | MsgSnapshot
            | MsgHeartbeatResponse
            | MsgTimeoutNow
            | MsgTransferLeader
            | MsgReadIndex
            | MsgReadIndexResp
    )
}
