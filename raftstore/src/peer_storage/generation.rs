//! The snapshot that raft-core asks for: not there at first, being made, there.
//!
//! raft-core asks through a shared reference and may be told "not yet"; it asks again with a later heartbeat. So the wish is
//! noted here, the peer takes it up at the end of its round, and one answer is kept until raft-core asks again.

use std::cell::RefCell;

use proto::eraftpb::Snapshot;

use crate::worker::Ticket;

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// raft-core has asked.
    Wanted,
    /// The apply stage or a worker has it.
    Running(Ticket),
    /// It waits for raft-core to ask again.
    Ready(Box<Snapshot>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Generation {
    state: RefCell<State>,
}

fn index_of(snapshot: &Snapshot) -> u64 {
    snapshot.metadata.as_ref().map_or(0, |m| m.index)
}

impl Generation {
    /// raft-core asks for a snapshot of at least `index`.
    pub(super) fn ask(&self, index: u64) -> Option<Snapshot> {
        let mut state = self.state.borrow_mut();
        match std::mem::take(&mut *state) {
            State::Ready(snapshot) if index_of(&snapshot) >= index => return Some(*snapshot),
            State::Ready(_) | State::Idle | State::Wanted => *state = State::Wanted,
            State::Running(ticket) => *state = State::Running(ticket),
        }
        None
    }

    /// Takes up the wish, if there is one that nobody has taken up.
    pub(super) fn take_up(&mut self) -> Option<Ticket> {
        let state = self.state.get_mut();
        if !matches!(state, State::Wanted) {
            return None;
        }
        let ticket = Ticket::default();
        *state = State::Running(ticket.clone());
        Some(ticket)
    }

    /// What became of the wish. Ignored if it is no longer wanted.
    pub(super) fn made(&mut self, ticket: &Ticket, snapshot: Option<Box<Snapshot>>) {
        let state = self.state.get_mut();
        if matches!(state, State::Running(running) if running.is(ticket)) {
            *state = snapshot.map_or(State::Idle, State::Ready);
        }
    }

    /// The log begins behind `truncated` now: a snapshot from before that is of no use.
    pub(super) fn compacted(&mut self, truncated: u64) {
        let overtaken = match self.state.get_mut() {
            State::Running(ticket) => ticket.index().is_some_and(|index| index < truncated),
            State::Ready(snapshot) => index_of(snapshot) < truncated,
            State::Idle | State::Wanted => false,
        };
        if overtaken {
            self.cancel();
        }
    }

    /// Nobody wants a snapshot any more.
    pub(super) fn cancel(&mut self) {
        if let State::Running(ticket) = std::mem::take(self.state.get_mut()) {
            ticket.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::eraftpb::SnapshotMetadata;

    use super::*;

    fn snapshot(index: u64) -> Option<Box<Snapshot>> {
        let metadata = Some(SnapshotMetadata { index, ..Default::default() });
        Some(Box::new(Snapshot { metadata, ..Default::default() }))
    }

    #[test]
    fn a_wish_is_taken_up_once_and_answered_once() {
        let mut generation = Generation::default();
        assert!(generation.take_up().is_none());
        for _ in 0..3 {
            assert!(generation.ask(5).is_none());
        }
        let ticket = generation.take_up().unwrap();
        assert!(generation.take_up().is_none() && generation.ask(5).is_none());
        assert!(generation.take_up().is_none(), "it is under way");
        generation.made(&ticket, snapshot(9));
        assert_eq!(generation.ask(5).map(|s| index_of(&s)), Some(9));
        assert!(generation.ask(5).is_none(), "the next follower gets one of its own");
    }

    #[test]
    fn what_compaction_has_overtaken_is_made_anew() {
        let mut generation = Generation::default();
        generation.ask(5);
        let ticket = generation.take_up().unwrap();
        generation.compacted(100);
        assert!(!ticket.is_cancelled(), "nobody knows of which index it will be");
        ticket.set_index(50);
        generation.compacted(50);
        assert!(!ticket.is_cancelled());
        generation.compacted(51);
        assert!(ticket.is_cancelled());
        generation.made(&ticket, snapshot(50));
        assert!(generation.ask(51).is_none(), "the old one was thrown away");
        let again = generation.take_up().unwrap();
        generation.made(&again, snapshot(60));
        generation.compacted(61);
        assert!(generation.ask(61).is_none());
        assert!(generation.take_up().is_some());
    }

    #[test]
    fn a_snapshot_that_could_not_be_made_is_asked_for_again() {
        let mut generation = Generation::default();
        generation.ask(5);
        let ticket = generation.take_up().unwrap();
        generation.made(&ticket, None);
        assert!(generation.take_up().is_none());
        generation.ask(5);
        assert!(generation.take_up().is_some());
    }
}
