//! What a node's owner does: takes Readies, writes and applies what is in them, sends messages, cuts the log, starts the node again.

use proto::eraftpb::{Entry, Message, MessageType};
use raft_core::{Ready, membership};

use super::perform::Outcome;
use super::{Action, Breakage, World, describe};
use crate::invariants::{Cause, Event, Violation};

impl World {
    pub(super) fn take_ready(&mut self, id: u64, action: &Action) -> Outcome {
        let breakage = self.group.breakage;
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        let Some(node) = member.node_mut().filter(|node| node.has_ready()) else { return Ok(false) };
        let mut ready = node.ready();
        if breakage == Some(Breakage::ConfigureAtAppend) {
            let changes = ready.entries.iter().filter_map(|entry| membership::decode(entry).ok());
            changes.for_each(|change| drop(node.apply_conf_change(change)));
        }
        self.rules.check(&Event::Taken { node: id, ready: &ready })?;
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        let mut messages = std::mem::take(&mut ready.messages);
        if breakage == Some(Breakage::SendBeforeWrite) {
            messages.append(&mut ready.persisted_messages);
        }
        member.to_apply.extend(std::mem::take(&mut ready.committed_entries));
        self.answer_reads(id, &ready)?;
        self.observe(id, Cause::Other)?;
        self.note(id, action, || summary(&ready));
        if let Some(member) = self.group.members.get_mut(&id) {
            member.writes.push_back(ready);
        }
        self.send(id, messages)?;
        Ok(true)
    }

    pub(super) fn write(&mut self, id: u64, count: usize, action: &Action) -> Outcome {
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        if member.writes.is_empty() || member.node().is_none() {
            return Ok(false);
        }
        let (messages, restored) = member.finish_writes(count);
        if restored {
            self.counts.restored += 1;
            let machine = member.machine.clone();
            self.rules.check(&Event::Restored { node: id, machine: &machine })?;
        }
        self.observe(id, Cause::Persisted)?;
        self.note(id, action, String::new);
        self.send(id, messages)?;
        Ok(true)
    }

    pub(super) fn apply(&mut self, id: u64, count: usize, action: &Action) -> Outcome {
        self.drop_what_a_snapshot_covers(id);
        let mut done = 0;
        while done < count {
            let Some(member) = self.group.members.get_mut(&id).filter(|member| member.node().is_some()) else { break };
            let Some(entry) = member.to_apply.pop_front() else { break };
            self.apply_entry(id, &entry)?;
            done += 1;
        }
        if done == 0 {
            return Ok(false);
        }
        self.counts.applied += done as u64;
        if let Some(member) = self.group.members.get_mut(&id) {
            let applied = member.machine.applied;
            if let Some(node) = member.node_mut() {
                node.advance_apply_to(applied);
            }
        }
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    /// The log begins behind a snapshot that is still being written: what was handed out before is in it.
    fn drop_what_a_snapshot_covers(&mut self, id: u64) {
        let Some(member) = self.group.members.get_mut(&id) else { return };
        let first = member.node().map_or(0, |node| node.raft.first_index());
        if first > member.machine.applied + 1 {
            member.to_apply.retain(|entry| entry.index >= first);
        }
    }

    fn apply_entry(&mut self, id: u64, entry: &Entry) -> Result<(), Violation> {
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(()) };
        let before = member.machine.applied;
        member.machine.apply(entry);
        let digest = member.machine.digest;
        self.rules.check(&Event::Applied { node: id, before, index: entry.index, term: entry.term, digest })?;
        if membership::is_conf_change(entry) { self.apply_change(id, entry) } else { Ok(()) }
    }

    /// Puts a change of membership into force. One that the configuration does not allow changes nothing, on all nodes alike.
    fn apply_change(&mut self, id: u64, entry: &Entry) -> Result<(), Violation> {
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(()) };
        let before = member.machine.conf.clone();
        let change = membership::decode(entry).ok();
        let result = member.node_mut().and_then(|node| change.and_then(|change| node.apply_conf_change(change).ok()));
        if let Some(after) = result {
            self.counts.changes += 1;
            member.machine.conf = after;
        }
        let after = &member.machine.conf;
        self.rules.check(&Event::Configured { node: id, index: entry.index, before: &before, after })
    }

    pub(super) fn compact(&mut self, id: u64, keep: u64, action: &Action) -> Outcome {
        if !self.group.members.get_mut(&id).is_some_and(|member| member.compact(keep)) {
            return Ok(false);
        }
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    pub(super) fn restart(&mut self, id: u64, action: &Action) -> Outcome {
        let logger = self.logger.clone();
        let Some(member) = self.group.members.get_mut(&id).filter(|member| member.node().is_none()) else {
            return Ok(false);
        };
        member.start(&logger);
        self.observe_start(id)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    /// Puts messages on the wire.
    fn send(&mut self, id: u64, messages: Vec<Message>) -> Result<(), Violation> {
        for mut message in messages {
            let Some(member) = self.group.members.get(&id) else { break };
            self.rules.check(&Event::Sent { member, message: &message })?;
            if self.group.breakage == Some(Breakage::HeartbeatsCommitTooMuch)
                && message.msg_type() == MessageType::MsgHeartbeat
            {
                message.commit = member.seen.marks.commit;
            }
            self.group.wire.push_back(message);
        }
        Ok(())
    }
}

/// A Ready in words.
fn summary(ready: &Ready) -> String {
    let mut parts = Vec::new();
    if let Some(state) = &ready.hard_state {
        parts.push(format!("ballot {}/n{} commit {}", state.term, state.vote, state.commit));
    }
    if let (Some(first), Some(last)) = (ready.entries.first(), ready.entries.last()) {
        parts.push(format!("entries {}..={}", first.index, last.index));
    }
    if let Some(metadata) = ready.snapshot.as_ref().and_then(|s| s.metadata.as_ref()) {
        parts.push(format!("snapshot {}", metadata.index));
    }
    parts.extend(ready.persisted_messages.iter().map(|m| format!("after the write {}", describe(m))));
    parts.join(", ")
}
