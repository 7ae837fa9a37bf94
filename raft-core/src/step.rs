//! The way of a message: from the door to the code that handles it.
//!
//! First `validate.rs` turns away what makes no sense. Then the term decides: a higher one makes this node a follower, a lower one is
//! answered with ours, and only messages of the current term go on to the parts of the algorithm. That order is the same for all
//! types, so none of the parts has to think about terms.

use proto::eraftpb::{EntryType, Message, MessageType};
use slog::{debug, error};

use crate::raft::{Raft, Role};
use crate::validate::{is_about_votes, is_from_leader, is_local, is_without_term};
use crate::{Result, Storage};

impl<S: Storage> Raft<S> {
    /// Takes in a message: a local order without a term, or what another node has sent.
    ///
    /// Errors come only from local orders ([`crate::Error::NotLeader`], [`crate::Error::ProposalDropped`]); a message that cannot be used is
    /// ignored.
    pub fn step(&mut self, message: Message) -> Result<()> {
        let Ok(msg_type) = MessageType::try_from(message.msg_type) else {
            debug!(self.logger, "message ignored: unknown type"; "type" => message.msg_type, "from" => message.from);
            return Ok(());
        };
        if is_local(msg_type) || (msg_type == MessageType::MsgTransferLeader && message.term == 0) {
            return self.step_local(msg_type, message);
        }
        if self.admit(msg_type, &message) {
            self.dispatch(msg_type, message);
        }
        Ok(())
    }

    /// What every message of another node does, whatever is in it: it may bring a newer term, and it may show who leads. Returns false if
    /// that was all, or if the message cannot be used.
    pub(crate) fn admit(&mut self, msg_type: MessageType, message: &Message) -> bool {
        if let Err(reason) = self.check_message(msg_type, message) {
            debug!(self.logger, "message ignored: {}", reason;
                "type" => msg_type.as_str_name(), "from" => message.from, "term" => message.term);
            return false;
        }
        self.learn_commit_from_vote(message);
        if message.term > self.term {
            if self.is_content_with_leader(msg_type, message) {
                return false;
            }
            if !Self::is_about_future_term(msg_type, message) {
                debug!(self.logger, "higher term";
                    "term" => message.term, "from" => message.from, "own_term" => self.term);
                self.become_follower(message.term, 0);
            }
        } else if message.term < self.term && !is_without_term(msg_type, message) {
            self.answer_old_term(msg_type, message);
            return false;
        }
        !is_from_leader(msg_type) || self.follow(message)
    }

    /// The sender leads the current term. Returns false if it cannot, because this node does.
    fn follow(&mut self, message: &Message) -> bool {
        if self.is_leader() {
            error!(self.logger, "R-ELECT: another node leads in the same term, its message is ignored";
                "from" => message.from, "term" => message.term);
            return false;
        }
        if self.role != Role::Follower {
            self.become_follower(message.term, message.from);
        }
        self.leader_id = message.from;
        self.election_elapsed = 0;
        true
    }

    fn step_local(&mut self, msg_type: MessageType, message: Message) -> Result<()> {
        match msg_type {
            MessageType::MsgHup => self.campaign(),
            MessageType::MsgBeat if self.is_leader() => self.broadcast_heartbeat(),
            MessageType::MsgPropose => {
                for entry in message.entries {
                    self.propose(EntryType::EntryNormal, entry.context, entry.data)?;
                }
            }
            MessageType::MsgTransferLeader => self.handle_transfer_leader(message),
            MessageType::MsgUnreachable => self.on_unreachable(message.from),
            MessageType::MsgSnapStatus => self.on_snapshot_status(message.from, !message.reject),
            _ => {}
        }
        Ok(())
    }

    /// A node that is behind must hear of the newer term, or it would go on leading, or its requests would be ignored for ever.
    fn answer_old_term(&mut self, msg_type: MessageType, message: &Message) {
        match msg_type {
            _ if is_from_leader(msg_type) => {
                let answer = self.message(MessageType::MsgAppendResponse, message.from);
                self.msgs.push(answer);
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => self.refuse_vote(msg_type, message.from),
            _ => {}
        }
    }

    /// Handles a message that was admitted.
    pub(crate) fn dispatch(&mut self, msg_type: MessageType, message: Message) {
        use MessageType::*;
        let from = message.from;
        match (msg_type, self.role) {
            _ if is_about_votes(msg_type) => self.dispatch_vote(msg_type, message),
            (MsgAppend, _) if self.requested_snapshot > 0 => self.ask_for_snapshot(),
            (MsgAppend, _) => self.handle_append(message),
            (MsgHeartbeat, _) => {
                self.handle_heartbeat(message);
                if self.requested_snapshot > 0 {
                    self.ask_for_snapshot();
                }
            }
            (MsgSnapshot, _) if self.requested_snapshot > 0 => self.handle_requested_snapshot(message),
            (MsgSnapshot, _) => self.handle_snapshot(message),
            (MsgAppendResponse, Role::Leader) if message.reject && message.request_snapshot > 0 => {
                self.handle_snapshot_request(message);
            }
            (MsgAppendResponse, Role::Leader) => {
                let acknowledged = if message.reject { 0 } else { message.index };
                self.handle_append_response(message);
                self.end_requested_snapshot(from, acknowledged);
                self.continue_transfer(from);
            }
            (MsgHeartbeatResponse, Role::Leader) => {
                self.handle_heartbeat_response(message);
                self.forget_snapshot_request(from);
                self.continue_transfer(from);
            }
            (MsgTransferLeader, _) => self.handle_transfer_leader(message),
            (MsgTimeoutNow, _) => self.handle_timeout_now(message),
            (MsgReadIndex, _) => self.handle_read_request(message),
            (MsgReadIndexResp, Role::Follower) => self.handle_read_response(message),
            _ => {}
        }
    }

    /// Requests for votes and their answers.
    fn dispatch_vote(&mut self, msg_type: MessageType, message: Message) {
        use MessageType::*;
        match (msg_type, self.role) {
            (MsgRequestVote | MsgRequestPreVote, _) if self.outranks(&message) => {
                self.refuse_vote(msg_type, message.from)
            }
            (MsgRequestVote, _) => self.handle_request_vote(message),
            (MsgRequestPreVote, _) => self.handle_request_pre_vote(message),
            (MsgRequestVoteResponse, Role::Candidate) => self.handle_vote_response(message),
            (MsgRequestPreVoteResponse, Role::PreCandidate) => self.handle_pre_vote_response(message),
            _ => {}
        }
    }
}
