//! How each action is carried out, and what the rules are told about it.

use bytes::Bytes;
use proto::eraftpb::{Entry, Message, MessageType};
use raft_core::{MemStorage, RawNode, Ready, Role, membership};

use super::{Action, Breakage, Marks, Reshape, World, describe};
use crate::invariants::{Cause, Event, Step, Violation};

/// What an action comes to: true if it did something, or the rule it broke.
pub type Outcome = Result<bool, Violation>;

impl World {
    /// Performs one action. Returns false if there was nothing to do: the node is down, the position is empty.
    ///
    /// # Errors
    /// The first rule that does not hold any more.
    pub fn perform(&mut self, action: &Action) -> Outcome {
        self.step += 1;
        match *action {
            Action::Tick(node) => {
                if let Some(member) = self.group.members.get_mut(&node) {
                    member.quiet_ticks = member.quiet_ticks.saturating_add(1);
                }
                self.input(node, action, Cause::Tick, |node| {
                    node.tick();
                })
            }
            Action::Campaign(node) => self.input(node, action, Cause::Other, |node| drop(node.campaign())),
            Action::Beat(node) => self.input(node, action, Cause::Other, beat),
            Action::Unreachable(node, peer) => {
                self.input(node, action, Cause::Other, |node| node.report_unreachable(peer))
            }
            Action::Change(node, ref reshape) => self.change(node, reshape, action),
            Action::Transfer(node, to) => self.transfer(node, to, action),
            Action::Propose(node, size) => self.propose(node, size, action),
            Action::Read(node) => self.read(node, action),
            Action::Deliver(position) => match self.group.wire.remove(position) {
                Some(message) => self.deliver(message, action),
                None => Ok(false),
            },
            Action::DeliverCopy(position) => match self.group.wire.get(position).cloned() {
                Some(message) => self.deliver(message, action),
                None => Ok(false),
            },
            Action::Drop(position) => match self.group.wire.remove(position) {
                Some(message) => self.lose(message, action),
                None => Ok(false),
            },
            Action::TakeReady(node) => self.take_ready(node, action),
            Action::Write(node, count) => self.write(node, count, action),
            Action::Apply(node, count) => self.apply(node, count, action),
            _ => self.environment(action),
        }
    }

    /// Actions that no node notices.
    fn environment(&mut self, action: &Action) -> Outcome {
        let group = &mut self.group;
        let done = match *action {
            Action::HoldUp(position) => match group.wire.remove(position) {
                Some(message) => {
                    group.held_up.push(message);
                    true
                }
                None => false,
            },
            Action::Release(position) if position < group.held_up.len() => {
                group.wire.push_back(group.held_up.swap_remove(position));
                true
            }
            Action::Save(node) => group.members.get_mut(&node).is_some_and(|member| member.save()),
            Action::Compact(node, keep) => return self.compact(node, keep, action),
            Action::Crash(node, kept, newest) => {
                let breakage = group.breakage;
                group.members.get_mut(&node).filter(|member| member.node().is_some()).is_some_and(|member| {
                    member.crash(kept, newest, breakage);
                    self.counts.crashes += 1;
                    true
                })
            }
            Action::Restart(node) => return self.restart(node, action),
            Action::Cut(from, to) => from != to && group.cut.insert((from, to)),
            Action::Isolate { node, hears, speaks } => {
                let others: Vec<u64> = group.members.keys().copied().filter(|other| *other != node).collect();
                for other in others {
                    group.cut.extend((!hears).then_some((other, node)));
                    group.cut.extend((!speaks).then_some((node, other)));
                }
                true
            }
            Action::Mend => !std::mem::take(&mut group.cut).is_empty(),
            _ => false,
        };
        if done {
            self.trace.note(action);
            let step = self.step;
            self.trace.line(|| format!("{step:>5}  {action}"));
        }
        Ok(done)
    }

    /// Gives a running node some input, and lets the rules look at it afterwards.
    fn input(
        &mut self,
        id: u64,
        action: &Action,
        cause: Cause<'_>,
        work: impl FnOnce(&mut RawNode<MemStorage>),
    ) -> Outcome {
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        work(node);
        self.observe(id, cause)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn propose(&mut self, id: u64, size: usize, action: &Action) -> Outcome {
        self.group.asked += 1;
        let mut data = self.group.asked.to_be_bytes().to_vec();
        data.resize(size.max(data.len()), 0);
        // Refused by all but leaders, and by those when too much is on its way.
        self.input(id, action, Cause::Other, |node| drop(node.propose(Bytes::new(), data.into())))
    }

    fn change(&mut self, id: u64, reshape: &Reshape, action: &Action) -> Outcome {
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        let result = match reshape.to_v1() {
            Some(change) => node.propose_conf_change(Bytes::new(), change),
            None => node.propose_conf_change(Bytes::new(), reshape.to_v2()),
        };
        if result.is_err() {
            return Ok(false);
        }
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn transfer(&mut self, id: u64, to: u64, action: &Action) -> Outcome {
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        if node.transfer_leader(to).is_err() {
            return Ok(false);
        }
        self.counts.transfers += 1;
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn read(&mut self, id: u64, action: &Action) -> Outcome {
        self.group.asked += 1;
        let number = self.group.asked;
        let context = Bytes::copy_from_slice(&number.to_be_bytes());
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        if node.read_index(context).is_err() {
            return Ok(false);
        }
        self.rules.check(&Event::ReadAsked { node: id, number })?;
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn deliver(&mut self, message: Message, action: &Action) -> Outcome {
        let to = message.to;
        let link_works = !self.group.cut.contains(&(message.from, to));
        let running = self.group.members.get(&to).is_some_and(|member| member.node().is_some());
        if !link_works || !running {
            return self.lose(message, action);
        }
        self.report_snapshot(&message, true)?;
        self.counts.delivered += 1;
        let Some(node) = self.group.members.get_mut(&to).and_then(|member| member.node_mut()) else { return Ok(false) };
        let copy = message.clone();
        // An answer of somebody who is not in the group any more is refused.
        drop(node.step(copy));
        self.observe(to, Cause::Message(&message))?;
        self.note(to, action, || describe(&message));
        Ok(true)
    }

    fn lose(&mut self, message: Message, action: &Action) -> Outcome {
        self.report_snapshot(&message, false)?;
        self.counts.lost += 1;
        self.trace.note(action);
        let step = self.step;
        self.trace.line(|| format!("{step:>5}  {} is lost", describe(&message)));
        Ok(true)
    }

    /// Whoever carries snapshots tells their sender how it went.
    fn report_snapshot(&mut self, message: &Message, ok: bool) -> Result<(), Violation> {
        if message.msg_type() != MessageType::MsgSnapshot {
            return Ok(());
        }
        let sender = self.group.members.get_mut(&message.from).and_then(|member| member.node_mut());
        let Some(node) = sender else { return Ok(()) };
        node.report_snapshot(message.to, ok);
        self.observe(message.from, Cause::Other)
    }

    fn take_ready(&mut self, id: u64, action: &Action) -> Outcome {
        let breakage = self.group.breakage;
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        let Some(node) = member.node_mut().filter(|node| node.has_ready()) else { return Ok(false) };
        let mut ready = node.ready();
        if breakage == Some(Breakage::ConfigureAtAppend) {
            let changes = ready.entries.iter().filter_map(|entry| membership::decode(entry).ok());
            changes.for_each(|change| drop(node.apply_conf_change(change)));
        }
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

    fn answer_reads(&mut self, id: u64, ready: &Ready) -> Result<(), Violation> {
        for read in &ready.read_states {
            let number = <[u8; 8]>::try_from(&read.request_ctx[..]).map_or(0, u64::from_be_bytes);
            self.counts.reads += 1;
            self.rules.check(&Event::ReadAnswered { node: id, number, index: read.index })?;
        }
        Ok(())
    }

    fn write(&mut self, id: u64, count: usize, action: &Action) -> Outcome {
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

    fn apply(&mut self, id: u64, count: usize, action: &Action) -> Outcome {
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

    fn compact(&mut self, id: u64, keep: u64, action: &Action) -> Outcome {
        if !self.group.members.get_mut(&id).is_some_and(|member| member.compact(keep)) {
            return Ok(false);
        }
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn restart(&mut self, id: u64, action: &Action) -> Outcome {
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

    /// A node has started: its log is read anew.
    pub(super) fn observe_start(&mut self, id: u64) -> Result<(), Violation> {
        if let Some(member) = self.group.members.get_mut(&id) {
            member.seen.log = super::LogMirror::default();
            let machine = member.machine.clone();
            self.rules.check(&Event::Restored { node: id, machine: &machine })?;
        }
        self.observe(id, Cause::Start)
    }

    /// Lets the rules look at a node that something happened to.
    fn observe(&mut self, id: u64, cause: Cause<'_>) -> Result<(), Violation> {
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(()) };
        let Some(node) = member.node() else { return Ok(()) };
        let (before, now) = (member.seen.marks, Marks::of(member.life, &node.raft));
        let mut log = std::mem::take(&mut member.seen.log);
        let suspect = match cause {
            Cause::Message(message) if message.msg_type() == MessageType::MsgAppend => message.index + 1,
            _ => u64::MAX,
        };
        let change = member.node().map(|node| log.update(&node.raft, suspect)).unwrap_or_default();
        member.seen.log = log;
        member.seen.marks = now;
        let quiet = member.quiet_ticks;
        member.hear(&cause, &now, &before);
        self.counts.leaders += u64::from(now.role == Role::Leader && !now.same_reign(&before));
        let Some(member) = self.group.members.get(&id) else { return Ok(()) };
        let step = Step { before, now, change: &change, cause, quiet_ticks: quiet, member, group: &self.group };
        self.rules.check(&Event::Step(&step))
    }

    fn note(&mut self, id: u64, action: &Action, detail: impl FnOnce() -> String) {
        let Some(member) = self.group.members.get(&id) else { return };
        let marks = member.seen.marks;
        self.counts.actions += 1;
        self.trace.note(&(action, marks));
        let step = self.step;
        self.trace.line(|| {
            let detail = detail();
            let what = match action {
                Action::Deliver(_) | Action::DeliverCopy(_) => format!("{detail} {action}"),
                _ if detail.is_empty() => action.to_string(),
                _ => format!("{action}: {detail}"),
            };
            format!("{step:>5}  {what:<70} | {marks}")
        });
    }
}

fn beat(node: &mut RawNode<MemStorage>) {
    let order = Message { msg_type: MessageType::MsgBeat as i32, ..Message::default() };
    node.raft.step(order).expect("an order to send heartbeats is never refused");
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
