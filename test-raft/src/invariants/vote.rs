//! R-VOTE: a node votes for at most one candidate a term, also across crashes (Raft, section 5.2; figure 2, persistent state).
//!
//! What counts is what it has said. A vote that a crash takes before anybody heard of it was never given.

use std::collections::BTreeMap;

use proto::eraftpb::MessageType;

use super::{Event, Rule};

/// Remembers each node's vote in each term.
#[derive(Clone, Debug, Default, Hash)]
pub struct OneVote {
    votes: BTreeMap<(u64, u64), u64>,
}

impl Rule for OneVote {
    const ID: &'static str = "R-VOTE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Sent { message, .. } = event else { return Ok(()) };
        let candidate = match message.msg_type() {
            MessageType::MsgRequestVote => message.from,
            MessageType::MsgRequestVoteResponse if !message.reject => message.to,
            _ => return Ok(()),
        };
        let first = *self.votes.entry((message.from, message.term)).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        Err(format!("n{} voted for n{first} and n{candidate} in term {}", message.from, message.term))
    }
}
