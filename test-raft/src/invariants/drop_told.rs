//! R-DROP-TOLD: a proposal is in the log where its proposer was told, or its proposer was told that it is not, and nothing was appended.
//!
//! Who is told nothing waits for ever, or does twice what was done once.

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct ProposersAreTold;

impl Rule for ProposersAreTold {
    const ID: &'static str = "R-DROP-TOLD";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Proposed { member, last, told, data } = event else { return Ok(()) };
        let (id, now) = (member.id, member.seen.marks);
        match told {
            None if now.last == *last => Ok(()),
            None => Err(format!("n{id} refuses a proposal, and appends at {}", last + 1)),
            Some((index, term)) => {
                let entries = member.node().and_then(|node| node.raft.log_entries(*index, index + 1, u64::MAX).ok());
                let entry = entries.as_deref().and_then(<[_]>::first);
                let there = |data| entry.is_some_and(|entry| entry.term == *term && entry.data == data);
                if *index > *last && data.as_ref().map_or(entry.is_some(), there) {
                    return Ok(());
                }
                Err(format!(
                    "n{id} says that a proposal is at {index}@{term}, where it is not; its log ends at {}",
                    now.last
                ))
            }
        }
    }
}
