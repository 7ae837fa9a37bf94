//! Pre-vote (Raft thesis, 9.6): asking whether an election could be won before starting one.
//!
//! A node that was cut off comes back with an election timeout behind it. Without this extension it would come back with a higher term,
//! and depose a leader that everybody else is content with. A pre-candidate asks for votes in the *next* term without entering it, and
//! nobody who answers changes anything. A grant carries that future term, a refusal the term of the node that refuses.
//!
//! Switched on by [`crate::Config::pre_vote`].

use proto::eraftpb::{Message, MessageType};
use slog::debug;

use crate::Storage;
use crate::quorum::VoteResult;
use crate::raft::{Raft, Role};

impl<S: Storage> Raft<S> {
    /// Asks the other voters whether they would vote for this node.
    pub(crate) fn start_pre_election(&mut self) {
        // Neither term nor vote change: nothing has happened yet.
        self.reset(self.term);
        self.role = Role::PreCandidate;
        debug!(self.logger, "asks whether it could be elected"; "term" => self.term);
        if self.tracker.record_vote(self.id, true) == VoteResult::Won {
            self.start_election();
            return;
        }
        self.ask_for_votes(MessageType::MsgRequestPreVote, self.term + 1);
    }

    /// Answers a pre-candidate. Nothing changes here, whatever the answer.
    pub(crate) fn handle_request_pre_vote(&mut self, request: Message) {
        let free = request.term > self.term || self.vote == request.from || (self.vote == 0 && self.leader_id == 0);
        let grant = free && self.log.is_up_to_date(request.index, request.log_term);
        let term = if grant { request.term } else { self.term };
        let answer = self.message(MessageType::MsgRequestPreVoteResponse, request.from);
        self.msgs.push(Message { term, reject: !grant, ..answer });
    }

    /// A pre-candidate counts an answer. A grant speaks of the term that this node would enter.
    pub(crate) fn handle_pre_vote_response(&mut self, response: Message) {
        if !response.reject && response.term != self.term + 1 {
            return; // A grant for an earlier attempt.
        }
        match self.tracker.record_vote(response.from, !response.reject) {
            VoteResult::Won => self.start_election(),
            VoteResult::Lost => self.become_follower(self.term, 0),
            VoteResult::Pending => {}
        }
    }

    /// True for messages whose term nobody has entered yet: questions before an election, and their granted answers.
    pub(crate) fn is_about_future_term(msg_type: MessageType, message: &Message) -> bool {
        match msg_type {
            MessageType::MsgRequestPreVote => true,
            MessageType::MsgRequestPreVoteResponse => !message.reject,
            _ => false,
        }
    }
}
