//! R-COMMIT-TERM: a leader commits by counting only entries of its own term; older ones come along (Raft, section 5.4.2 and figure 8).
//!
//! Figure 8 needs a rare sequence of crashes before data is lost. The rule itself is broken at once.

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct CommitOwnTerm;

impl Rule for CommitOwnTerm {
    const ID: &'static str = "R-COMMIT-TERM";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (before, now) = (step.before, step.now);
        if !now.same_reign(&before) || now.commit <= before.commit {
            return Ok(());
        }
        match step.member.seen.log.term(now.commit) {
            Some(term) if term != now.term => Err(format!(
                "leader n{}@{} moved its commit index from {} to {}, an entry of term {term}",
                step.member.id, now.term, before.commit, now.commit
            )),
            _ => Ok(()),
        }
    }
}
