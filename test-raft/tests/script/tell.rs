//! What has changed on a node since the last time, in words.

use std::collections::BTreeMap;

use raft_core::eraftpb::{ConfState, Entry};
use raft_core::{Ready, Role};

use super::node::{Event, Node, describe};
use super::notation;

/// What was told already.
#[derive(Default)]
pub(super) struct Told {
    pub(super) term: u64,
    pub(super) vote: u64,
    pub(super) role: Role,
    pub(super) leader: u64,
    pub(super) committed: u64,
    pub(super) members: ConfState,
    /// Flow state and pause of each follower, while this node leads.
    pub(super) progress: BTreeMap<u64, (&'static str, bool)>,
}

impl Node {
    pub(super) fn tell_state(&mut self, out: &mut Vec<Event>) {
        let Some(raw) = self.raw() else { return };
        let (id, raft) = (self.id, &raw.raft);
        let (term, role, vote, leader) = (raft.term(), raft.role(), raft.vote(), raft.leader_id());
        let members = raft.tracker().conf_state();
        let told = &mut self.told;
        let (old_role, new_role) = (notation::role(told.role), notation::role(role));
        let mut tell = |text: String| out.push(Event::Line(text));
        if members != told.members {
            tell(format!("n{id}@{} members {}", told.term, notation::members(&members)));
            told.members = members;
        }
        if term != told.term {
            tell(format!("n{id}@{} {old_role} ⇢ n{id}@{term} {new_role}", told.term));
        } else if role != told.role {
            tell(format!("n{id}@{term} {old_role} ⇢ {new_role}"));
        }
        if vote != 0 && vote != id && (term, vote) != (told.term, told.vote) {
            tell(format!("n{id}@{term} votes for n{vote}"));
        }
        if leader != 0 && leader != id && (term, leader) != (told.term, told.leader) {
            tell(format!("n{id}@{term} follows n{leader}"));
        } else if leader == 0 && told.leader != 0 && (term, role) == (told.term, told.role) {
            tell(format!("n{id}@{term} knows no leader"));
        }
        (told.term, told.role, told.vote, told.leader) = (term, role, vote, leader);
    }

    pub(super) fn tell_log(&mut self, ready: &Ready, out: &mut Vec<Event>) {
        if ready.snapshot.is_some() {
            self.log.clear();
        }
        let Some(first) = ready.entries.first() else { return };
        let dropped: Vec<Entry> = self.log.split_off(&first.index).into_values().collect();
        if !dropped.is_empty() {
            self.line(out, &format!("drops {}", notation::entries(&dropped)));
        }
        self.line(out, &format!("appends {}", notation::entries(&ready.entries)));
        self.log.extend(ready.entries.iter().map(|entry| (entry.index, entry.clone())));
    }

    pub(super) fn tell_commit(&mut self, out: &mut Vec<Event>) {
        let Some(committed) = self.raw().map(|raw| raw.raft.committed()) else { return };
        let news = self.entries(self.told.committed, committed);
        self.told.committed = committed;
        if !news.is_empty() {
            self.line(out, &format!("commits {}", notation::entries(&news)));
        }
    }

    /// What is committed is applied at once, and not mentioned again; an exception is.
    pub(super) fn tell_unapplied(&self, committed_before: u64, out: &mut Vec<Event>) {
        let waiting = self.entries(committed_before.max(self.machine.applied), self.told.committed);
        if !waiting.is_empty() && self.raw().is_some() {
            self.line(out, &format!("does not apply {} yet", notation::entries(&waiting)));
        }
    }

    /// The entries behind `from` up to `last`.
    fn entries(&self, from: u64, last: u64) -> Vec<Entry> {
        self.log.range(from + 1..).take_while(|(index, _)| **index <= last).map(|(_, entry)| entry.clone()).collect()
    }

    pub(super) fn tell_progress(&mut self, out: &mut Vec<Event>) {
        let Some(raw) = self.raw() else { return };
        let status = raw.status();
        let name = self.name();
        self.told.progress.retain(|id, _| status.members.contains_key(id));
        for (id, member) in status.members.iter().filter(|(id, _)| **id != self.id) {
            let new = (member.state, member.paused);
            if self.told.progress.insert(*id, new) != Some(new) && self.show.progress {
                out.push(Event::Line(format!("{name} sees n{id}: {}", describe(member))));
            }
        }
    }
}
