//! R-SNAP-ONE: while a snapshot that a node has taken in is not on its disk, it takes in no second one and no append; it is handed out
//! once, and over when it is written (Raft, section 7).
//!
//! Log and state machine are between two worlds in that time: what is appended behind the snapshot, or put in its place, may end up on
//! a disk that still holds the old log.

use super::{Cause, Event, Rule};
use crate::group::Member;

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct OneSnapshot;

impl Rule for OneSnapshot {
    const ID: &'static str = "R-SNAP-ONE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (id, before, now) = (step.member.id, step.before, step.now);
        if writes_with_snapshot(step.member) > 1 {
            return Err(format!("n{id} has handed out a second snapshot before the first one was written"));
        }
        if before.snapshot == 0 || before.life != now.life {
            return Ok(());
        }
        let at = before.snapshot;
        if now.snapshot == 0 {
            let written = matches!(step.cause, Cause::Persisted) && now.persisted >= at;
            return if written {
                Ok(())
            } else {
                Err(format!("n{id} forgets its snapshot at {at} before it is written"))
            };
        }
        if now.snapshot != at {
            return Err(format!("n{id} takes in a snapshot at {} while the one at {at} is not written", now.snapshot));
        }
        match step.change.from {
            Some(from) => Err(format!("n{id} appends at {from} while its snapshot at {at} is not written")),
            None => Ok(()),
        }
    }
}

fn writes_with_snapshot(member: &Member) -> usize {
    member.writes.iter().filter(|ready| ready.snapshot.is_some()).count()
}
