//! What a `Ready` of raft-core turns into.
//!
//! Order: role changes, messages that may leave, committed entries for the apply worker, then the write task. The write task
//! carries the messages that may leave only when it is on disk.

use proto::{
    eraftpb::{self, MessageType},
    raft_serverpb::RaftMessage,
};
use raft_core::{Ready, Role, SoftState};
use slog::info;
use storage::Engine;

use super::{Effects, Peer};
use crate::{
    error::Result,
    log_writer::PersistTask,
    message::{ApplyTask, ApplyWork},
};

impl<E: Engine> Peer<E> {
    pub(super) fn handle_ready(&mut self, effects: &mut Effects<E>) -> Result<()> {
        // lab:begin 2B peer::handle_ready  hint="role, messages that may leave, reads, committed entries to apply, then the write"
        let mut ready = self.node.ready();
        if let Some(hard_state) = &ready.hard_state {
            self.term = hard_state.term;
        }
        if let Some(soft_state) = ready.soft_state.take() {
            self.on_role_change(soft_state, effects);
        }
        for message in std::mem::take(&mut ready.messages) {
            self.push_message(message, &mut effects.messages);
        }
        self.on_read_states(std::mem::take(&mut ready.read_states));
        let entries = std::mem::take(&mut ready.committed_entries);
        if let Some(last) = entries.last() {
            self.handed_to_apply = last.index;
            let proposals = self.take_decided(&entries);
            let task = ApplyTask { region_id: self.region.id, peer_id: self.peer.id, entries, proposals };
            effects.apply.push(ApplyWork::Entries(task));
        }
        self.persist(ready, effects);
        Ok(())
        // lab:end
    }

    fn on_role_change(&mut self, soft_state: SoftState, effects: &mut Effects<E>) {
        let was_leader = self.is_leader();
        self.role = soft_state.role;
        self.leader_id = soft_state.leader_id;
        if was_leader && !self.is_leader() {
            self.changes.clear();
            self.hurry_changes();
            self.abandon_splits();
            self.node.mut_store().cancel_generation();
            self.refuse_waiting_writes();
            self.refuse_reads();
        }
        if !was_leader && self.is_leader() {
            info!(self.logger, "became leader"; "term" => self.term);
            self.context.metrics.elections_won.inc();
            effects.heartbeats.push(self.heartbeat());
        }
        if self.role == Role::Follower && self.leader_id != 0 {
            info!(self.logger, "follows"; "leader" => self.leader_id, "term" => self.term);
        }
        effects.statuses.push(self.status());
    }

    fn persist(&mut self, ready: Ready, effects: &mut Effects<E>) {
        // lab:begin 2B peer::persist  hint="what is written, what may only leave afterwards, and when nothing need be written at all; begin_restore is for project 2C"
        let nothing_in_flight = self.last_ready == self.persisted_ready;
        self.last_ready = ready.number;
        let mut messages = Vec::with_capacity(ready.persisted_messages.len());
        for message in ready.persisted_messages {
            self.push_message(message, &mut messages);
        }
        if let Some(hard_state) = ready.hard_state {
            self.node.mut_store().set_hard_state(hard_state);
        }
        let restore = ready.snapshot.as_ref().and_then(|snapshot| self.begin_restore(snapshot, ready.number));
        let stale = self.node.mut_store().append(&ready.entries);
        if !ready.must_sync && nothing_in_flight {
            // Nothing but the commit index may have moved, and that is written along with the next entry: a restart learns it
            // again from the leader.
            effects.messages.append(&mut messages);
            self.on_persisted(ready.number);
            return;
        }
        let raft_state = ready.must_sync.then(|| *self.node.store().raft_state());
        effects.persist.push(PersistTask {
            region_id: self.region.id,
            ready: ready.number,
            entries: ready.entries,
            raft_state,
            stale,
            restore,
            messages,
            clear: false,
        });
        // lab:end
    }

    /// Addresses a message of raft-core. One for a peer that is not in the region is dropped.
    fn push_message(&self, message: eraftpb::Message, out: &mut Vec<RaftMessage>) {
        let member = self.region.peers.iter().find(|p| p.id == message.to);
        let Some(to) = member.or_else(|| self.strangers.get(&message.to)) else {
            return self.context.metrics.messages_dropped.inc();
        };
        // What may be the first that a store hears of the region says which keys it is about (see `store/create.rs`).
        let (start_key, end_key) = match is_initial(&message) {
            true => (self.region.start_key.clone(), self.region.end_key.clone()),
            false => Default::default(),
        };
        self.context.metrics.messages_sent.inc();
        out.push(RaftMessage {
            region_id: self.region.id,
            from_peer: Some(self.peer),
            to_peer: Some(*to),
            region_epoch: self.region.region_epoch,
            start_key,
            end_key,
            message: Some(message),
            ..Default::default()
        });
    }
}

/// May a message be the first that a store hears of a region? Votes, and heartbeats of a leader that knows nothing of the receiver's log.
pub(crate) fn is_initial(message: &eraftpb::Message) -> bool {
    match message.msg_type() {
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => true,
        MessageType::MsgHeartbeat => message.commit == 0,
        _ => false,
    }
}
