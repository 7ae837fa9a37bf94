//! R-COMPLETE: an entry that was committed in one term stands in the logs of the leaders of all later terms (Raft, figure 3).

use std::collections::BTreeMap;

use raft_core::Role;

use super::{Event, Rule, Step};
use crate::group::Member;

/// Remembers the term of each committed entry, and the lowest term in which some node knew that it was committed.
#[derive(Clone, Debug, Default, Hash)]
pub struct LeaderCompleteness {
    committed: BTreeMap<u64, Committed>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Committed {
    term: u64,
    known_in: u64,
}

impl Rule for LeaderCompleteness {
    const ID: &'static str = "R-COMPLETE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        if step.now.role == Role::Leader && !step.now.same_reign(&step.before) {
            let mut later = self.committed.range(step.now.first..).filter(|(_, entry)| entry.known_in < step.now.term);
            later.try_for_each(|(index, entry)| holds(step.member, *index, *entry))?;
        }
        self.note_commits(step)
    }
}

impl LeaderCompleteness {
    fn note_commits(&mut self, step: &Step<'_>) -> Result<(), String> {
        let known = if step.before.life == step.now.life { step.before.commit } else { 0 };
        for index in known.max(step.now.first - 1) + 1..=step.now.commit {
            let Some(term) = step.member.seen.log.term(index) else { continue };
            let known_in = step.now.term;
            let entry = *self.committed.entry(index).or_insert(Committed { term, known_in });
            if entry.term != term {
                return Err(format!(
                    "n{} takes {index}@{term} for committed, but {index}@{} was committed in term {}",
                    step.member.id, entry.term, entry.known_in
                ));
            }
            if entry.known_in == known_in {
                let others = step.group.members.values().filter(|m| m.node().is_some());
                let later = others.filter(|m| m.seen.marks.role == Role::Leader && m.seen.marks.term > known_in);
                later.into_iter().try_for_each(|leader| holds(leader, index, entry))?;
            }
        }
        Ok(())
    }
}

fn holds(leader: &Member, index: u64, entry: Committed) -> Result<(), String> {
    let log = &leader.seen.log;
    if index < log.first() || log.term(index) == Some(entry.term) {
        return Ok(());
    }
    let held = log.term(index).map_or_else(|| "nothing".to_owned(), |term| format!("term {term}"));
    Err(format!(
        "leader n{}@{} holds {held} at {index}, where an entry of term {} was committed in term {}",
        leader.id, leader.seen.marks.term, entry.term, entry.known_in
    ))
}
