//! How the rules and the trace learn of what happened to a node.

use proto::eraftpb::MessageType;
use raft_core::Role;

use super::{Action, Marks, World};
use crate::invariants::{Cause, Event, Step, Violation};

impl World {
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
    pub(super) fn observe(&mut self, id: u64, cause: Cause<'_>) -> Result<(), Violation> {
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

    pub(super) fn note(&mut self, id: u64, action: &Action, detail: impl FnOnce() -> String) {
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
