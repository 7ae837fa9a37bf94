//! What strikes a group in its hostile phase: work, crashes, cuts, compaction, changes of membership, transfers.
//!
//! A strike is one action, drawn by the dice. Work is done where a node believes to lead, even if it has been deposed: that is when things
//! go wrong. Members that were removed stay until nobody needs their vote any more ([`Group::bury`]).

use bytes::Bytes;
use proto::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::group::Group;
use crate::member::Kind;
use crate::plan::some_kind;

/// No group has more members than this.
const MOST_MEMBERS: usize = 6;

/// Counters of the hostile phase.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    /// Proposals so far; each has a payload of its own.
    proposals: u64,
    reads: u64,
    /// Requests for snapshots that were sent.
    pub(crate) snapshot_requests: u64,
    /// Members that have joined after the start.
    joined: u64,
}

impl Group {
    /// One strike.
    pub(crate) fn strike(&mut self) {
        self.bury();
        match self.dice.below(if self.plan.wishes { 112 } else { 100 }) {
            0..40 => self.propose_somewhere(),
            40..50 => self.read_somewhere(),
            50..58 => self.flush_and_compact(),
            58..68 if self.plan.crashes => self.crash_one(),
            68..80 => self.restart_one(),
            80..84 if self.plan.partitions => self.partition(),
            84..88 => self.network.heal(),
            88..90 => self.campaign_somewhere(),
            90..96 if self.plan.changes => self.change_members(),
            96..100 if self.plan.transfers => self.transfer_somewhere(),
            100..106 => self.forward_read_somewhere(),
            106..109 => self.set_priority_somewhere(),
            109..112 => self.request_snapshot_somewhere(),
            _ => {}
        }
    }

    fn pick_up(&mut self, wanted: impl Fn(&crate::node::Node) -> bool) -> Option<u64> {
        let ids: Vec<u64> =
            self.nodes.values().filter(|node| node.running.is_some() && wanted(node)).map(|node| node.id).collect();
        self.dice.pick(&ids)
    }

    fn propose_somewhere(&mut self) {
        let Some(id) = self.pick_up(|node| node.leads()) else { return };
        for _ in 0..self.dice.between(1, 5) {
            self.propose(id);
        }
    }

    /// Proposes an entry of its own at a node. Returns its index and term.
    pub(crate) fn propose(&mut self, id: u64) -> Option<(u64, u64)> {
        self.chaos.proposals += 1;
        let mut payload = self.chaos.proposals.to_be_bytes().to_vec();
        payload.resize(8 + self.dice.below(60) as usize, 7);
        let payload = Bytes::from(payload);
        let mut at = None;
        self.act_now(id, |member| at = member.propose(payload.clone()));
        if let Some(at) = at {
            self.rules.on_promise(payload, at);
        }
        at
    }

    fn read_somewhere(&mut self) {
        let Some(id) = self.pick_up(|node| node.leads()) else { return };
        self.read(id);
    }

    /// Asks a node for a read. Returns false if it was refused.
    pub(crate) fn read(&mut self, id: u64) -> bool {
        self.chaos.reads += 1;
        let context = Bytes::copy_from_slice(&self.chaos.reads.to_le_bytes());
        let mut accepted = false;
        self.rules.on_read(&context);
        self.act_now(id, |member| accepted = member.read(context.clone()));
        accepted
    }

    fn forward_read_somewhere(&mut self) {
        let Some(id) = self.pick_up(|node| !node.leads()) else { return };
        self.chaos.reads += 1;
        let context = Bytes::copy_from_slice(&self.chaos.reads.to_le_bytes());
        self.rules.on_forwarded_read(&context);
        self.act_now(id, |member| member.forward_read(context.clone()));
    }

    fn set_priority_somewhere(&mut self) {
        let Some(id) = self.pick_up(|_| true) else { return };
        let priority = self.dice.below(3) as i64;
        self.trace.note(self.now, &[10, id, priority as u64], &[], || format!("n{id} gets priority {priority}"));
        self.act_now(id, |member| member.set_priority(priority));
    }

    /// Only of a log that is committed to its end. Otherwise the `raft` crate can wait for ever: as a leader it cannot make a snapshot of what
    /// only the asking member's acknowledgement would commit, and as a follower it sticks to an index that the next leader's log may not have.
    fn request_snapshot_somewhere(&mut self) {
        let settled = |node: &crate::node::Node| node.view().is_some_and(|view| view.commit == view.last);
        let Some(id) = self.pick_up(|node| !node.leads() && settled(node)) else { return };
        let mut accepted = false;
        self.act_now(id, |member| accepted = member.request_snapshot());
        self.chaos.snapshot_requests += u64::from(accepted);
        let now = self.now;
        self.trace.note(now, &[11, id, u64::from(accepted)], &[], || format!("n{id} wants a snapshot: {accepted}"));
    }

    fn flush_and_compact(&mut self) {
        let Some(id) = self.pick_up(|_| true) else { return };
        let keep = self.dice.below(8);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.flush();
        if let Some(running) = node.running.as_mut().filter(|_| self.dice.chance(60)) {
            let to = running.member.disk().machine().applied.saturating_sub(keep);
            running.member.disk_mut().compact(to);
            self.trace.note(self.now, &[4, id, to], &[], || format!("n{id} compacts to {to}"));
        }
    }

    fn crash_one(&mut self) {
        let Some(id) = self.pick_up(|_| true) else { return };
        self.trace.note(self.now, &[5, id], &[], || format!("n{id} crashes"));
        if let Some(node) = self.nodes.get_mut(&id) {
            node.crash(&mut self.dice);
        }
    }

    fn restart_one(&mut self) {
        let down: Vec<u64> = self.nodes.values().filter(|n| n.running.is_none()).map(|n| n.id).collect();
        if let Some(id) = self.dice.pick(&down) {
            self.restart(id);
        }
    }

    /// Starts a node that is down, perhaps as the other implementation.
    pub(crate) fn restart(&mut self, id: u64) {
        let kind = match self.kinds.get(&id) {
            Some(kind) if !(self.plan.conversions && self.dice.chance(30)) => *kind,
            Some(Kind::Ours) => Kind::Theirs,
            _ => Kind::Ours,
        };
        self.start(id, kind);
    }

    fn partition(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        match self.leader().filter(|_| self.dice.chance(30)) {
            Some(leader) => {
                left.push(leader);
                right.extend(ids.iter().filter(|id| **id != leader));
            }
            None => {
                for id in ids {
                    if self.dice.chance(50) { left.push(id) } else { right.push(id) }
                }
            }
        }
        let both_ways = self.dice.chance(70);
        self.trace.note(self.now, &[6, u64::from(both_ways)], &[], || format!("cut {left:?} {right:?} {both_ways}"));
        self.network.cut(&left, &right, both_ways);
    }

    fn campaign_somewhere(&mut self) {
        if let Some(id) = self.pick_up(|_| true) {
            self.act_now(id, |member| member.campaign());
        }
    }

    fn transfer_somewhere(&mut self) {
        let Some(id) = self.pick_up(|node| node.leads()) else { return };
        // Any node, also one that cannot lead.
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        if let Some(to) = self.dice.pick(&ids) {
            self.trace.note(self.now, &[7, id, to], &[], || format!("n{id} is asked to hand over to n{to}"));
            self.act_now(id, |member| member.transfer(to));
        }
    }

    fn change_members(&mut self) {
        let Some(id) = self.pick_up(|node| node.leads()) else { return };
        let Some(members) = self.nodes.get(&id).and_then(|n| n.running.as_ref()).map(|r| r.member.members()) else {
            return;
        };
        let next = 101 + self.chaos.joined;
        let Some(change) = draw_change(&mut self.dice, &members, next) else { return };
        let single = self.dice.chance(50);
        let mut at = None;
        self.act_now(id, |member| at = member.propose_change(&change, single));
        let (now, accepted) = (self.now, at.is_some());
        self.trace.note(now, &[8, id, u64::from(accepted)], &[], || format!("n{id} proposes {change:?}: {at:?}"));
        let joins = change.changes.iter().any(|one| one.node_id == next);
        if accepted && joins {
            self.chaos.joined += 1;
            let kind = some_kind(&mut self.dice);
            self.add_node(next, kind, Disk::empty());
        }
    }

    /// Takes away nodes that were removed, once nobody who is left can need their vote: every member of the latest configuration
    /// knows one without them.
    pub(crate) fn bury(&mut self) {
        let Some(latest) = self.nodes.values().map(|n| &n.machine).max_by_key(|m| m.applied).map(|m| m.members())
        else {
            return;
        };
        if !latest.voters_outgoing.is_empty() {
            return;
        }
        let members: Vec<u64> = latest.voters.iter().chain(&latest.learners).copied().collect();
        let knows = |id: &u64| self.nodes.get(id).is_some_and(|node| node.disk().machine().members() == latest);
        if !members.iter().all(knows) {
            return;
        }
        // A node that is about to join is not a member yet.
        let gone: Vec<u64> = self
            .nodes
            .values()
            .filter(|node| !members.contains(&node.id) && node.machine.applied > 0)
            .map(|node| node.id)
            .collect();
        for id in gone {
            self.trace.note(self.now, &[9, id], &[], || format!("n{id} is taken away"));
            self.nodes.remove(&id);
        }
    }
}

/// A change that makes sense for `members`; `next` is the id of the next one to join.
fn draw_change(dice: &mut Dice, members: &ConfState, next: u64) -> Option<ConfChangeV2> {
    if !members.voters_outgoing.is_empty() {
        return Some(ConfChangeV2::default());
    }
    let count = 1 + usize::from(dice.chance(40)) + usize::from(dice.chance(20));
    let mut free: Vec<u64> = members.voters.iter().chain(&members.learners).copied().collect();
    let (mut voters, mut size) = (members.voters.len(), free.len());
    let mut changes = Vec::new();
    for _ in 0..count {
        let joins = changes.iter().any(|one: &ConfChangeSingle| one.node_id == next);
        if size < MOST_MEMBERS && !joins && dice.chance(45) {
            let learns = dice.chance(40);
            (voters, size) = (voters + usize::from(!learns), size + 1);
            changes.push(single(if learns { ConfChangeType::AddLearnerNode } else { ConfChangeType::AddNode }, next));
            continue;
        }
        let Some(id) = dice.pick(&free) else { break };
        free.retain(|other| *other != id);
        let votes = members.voters.contains(&id);
        let kind = match (votes, dice.below(3)) {
            (true, _) if voters <= 2 => continue,
            (true, 0) => ConfChangeType::AddLearnerNode,
            (false, 0 | 1) => ConfChangeType::AddNode,
            _ => ConfChangeType::RemoveNode,
        };
        voters = match (votes, kind) {
            (true, ConfChangeType::AddNode) | (false, ConfChangeType::AddLearnerNode | ConfChangeType::RemoveNode) => {
                voters
            }
            (true, _) => voters - 1,
            (false, ConfChangeType::AddNode) => voters + 1,
        };
        size -= usize::from(kind == ConfChangeType::RemoveNode);
        changes.push(single(kind, id));
    }
    let transitions = [ConfChangeTransition::Auto, ConfChangeTransition::Implicit, ConfChangeTransition::Explicit];
    let transition = dice.pick(&transitions)? as i32;
    Some(ConfChangeV2 { transition, changes, ..ConfChangeV2::default() }).filter(|change| !change.changes.is_empty())
}

fn single(kind: ConfChangeType, node_id: u64) -> ConfChangeSingle {
    ConfChangeSingle { change_type: kind as i32, node_id }
}
