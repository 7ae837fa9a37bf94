//! R-CONF-ONE: a leader appends no change of membership before it has applied the one before it (Raft thesis, section 4.1).
//!
//! Each change of one voter keeps majorities overlapping with the configuration before it, not with the one before that.

use raft_core::Role;

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct OneChange;

impl Rule for OneChange {
    const ID: &'static str = "R-CONF-ONE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (Some(from), Role::Leader) = (step.change.from, step.now.role) else { return Ok(()) };
        let log = &step.member.seen.log;
        let Some(new) = log.changes(from, step.now.last).last() else { return Ok(()) };
        let mut earlier = log.changes(step.now.applied + 1, new - 1);
        match earlier.next() {
            Some(pending) if log.term(new) == Some(step.now.term) => Err(format!(
                "leader n{}@{} appends a change at {new}, and has not applied the one at {pending}",
                step.member.id, step.now.term
            )),
            _ => Ok(()),
        }
    }
}
