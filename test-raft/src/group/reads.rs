//! Reads: asked of a leader or through it, answered, or given up with a word.

use bytes::Bytes;
use raft_core::{Ready, Role};

use super::perform::Outcome;
use super::{Action, World};
use crate::invariants::{Cause, Event, Violation};

impl World {
    /// A leader is asked for a read.
    pub(super) fn read(&mut self, id: u64, action: &Action) -> Outcome {
        let (number, context) = self.number_a_read();
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        let life = member.life;
        if member.node_mut().is_none_or(|node| node.read_index(context).is_err()) {
            return Ok(false);
        }
        self.rules.check(&Event::ReadAsked { node: id, number, owed_in: Some(life) })?;
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    /// Any node is asked for a read. Only one that leads owes a word about it: requests and answers may be lost.
    pub(super) fn forward_read(&mut self, id: u64, action: &Action) -> Outcome {
        let (number, context) = self.number_a_read();
        let Some(member) = self.group.members.get_mut(&id) else { return Ok(false) };
        let owed_in = (member.seen.marks.role == Role::Leader).then_some(member.life);
        if member.node_mut().is_none_or(|node| node.forward_read(context).is_err()) {
            return Ok(false);
        }
        self.rules.check(&Event::ReadAsked { node: id, number, owed_in })?;
        self.observe(id, Cause::Other)?;
        self.note(id, action, String::new);
        Ok(true)
    }

    /// Tells the rules which reads a Ready answers, and which ones it gives up.
    pub(super) fn answer_reads(&mut self, id: u64, ready: &Ready) -> Result<(), Violation> {
        for read in &ready.read_states {
            self.counts.reads += 1;
            self.counts.forwarded += u64::from(self.group.members[&id].seen.marks.role == Role::Follower);
            self.rules.check(&Event::ReadAnswered {
                node: id,
                number: number_of(&read.request_ctx),
                index: read.index,
            })?;
        }
        for context in &ready.dropped_reads {
            self.counts.reads_dropped += 1;
            self.rules.check(&Event::ReadDropped { node: id, number: number_of(context) })?;
        }
        Ok(())
    }

    fn number_a_read(&mut self) -> (u64, Bytes) {
        self.group.asked += 1;
        (self.group.asked, Bytes::copy_from_slice(&self.group.asked.to_be_bytes()))
    }
}

fn number_of(context: &[u8]) -> u64 {
    <[u8; 8]>::try_from(context).map_or(0, u64::from_be_bytes)
}
