//! Which messages of other nodes are taken in at all.
//!
//! What comes over the network is not trusted: a message of an unknown type, from nobody, for somebody else, with a hole in its entries
//! or with numbers that cannot be is turned away here, before any state is touched. Whether what remains *fits* is decided where it is
//! used: a stranger's answer, or an index from the future, is ignored there.

use proto::eraftpb::{Message, MessageType};

use crate::Storage;
use crate::raft::Raft;

/// No honest node ever counts this far; larger numbers would overflow when they are counted up.
const LARGEST_POSITION: u64 = u64::MAX / 2;

impl<S: Storage> Raft<S> {
    /// Why a message of another node cannot be used, whatever state we are in.
    pub(crate) fn check_message(
        &self,
        msg_type: MessageType,
        message: &Message,
    ) -> std::result::Result<(), &'static str> {
        if message.term == 0 && !is_without_term(msg_type, message) {
            return Err("no term");
        }
        // A request for a transfer comes in the name of its target, which may be this node.
        let in_own_name = message.from == self.id && msg_type != MessageType::MsgTransferLeader;
        if message.from == 0 || in_own_name {
            return Err("sender is nobody or ourselves");
        }
        if message.to != 0 && message.to != self.id {
            return Err("for another node");
        }
        let snapshot = message.snapshot.as_ref().and_then(|s| s.metadata.as_ref());
        let positions = [message.term, message.index, message.log_term, snapshot.map_or(0, |m| m.index)];
        if positions.iter().any(|position| *position > LARGEST_POSITION) {
            return Err("term or index out of range");
        }
        if !is_handled(msg_type) {
            return Err("type is not supported");
        }
        if msg_type == MessageType::MsgAppend && !is_consecutive(message) {
            return Err("entries are not consecutive");
        }
        let is_read = matches!(msg_type, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp);
        if is_read && message.entries.len() != 1 {
            return Err("a read has exactly one context");
        }
        if msg_type == MessageType::MsgSnapshot && snapshot.is_none_or(|m| m.term > message.term) {
            return Err("snapshot without metadata or of a later term");
        }
        Ok(())
    }
}

/// Types that a node gives to itself; they carry no term.
pub(crate) fn is_local(msg_type: MessageType) -> bool {
    use MessageType::*;
    matches!(msg_type, MsgHup | MsgBeat | MsgPropose | MsgUnreachable | MsgSnapStatus | MsgCheckQuorum)
}

/// Types that only a leader sends; who sends one leads in the message's term.
pub(crate) fn is_from_leader(msg_type: MessageType) -> bool {
    matches!(msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot)
}

/// Types of an election, and of the question before it.
pub(crate) fn is_about_votes(msg_type: MessageType) -> bool {
    use MessageType::*;
    matches!(msg_type, MsgRequestVote | MsgRequestVoteResponse | MsgRequestPreVote | MsgRequestPreVoteResponse)
}

/// True for a message that is good in any term: a read that a follower forwards may come without one.
pub(crate) fn is_without_term(msg_type: MessageType, message: &Message) -> bool {
    msg_type == MessageType::MsgReadIndex && message.term == 0
}

/// Answers; they make sense from members only.
pub(crate) fn is_response(msg_type: MessageType) -> bool {
    use MessageType::*;
    matches!(
        msg_type,
        MsgAppendResponse
            | MsgRequestVoteResponse
            | MsgHeartbeatResponse
            | MsgRequestPreVoteResponse
            | MsgReadIndexResp
    )
}

fn is_handled(msg_type: MessageType) -> bool {
    use MessageType::*;
    is_from_leader(msg_type)
        || is_response(msg_type)
        || matches!(msg_type, MsgRequestVote | MsgRequestPreVote | MsgTransferLeader | MsgTimeoutNow | MsgReadIndex)
}

/// True if the entries of an append follow each other and their terms are possible.
fn is_consecutive(message: &Message) -> bool {
    let (mut index, mut term) = (message.index, message.log_term);
    term <= message.term
        && message.entries.iter().all(|entry| {
            let follows = entry.index == index + 1 && entry.term >= term && entry.term <= message.term;
            (index, term) = (entry.index, entry.term);
            follows
        })
}
