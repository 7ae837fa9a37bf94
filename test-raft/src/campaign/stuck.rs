//! The report of a group that makes no progress: who waits for whom.

use std::fmt::Write;

use raft_core::Role;

use super::Campaign;
use crate::group::{Member, describe};
use crate::invariants::Violation;

impl Campaign {
    /// The verdict `id`, with what every node waits for.
    pub(super) fn stuck(&self, id: &str, what: &str) -> Violation {
        let mut message = what.to_owned();
        for member in self.world.group.members.values() {
            let status = member.node().map_or_else(|| "down".to_owned(), |node| node.status().to_string());
            write!(message, "\n{status}\n    {}", self.waits_for(member)).expect("writing to a string does not fail");
        }
        for waiting in self.world.group.wire.iter().take(10) {
            write!(message, "\nunder way: {}", describe(waiting)).expect("writing to a string does not fail");
        }
        Violation { id: id.to_owned(), message }
    }

    fn waits_for(&self, member: &Member) -> String {
        let Some(node) = member.node() else { return format!("n{} waits to be started", member.id) };
        let (id, marks) = (member.id, member.marks());
        if !member.writes.is_empty() {
            return format!("n{id} waits for its disk: {} writes", member.writes.len());
        }
        if !member.to_apply.is_empty() {
            return format!("n{id} waits for its state machine: {} entries", member.to_apply.len());
        }
        match marks.role {
            Role::Leader => {
                let behind = |(other, progress): (u64, &raft_core::progress::Progress)| {
                    (other != id && progress.matched < marks.last)
                        .then(|| format!("n{other} ({} at {})", progress.state_name(), progress.matched))
                };
                let behind: Vec<String> = node.raft.tracker().iter().filter_map(behind).collect();
                format!(
                    "n{id} leads and waits for {}",
                    if behind.is_empty() { "nobody".into() } else { behind.join(", ") }
                )
            }
            Role::Candidate | Role::PreCandidate => format!("n{id} waits for votes in term {}", marks.term),
            Role::Follower if marks.leader == 0 => format!("n{id} waits for a leader"),
            Role::Follower => format!("n{id} waits for entries from n{}", marks.leader),
        }
    }
}
