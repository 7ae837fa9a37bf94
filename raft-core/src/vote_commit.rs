//! Who is asked for a vote, or refuses one, tells what is committed.
//!
//! A candidate has no leader from whom it could learn the commit index, and sometimes it must know it before it can win. A leader that
//! removes itself steps down as soon as it applies that; if its last words are lost, the others still believe in a configuration with it,
//! need its vote, and do not get it when its log is longer than theirs. It cannot campaign itself. Nobody could ever lead again. With the
//! refusal they learn that the change is committed, and do without that vote.
//!
//! So every request for a vote and every refusal carries the sender's commit index and the term of the entry there. Whoever has the same
//! entry has it committed too, whichever term the message is of: what is committed once stays so. The other implementation of these
//! messages, the `raft` crate, does the same.
//!
//! Given code; the lab's elections do without.

use proto::eraftpb::{Message, MessageType};
use slog::debug;

use crate::Storage;
use crate::raft::{Raft, Role};

impl<S: Storage> Raft<S> {
    /// Adds what is committed to the waiting messages that carry it.
    pub(crate) fn tell_commit_with_votes(&mut self) {
        if !self.msgs.iter().any(carries_commit) {
            return;
        }
        let (commit, term) = (self.log.committed(), self.log.term(self.log.committed()).unwrap_or(0));
        for message in self.msgs.iter_mut().filter(|message| carries_commit(message)) {
            (message.commit, message.commit_term) = (commit, term);
        }
    }

    /// Takes over a commit index that came with a request for a vote or a refusal, if our log has the entry that it speaks of.
    pub(crate) fn learn_commit_from_vote(&mut self, message: &Message) {
        // A leader knows best, and no entry has term 0.
        if !carries_commit(message) || message.commit_term == 0 || self.is_leader() {
            return;
        }
        if !self.log.maybe_commit(message.commit, message.commit_term) {
            return;
        }
        debug!(self.logger, "learns from a vote what is committed"; "commit" => message.commit, "from" => message.from);
        if self.role != Role::Follower && self.has_unapplied_conf_change() {
            // Votes are being counted by a configuration that is out of force.
            self.become_follower(self.term, 0);
        }
    }
}

fn carries_commit(message: &Message) -> bool {
    match message.msg_type() {
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => true,
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => message.reject,
        _ => false,
    }
}
