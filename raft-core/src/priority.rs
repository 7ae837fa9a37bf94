//! Election priority: some nodes are better leaders than others.
//!
//! A voter refuses a candidate of lower priority than its own, unless that candidate's log is more up to date: then the voter could not win
//! against it anyway. It is the whole comparison of an election that counts, terms first. With lengths alone, three nodes whose logs end at
//! 3@1, 2@2 and 1@3, in falling priority, would refuse each other for ever. Refusing a vote is always safe. Nodes that all have the same [`crate::Config::priority`], which is 0 unless it is set,
//! never notice.

use proto::eraftpb::{Message, MessageType};
use slog::debug;

use crate::Storage;
use crate::raft::Raft;

impl<S: Storage> Raft<S> {
    /// True if a request for a vote comes from a node that this one should lead in place of.
    pub(crate) fn outranks(&self, request: &Message) -> bool {
        let own = (self.log.last_term(), self.log.last_index());
        (request.log_term, request.index) <= own && self.config.priority > request.priority
    }

    /// Refuses a vote, whatever the log of the candidate.
    pub(crate) fn refuse_vote(&mut self, msg_type: MessageType, candidate: u64) {
        let response = match msg_type {
            MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
            _ => MessageType::MsgRequestPreVoteResponse,
        };
        debug!(self.logger, "refuses a vote"; "from" => candidate, "type" => msg_type.as_str_name());
        let answer = Message { reject: true, ..self.message(response, candidate) };
        self.msgs.push(answer);
    }
}
