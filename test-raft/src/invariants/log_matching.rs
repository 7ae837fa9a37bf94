//! R-LOG-MATCH: two logs with an entry of the same index and term are equal up to it (Raft, figure 3, log matching).
//!
//! Checked by induction: the first node seen with (index, term) fixes what stands there and the term in front of it. If every entry of
//! every log agrees with that, the logs are equal all the way down.
//!
//! One exception: a voter that is a quorum by itself tells nobody what it appends. What a crash takes from its memory was never there,
//! and it may lead again in the same term.

use std::collections::BTreeMap;

use super::{Event, Rule, Step};
use crate::group::Position;

/// Remembers what stood at each (index, term), and the term in front of it.
#[derive(Clone, Debug, Default, Hash)]
pub struct LogMatching {
    seen: BTreeMap<(u64, u64), Entry>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Entry {
    digest: u64,
    previous_term: Option<u64>,
    node: u64,
    life: u64,
}

impl Rule for LogMatching {
    const ID: &'static str = "R-LOG-MATCH";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let Some(from) = step.change.from else { return Ok(()) };
        (from.max(step.now.first)..=step.now.last).try_for_each(|index| self.check_entry(step, index))
    }
}

impl LogMatching {
    fn check_entry(&mut self, step: &Step<'_>, index: u64) -> Result<(), String> {
        let log = &step.member.seen.log;
        let Some(Position { term, digest, .. }) = log.get(index) else { return Ok(()) };
        let id = step.member.id;
        let now = Entry { digest, previous_term: log.term(index - 1), node: id, life: step.now.life };
        let first = self.seen.entry((index, term)).or_insert(now);
        let alone = step.member.node().is_some_and(|node| node.raft.tracker().voters().is_singleton(id));
        if alone && first.node == id && first.life < now.life {
            *first = now;
        }
        if first.digest != digest {
            return Err(format!("n{} and n{id} hold different entries at {index}@{term}", first.node));
        }
        match (first.previous_term, now.previous_term) {
            (Some(left), Some(right)) if left != right => Err(format!(
                "n{} and n{id} agree at {index}@{term}, but hold terms {left} and {right} in front of it",
                first.node
            )),
            (None, Some(_)) => {
                first.previous_term = now.previous_term;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
