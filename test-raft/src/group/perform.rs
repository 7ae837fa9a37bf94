//! How each action is carried out, and what the rules are told about it.

use bytes::Bytes;
use proto::eraftpb::{Message, MessageType};
use raft_core::{MemStorage, RawNode};

use super::{Action, Reshape, World, describe};
use crate::invariants::{Cause, Event, Violation};

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
            Action::ForwardRead(node) => self.forward_read(node, action),
            Action::RequestSnapshot(node) => self.request_snapshot(node, action),
            Action::Ping(node) => self.input(node, action, Cause::Other, RawNode::ping),
            Action::SetPriority(node, priority) => {
                self.input(node, action, Cause::Other, |node| node.set_priority(priority))
            }
            Action::SkipCommitBroadcast(node, skip) => {
                self.input(node, action, Cause::Other, |node| node.set_skip_commit_broadcast(skip))
            }
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
    pub(super) fn input(
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
        let data = Bytes::from(data);
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        // Refused by all but leaders, and by those when too much is on its way.
        let (last, told) = (node.raft.last_index(), node.propose(Bytes::new(), data.clone()).ok());
        self.observe(id, Cause::Other)?;
        self.proposed(id, last, told, Some(data))?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn proposed(&mut self, id: u64, last: u64, told: Option<(u64, u64)>, data: Option<Bytes>) -> Result<(), Violation> {
        let Some(member) = self.group.members.get(&id) else { return Ok(()) };
        self.rules.check(&Event::Proposed { member, last, told, data })
    }

    fn change(&mut self, id: u64, reshape: &Reshape, action: &Action) -> Outcome {
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        let last = node.raft.last_index();
        let result = match reshape.to_v1() {
            Some(change) => node.propose_conf_change(Bytes::new(), change),
            None => node.propose_conf_change(Bytes::new(), reshape.to_v2()),
        };
        let told = result.ok();
        if told.is_none() && node.raft.last_index() == last {
            return Ok(false);
        }
        self.observe(id, Cause::Other)?;
        self.proposed(id, last, told, None)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    fn request_snapshot(&mut self, id: u64, action: &Action) -> Outcome {
        let Some(node) = self.group.members.get_mut(&id).and_then(|member| member.node_mut()) else { return Ok(false) };
        if node.request_snapshot().is_err() {
            return Ok(false);
        }
        self.counts.requested += 1;
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
}

fn beat(node: &mut RawNode<MemStorage>) {
    let order = Message { msg_type: MessageType::MsgBeat as i32, ..Message::default() };
    node.raft.step(order).expect("an order to send heartbeats is never refused");
}
