//! R-READ: a read sees everything that was committed anywhere when it was asked (thesis, section 6.4).
//!
//! The highest commit index of any node counts: the state machine behind it may have answered a client.

use std::collections::BTreeMap;

use super::{Event, Rule};

/// Remembers the highest commit index, and what it was when each read was asked.
#[derive(Clone, Debug, Default, Hash)]
pub struct ReadsAreFresh {
    committed: u64,
    asked: BTreeMap<u64, u64>,
}

impl Rule for ReadsAreFresh {
    const ID: &'static str = "R-READ";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match *event {
            Event::Step(step) => self.committed = self.committed.max(step.now.commit),
            Event::ReadAsked { number, .. } => drop(self.asked.insert(number, self.committed)),
            Event::ReadAnswered { node, number, index } => match self.asked.remove(&number) {
                None => return Err(format!("n{node} answers read {number}, which nobody waits for")),
                Some(committed) if index < committed => {
                    return Err(format!(
                        "n{node} lets read {number} see up to {index}, but {committed} was committed when it was asked"
                    ));
                }
                Some(_) => {}
            },
            _ => {}
        }
        Ok(())
    }
}
