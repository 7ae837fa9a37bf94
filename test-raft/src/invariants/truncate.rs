//! R-TRUNCATE: a follower deletes entries only where an append contradicts them, or when a snapshot replaces its log (Raft, section 5.3;
//! figure 2, AppendEntries, step 3).
//!
//! Appends overtake each other. Who takes every append for the end of the log loses what it has acknowledged already.

use proto::eraftpb::MessageType;

use super::{Cause, Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct TruncateOnConflict;

impl Rule for TruncateOnConflict {
    const ID: &'static str = "R-TRUNCATE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (Some(from), Some(old)) = (step.change.from, step.change.replaced.first()) else { return Ok(()) };
        let old_term = old.term;
        let allowed = match step.cause {
            Cause::Start => true,
            Cause::Message(message) => match message.msg_type() {
                MessageType::MsgSnapshot => true,
                MessageType::MsgAppend => message.entries.iter().any(|e| e.index == from && e.term != old_term),
                _ => false,
            },
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(format!(
            "n{} deleted {from}@{old_term} and all behind it, though nothing contradicts it; its log ended at {}",
            step.member.id, step.before.last
        ))
    }
}
