//! R-APPLY-SAME: if a state machine has applied an entry at an index, no other one ever applies a different entry there (Raft, figure 3,
//! state machine safety). Entries come in order, each once.

use std::collections::BTreeMap;

use super::{Event, Rule};

/// Remembers each index's term and the state behind it.
#[derive(Clone, Debug, Default, Hash)]
pub struct ApplySame {
    history: BTreeMap<u64, Applied>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Applied {
    term: u64,
    digest: u64,
    by: u64,
}

impl Rule for ApplySame {
    const ID: &'static str = "R-APPLY-SAME";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match *event {
            Event::Applied { node, before, index, .. } if index != before + 1 => {
                Err(format!("n{node} has applied {before} and is handed entry {index}"))
            }
            Event::Applied { node, index, term, digest, .. } => self.compare(node, index, term, digest),
            Event::Restored { node, machine } if machine.applied > 0 => {
                self.compare(node, machine.applied, machine.term, machine.digest)
            }
            _ => Ok(()),
        }
    }
}

impl ApplySame {
    fn compare(&mut self, node: u64, index: u64, term: u64, digest: u64) -> Result<(), String> {
        let first = *self.history.entry(index).or_insert(Applied { term, digest, by: node });
        if (first.term, first.digest) == (term, digest) {
            return Ok(());
        }
        Err(format!("n{} and n{node} applied different entries at {index}: terms {} and {term}", first.by, first.term))
    }
}
