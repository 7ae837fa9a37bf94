//! R-ELECT: at most one leader can be elected in a term (Raft, figure 3, election safety).

use std::collections::BTreeMap;

use raft_core::Role;

use super::{Event, Rule};

/// Remembers who led each term.
#[derive(Clone, Debug, Default, Hash)]
pub struct ElectionSafety {
    leaders: BTreeMap<u64, u64>,
}

impl Rule for ElectionSafety {
    const ID: &'static str = "R-ELECT";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        if step.now.role != Role::Leader {
            return Ok(());
        }
        let first = *self.leaders.entry(step.now.term).or_insert(step.member.id);
        if first == step.member.id {
            return Ok(());
        }
        Err(format!("n{first} and n{} both lead term {}", step.member.id, step.now.term))
    }
}
