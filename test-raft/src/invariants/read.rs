//! R-READ: a read sees everything that was committed anywhere when it was asked (thesis, section 6.4).
//!
//! The highest commit index of any node counts: the state machine behind it may have answered a client. The same holds for a read that
//! was forwarded to a leader, however often the request or the answer arrives. A leader gives exactly one word about each read that was
//! asked of it: an index, or that it is given up. Only a crash ends its duty.

use std::collections::BTreeMap;

use super::{Event, Rule};

/// A read that may be answered.
#[derive(Clone, Copy, Debug, Hash)]
struct Asked {
    node: u64,
    /// What was committed when it was asked.
    committed: u64,
    /// The life in which the node owes a word, if it does.
    owed_in: Option<u64>,
}

/// Remembers the highest commit index, and what it was when each read was asked.
#[derive(Clone, Debug, Default, Hash)]
pub struct ReadsAreFresh {
    committed: u64,
    asked: BTreeMap<u64, Asked>,
}

impl ReadsAreFresh {
    /// The numbers of the reads about which node `id` owes a word in this life.
    pub(super) fn owed(&self, id: u64, life: u64) -> impl Iterator<Item = u64> + '_ {
        let owed = move |asked: &Asked| asked.node == id && asked.owed_in == Some(life);
        self.asked.iter().filter(move |(_, asked)| owed(asked)).map(|(number, _)| *number)
    }

    fn answered(&mut self, node: u64, number: u64, index: u64) -> Result<(), String> {
        let asked = self.asked.get(&number).filter(|asked| asked.node == node);
        let Some(asked) = asked.copied() else {
            return Err(format!("n{node} answers read {number}, which nobody waits for"));
        };
        if asked.owed_in.is_some() {
            self.asked.remove(&number);
        }
        if index < asked.committed {
            let committed = asked.committed;
            return Err(format!(
                "n{node} lets read {number} see up to {index}, but {committed} was committed when it was asked"
            ));
        }
        Ok(())
    }

    fn dropped(&mut self, node: u64, number: u64) -> Result<(), String> {
        match self.asked.remove(&number) {
            Some(asked) if asked.node == node && asked.owed_in.is_some() => Ok(()),
            _ => Err(format!("n{node} gives up read {number}, which nobody asked of it")),
        }
    }
}

impl Rule for ReadsAreFresh {
    const ID: &'static str = "R-READ";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match *event {
            Event::Step(step) => self.committed = self.committed.max(step.now.commit),
            Event::ReadAsked { node, number, owed_in } => {
                self.asked.insert(number, Asked { node, committed: self.committed, owed_in });
            }
            Event::ReadAnswered { node, number, index } => return self.answered(node, number, index),
            Event::ReadDropped { node, number } => return self.dropped(node, number),
            _ => {}
        }
        Ok(())
    }
}
