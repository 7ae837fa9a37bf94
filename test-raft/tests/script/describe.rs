//! The answers to questions: `status`, `log`, `state`, `members`.

use raft_core::eraftpb::Entry;

use super::node::{Node, describe};
use super::notation;

/// `n1@2 leader last=5@2 commit=4 applied=4`, and on a leader a line for each follower.
pub fn status(node: &Node) -> String {
    let Some(raw) = node.raw() else { return format!("n{} is down", node.id) };
    let raft = &raw.raft;
    let mut text = format!("{} {}", node.name(), notation::role(raft.role()));
    if raft.leader_id() != 0 && raft.leader_id() != node.id {
        text += &format!(" of n{}", raft.leader_id());
    }
    let last_term = raft.log_term(raft.last_index()).unwrap_or(0);
    text += &format!(" last={}@{last_term} commit={} applied={}", raft.last_index(), raft.committed(), raft.applied());
    if raft.persisted() < raft.last_index() {
        text += &format!(" persisted={}", raft.persisted());
    }
    for (id, member) in raw.status().members.iter().filter(|(id, _)| **id != node.id) {
        text += &format!("\n  n{id} {}", describe(member));
    }
    text
}

/// `n1@2 log 1@1, 2@1 "a" | 3@2`: the bar stands behind what is committed.
pub fn log(node: &Node) -> String {
    let Some(raw) = node.raw() else { return format!("n{} is down", node.id) };
    let raft = &raw.raft;
    let mut parts = Vec::new();
    if raft.first_index() > 1 {
        parts.push(format!("(up to {} compacted)", raft.first_index() - 1));
    }
    let (committed, open): (Vec<&Entry>, Vec<&Entry>) = node.log.values().partition(|e| e.index <= raft.committed());
    if !committed.is_empty() {
        parts.push(notation::entries(committed));
    }
    parts.push("|".to_owned());
    if !open.is_empty() {
        parts.push(notation::entries(open));
    }
    format!("{} log {}", node.name(), parts.join(" "))
}

/// `n1 has applied up to 4: a b`.
pub fn state(node: &Node) -> String {
    format!("n{} has applied up to {}: {}", node.id, node.machine.applied, node.machine.values.join(" "))
        .trim_end_matches([' ', ':'])
        .to_owned()
}

/// `n1@2 members voters=(1 2 3)`.
pub fn members(node: &Node) -> String {
    match node.raw() {
        Some(raw) => format!("{} members {}", node.name(), notation::members(&raw.raft.tracker().conf_state())),
        None => format!("n{} is down", node.id),
    }
}
