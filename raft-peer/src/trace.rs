//! What happened in a run, as a hash that two runs of one seed share, and as lines for people.

use crate::dice::{fold, fold_bytes};

/// The record of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    print: bool,
}

impl Trace {
    /// A trace that prints its lines, or only counts them.
    pub fn new(print: bool) -> Self {
        Trace { print, ..Trace::default() }
    }

    /// Notes an event: when, what in numbers, what in bytes. The line is made only when it is printed.
    pub fn note(&mut self, time: u64, numbers: &[u64], bytes: &[u8], line: impl FnOnce() -> String) {
        self.events += 1;
        self.hash = numbers.iter().copied().fold(fold(self.hash, time), fold);
        self.hash = fold_bytes(self.hash, bytes);
        if self.print {
            println!("{time:>6} {}", line());
        }
    }

    /// The hash over all events.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events were noted.
    pub fn events(&self) -> u64 {
        self.events
    }
}
