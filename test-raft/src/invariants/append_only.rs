//! R-APPEND-ONLY: a leader never overwrites or deletes entries of its log, it only appends (Raft, figure 3).

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct LeaderAppendOnly;

impl Rule for LeaderAppendOnly {
    const ID: &'static str = "R-APPEND-ONLY";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (before, now) = (step.before, step.now);
        match step.change.from {
            Some(from) if now.same_reign(&before) && from <= before.last => Err(format!(
                "leader n{}@{} changed its log at {from}, it ended at {}",
                step.member.id, now.term, before.last
            )),
            _ => Ok(()),
        }
    }
}
