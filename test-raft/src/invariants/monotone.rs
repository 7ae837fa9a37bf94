//! R-MONO: term, commit, applied and first index of a node never go back while it runs, and its term never goes back behind what it has
//! said, also across crashes (Raft, figure 2).

use std::collections::BTreeMap;

use super::{Event, Rule};

/// Remembers the highest term in which each node has spoken.
#[derive(Clone, Debug, Default, Hash)]
pub struct Monotone {
    spoken: BTreeMap<u64, u64>,
}

impl Rule for Monotone {
    const ID: &'static str = "R-MONO";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Sent { member, .. } => {
                let spoken = self.spoken.entry(member.id).or_default();
                // Questions before an election carry a term that nobody has entered: the node's own term counts.
                *spoken = (*spoken).max(member.seen.marks.term.min(member.disk().hard_state().term));
                Ok(())
            }
            Event::Step(step) => {
                let (id, before, now) = (step.member.id, step.before, step.now);
                let spoken = self.spoken.get(&id).copied().unwrap_or(0);
                if now.term < spoken {
                    return Err(format!("n{id} is in term {} and has spoken in term {spoken}", now.term));
                }
                let marks = [
                    ("term", before.term, now.term),
                    ("commit index", before.commit, now.commit),
                    ("applied index", before.applied, now.applied),
                    ("first index", before.first, now.first),
                ];
                let back = marks.iter().find(|(_, old, new)| before.life == now.life && new < old);
                back.map_or(Ok(()), |(name, old, new)| Err(format!("n{id}'s {name} went from {old} back to {new}")))
            }
            _ => Ok(()),
        }
    }
}
