//! Check-quorum (Raft thesis, 6.2 and 4.2.3): a leader that cannot reach a quorum steps down, and a node that hears its leader refuses
//! to vote for another one.
//!
//! The first half keeps clients from waiting for a leader that can do nothing. The second keeps a removed or half-connected node from
//! deposing a leader that works, and is what leader leases rest on. A node that has got ahead in terms is not shut out for ever: it answers
//! its leader with its own term, and so forces one election.
//!
//! Switched on by [`crate::Config::check_quorum`].

use proto::eraftpb::{Message, MessageType};
use slog::{debug, warn};

use crate::Storage;
use crate::raft::Raft;
use crate::transfer;

impl<S: Storage> Raft<S> {
    /// One tick of a leader: once an election timeout it looks who has spoken since the last time. Returns true if it stepped down.
    pub(crate) fn tick_check_quorum(&mut self) -> bool {
        self.election_elapsed += 1;
        if self.election_elapsed < self.config.election_tick {
            return false;
        }
        self.election_elapsed = 0;
        if !self.config.check_quorum || self.tracker.take_quorum_active(self.id) {
            return false;
        }
        warn!(self.logger, "steps down: no quorum answers"; "term" => self.term);
        self.become_follower(self.term, 0);
        true
    }

    /// True if a request for a vote is to be ignored, term and all, because this node has heard its leader just now. Not if
    /// the leader itself has ordered the election.
    pub(crate) fn is_content_with_leader(&self, msg_type: MessageType, message: &Message) -> bool {
        let asks = matches!(msg_type, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        let ordered = message.context == transfer::CAMPAIGN_TRANSFER;
        let content = asks
            && !ordered
            && self.config.check_quorum
            && self.leader_id != 0
            && self.election_elapsed < self.config.election_tick;
        if content {
            debug!(self.logger, "request for a vote ignored: the leader is alive";
                "from" => message.from, "term" => message.term, "leader" => self.leader_id);
        }
        content
    }
}
