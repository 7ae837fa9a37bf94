//! The event queue of a run: ordered by virtual time, then by a tie-break drawn from the seed.
//!
//! The tie-break makes simultaneous events run in another order under another seed, and in the same order under the
//! same one. Two events of one queue never compare equal: the sequence number of the push decides last.
//!
//! The heap orders places only. Events lie still in a slab: they are large, and a heap moves what it holds with every push and pop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

use crate::clock::VirtualTime;
use crate::rng::SeededRng;

/// Events waiting for their time.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Scheduled>>,
    events: Slab<E>,
    tie_break: SeededRng,
    pushed: u64,
}

impl<E> EventQueue<E> {
    /// An empty queue that takes its tie-breaks from `tie_break`.
    pub fn new(tie_break: SeededRng) -> Self {
        Self { heap: BinaryHeap::new(), events: Slab::new(), tie_break, pushed: 0 }
    }

    /// Schedules `event` for `at`.
    pub fn push(&mut self, at: VirtualTime, event: E) {
        let place = self.events.insert(event);
        let scheduled = Scheduled { at, tie: self.tie_break.next_u64(), sequence: self.pushed, place };
        self.pushed += 1;
        self.heap.push(Reverse(scheduled));
    }

    /// The next event and its time.
    pub fn pop(&mut self) -> Option<(VirtualTime, E)> {
        self.heap.pop().map(|Reverse(scheduled)| (scheduled.at, self.events.remove(scheduled.place)))
    }

    /// When the next event is due.
    pub fn next_time(&self) -> Option<VirtualTime> {
        self.heap.peek().map(|Reverse(scheduled)| scheduled.at)
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// When an event is due, and where it lies. Ordered by its fields as they stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: VirtualTime,
    tie: u64,
    sequence: u64,
    place: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(seed: u64) -> Vec<(u64, u32)> {
        let mut queue = EventQueue::new(SeededRng::stream(seed, "events"));
        for event in 0..20 {
            queue.push(VirtualTime::from_micros(u64::from(event % 3)), event);
        }
        let mut drained = Vec::new();
        while let Some((at, event)) = queue.pop() {
            drained.push((at.as_micros(), event));
        }
        drained
    }

    #[test]
    fn time_orders_first_and_the_seed_breaks_ties() {
        let first = drain(1);
        assert!(first.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(first, drain(1));
        assert_ne!(first, drain(2));
    }
}
