//! What makes two nodes different: for searches through all states of a group, which must recognise a state that they have seen.
//!
//! Timers and random numbers are left out: they decide when a node acts, and a search that lets a node act whenever it likes does not
//! ask. So are the settings, the logger and the storage, which its owner can hash. Every field is named here, so that a new one does
//! not compile until somebody has decided where it belongs.

use std::hash::{Hash, Hasher};

use proto::eraftpb::Message;

use crate::log::RaftLog;
use crate::{Raft, RawNode, Storage};

/// Feeds `state` with a message.
#[rustfmt::skip]
pub fn message(message: &Message, state: &mut impl Hasher) {
    let Message {
        msg_type, to, from, term, log_term, index, entries, commit, snapshot, reject, reject_hint, context,
        request_snapshot, deprecated_priority, commit_term, priority,
    } = message;
    (msg_type, to, from, term, log_term, index, entries, commit, snapshot, reject, reject_hint, context).hash(state);
    (request_snapshot, deprecated_priority, commit_term, priority).hash(state);
}

impl<S: Storage> RawNode<S> {
    /// Feeds `state` with everything that decides what this node does next, except timers, settings and storage.
    pub fn fingerprint(&self, state: &mut impl Hasher) {
        let RawNode { raft, prev_soft_state, prev_hard_state, number, durable_ballot, ballots } = self;
        (prev_soft_state, prev_hard_state, durable_ballot).hash(state);
        // Of the numbers of Readies only the distance from the newest matters.
        for (at, ballot) in ballots {
            (number - at, ballot).hash(state);
        }
        raft.fingerprint(*number, state);
    }
}

impl<S: Storage> Raft<S> {
    #[rustfmt::skip]
    fn fingerprint(&self, newest: u64, state: &mut impl Hasher) {
        let Raft {
            id, term, vote, role, leader_id, log, tracker, msgs, reads, read_states, uncommitted, appends_due,
            transfer: _, pending_conf_index, requested_snapshot,
            election_elapsed: _, heartbeat_elapsed: _, election_timeout: _, config: _, rng: _, logger: _,
        } = self;
        (id, term, vote, role, leader_id, tracker, reads, read_states, uncommitted, appends_due).hash(state);
        (self.transfer_target(), pending_conf_index, requested_snapshot).hash(state);
        msgs.iter().for_each(|waiting| message(waiting, state));
        log.fingerprint(newest, state);
    }
}

impl<S: Storage> RaftLog<S> {
    fn fingerprint(&self, newest: u64, state: &mut impl Hasher) {
        (self.committed(), self.persisted(), self.handed_over(), self.applied()).hash(state);
        self.unstable().fingerprint(newest, state);
    }
}
