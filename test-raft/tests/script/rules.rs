//! Rules that no schedule may break, checked after every command of every scenario.

use std::collections::BTreeMap;

use raft_core::Role;
use raft_core::eraftpb::Entry;

use super::node::Node;
use super::notation;

/// What was seen so far; see the module.
#[derive(Default)]
pub struct Rules {
    leaders: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, Entry>,
    suspended: bool,
}

impl Rules {
    /// From here on anything may happen.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Looks at all nodes that run.
    pub fn check(&mut self, nodes: &BTreeMap<u64, Node>) -> Result<(), String> {
        if self.suspended {
            return Ok(());
        }
        for node in nodes.values() {
            let Some(raft) = node.raw().map(|raw| &raw.raft) else { continue };
            self.one_leader_a_term(node.id, raft.term(), raft.role())?;
            self.committed_entries_agree(node, raft.committed())?;
            for other in nodes.range(..node.id).map(|(_, other)| other) {
                logs_match(node, other)?;
            }
        }
        Ok(())
    }

    /// Election Safety (Raft paper, figure 3).
    fn one_leader_a_term(&mut self, id: u64, term: u64, role: Role) -> Result<(), String> {
        if role == Role::Leader {
            let first = *self.leaders.entry(term).or_insert(id);
            if first != id {
                return Err(format!("election safety is broken: n{first} and n{id} both lead in term {term}"));
            }
        }
        Ok(())
    }

    /// State Machine Safety (Raft paper, figure 3), told of the commit index rather than of what is applied.
    fn committed_entries_agree(&mut self, node: &Node, committed: u64) -> Result<(), String> {
        for (index, entry) in node.log.range(..=committed) {
            let first = self.committed.entry(*index).or_insert_with(|| entry.clone());
            if first != entry {
                let (first, entry) = (notation::entry(first), notation::entry(entry));
                return Err(format!("state machine safety is broken: {first} was committed, n{} has {entry}", node.id));
            }
        }
        Ok(())
    }
}

/// Log Matching (Raft paper, figure 3): where two logs have the same index and term, everything up to there is the same.
fn logs_match(a: &Node, b: &Node) -> Result<(), String> {
    let same_term = |index: &u64| a.log.get(index).zip(b.log.get(index)).is_some_and(|(x, y)| x.term == y.term);
    let Some(last) = a.log.keys().rev().copied().find(same_term) else { return Ok(()) };
    for (index, entry) in a.log.range(..=last) {
        if b.log.get(index).is_some_and(|other| other != entry) {
            return Err(format!("log matching is broken: n{} and n{} agree at {last}, not at {index}", a.id, b.id));
        }
    }
    Ok(())
}
