//! R-VOTE-LOG: a vote goes only to a candidate whose log holds at least what the voter's does (Raft, section 5.4.1).

use proto::eraftpb::MessageType;

use super::{Cause, Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct VoteNeedsLog;

impl Rule for VoteNeedsLog {
    const ID: &'static str = "R-VOTE-LOG";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let Cause::Message(message) = step.cause else { return Ok(()) };
        let (before, now) = (step.before, step.now);
        let voted = now.vote == message.from && (before.term, before.vote) != (now.term, now.vote);
        let behind = (message.log_term, message.index) < (before.last_term, before.last);
        if message.msg_type() == MessageType::MsgRequestVote && voted && behind {
            return Err(format!(
                "n{}, whose log ends at {}@{}, votes in term {} for n{}, whose log ends at {}@{}",
                step.member.id, before.last, before.last_term, now.term, message.from, message.index, message.log_term
            ));
        }
        Ok(())
    }
}
