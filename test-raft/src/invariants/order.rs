//! R-ORDER: truncated ≤ applied ≤ commit ≤ last (Raft, figure 2 and section 7). While a snapshot is being written, what is truncated on
//! disk counts.

use raft_core::Storage;

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct IndexOrder;

impl Rule for IndexOrder {
    const ID: &'static str = "R-ORDER";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let now = step.now;
        let truncated = step.member.disk().first_index().map_or(0, |first| first - 1);
        if truncated <= now.applied && now.applied <= now.commit && now.commit <= now.last {
            return Ok(());
        }
        Err(format!(
            "n{}: truncated {truncated}, applied {}, commit {}, last {}",
            step.member.id, now.applied, now.commit, now.last
        ))
    }
}
