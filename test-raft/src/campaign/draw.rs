//! Draws what happens next.

use raft_core::Role;

use super::Campaign;
use crate::group::{Action, Member, MemberRole, Reshape, Rng, Transition};

/// Kinds of actions with their weights.
const KINDS: &[(Kind, u64)] = &[
    (Kind::Deliver, 400),
    (Kind::TakeReady, 200),
    (Kind::Write, 170),
    (Kind::Apply, 70),
    (Kind::Tick, 60),
    (Kind::Propose, 40),
    (Kind::Read, 10),
    (Kind::Change, 10),
    (Kind::Transfer, 4),
    (Kind::Save, 20),
    (Kind::Compact, 15),
    (Kind::Restart, 8),
    (Kind::Release, 8),
    (Kind::Crash, 4),
    (Kind::Campaign, 4),
    (Kind::Link, 4),
    (Kind::Unreachable, 3),
    (Kind::ForwardRead, 6),
    (Kind::RequestSnapshot, 2),
    (Kind::Ping, 2),
    (Kind::SetPriority, 3),
    (Kind::SkipCommitBroadcast, 1),
];

#[derive(Clone, Copy)]
enum Kind {
    Deliver,
    TakeReady,
    Write,
    Apply,
    Tick,
    Propose,
    Read,
    Change,
    Transfer,
    Save,
    Compact,
    Restart,
    Release,
    Crash,
    Campaign,
    Link,
    Unreachable,
    ForwardRead,
    RequestSnapshot,
    Ping,
    SetPriority,
    SkipCommitBroadcast,
}

impl Campaign {
    /// The next action of the phase with faults. Time passes when there is nothing else to do.
    pub(super) fn draw(&mut self) -> Action {
        let kind = self.draw_kind();
        let node = self.any_node();
        self.draw_action(kind, node).unwrap_or(Action::Tick(node))
    }

    fn draw_kind(&mut self) -> Kind {
        let total: u64 = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.below(total);
        for (kind, weight) in KINDS {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        Kind::Tick
    }

    fn draw_action(&mut self, kind: Kind, node: u64) -> Option<Action> {
        match kind {
            Kind::Deliver => self.draw_delivery(),
            Kind::TakeReady => self.busy_node(node, |m| m.node().is_some_and(|n| n.has_ready())).map(Action::TakeReady),
            Kind::Write => self.draw_write(node),
            Kind::Apply => {
                let busy = self.busy_node(node, |m| !m.to_apply.is_empty())?;
                Some(Action::Apply(busy, 1 + self.rng.below(4) as usize))
            }
            Kind::Tick => Some(Action::Tick(node)),
            Kind::Propose => {
                let size = if self.rng.chance(100) { 200 } else { 8 };
                Some(Action::Propose(self.likely_leader(node), size))
            }
            Kind::Read => Some(Action::Read(self.likely_leader(node))),
            Kind::Change => self.mix.changes.then(|| self.draw_change(node)),
            Kind::Transfer => Some(Action::Transfer(self.likely_leader(node), self.any_node())),
            Kind::Save => Some(Action::Save(node)),
            Kind::Compact => Some(Action::Compact(node, self.rng.below(4))),
            Kind::Restart => self.busy_node(node, |m| m.node().is_none()).map(Action::Restart),
            Kind::Release => {
                let waiting = self.world.group.held_up.len() as u64;
                (waiting > 0).then(|| Action::Release(self.rng.below(waiting) as usize))
            }
            Kind::Crash => self.mix.crashes.then(|| {
                let victim = if self.rng.chance(500) { self.likely_leader(node) } else { node };
                Action::Crash(victim, self.rng.below(3) as usize, self.rng.chance(500))
            }),
            Kind::Campaign => Some(Action::Campaign(node)),
            Kind::Link => self.mix.cuts.then(|| self.draw_link(node)),
            Kind::Unreachable => Some(Action::Unreachable(self.likely_leader(node), self.any_node())),
            Kind::ForwardRead => Some(Action::ForwardRead(node)),
            Kind::RequestSnapshot => Some(Action::RequestSnapshot(node)),
            Kind::Ping => Some(Action::Ping(self.likely_leader(node))),
            Kind::SetPriority => self.mix.priorities.then(|| Action::SetPriority(node, self.rng.below(4) as i64)),
            Kind::SkipCommitBroadcast => Some(Action::SkipCommitBroadcast(node, self.rng.chance(500))),
        }
    }

    fn any_node(&mut self) -> u64 {
        1 + self.rng.below(self.mix.nodes)
    }

    /// The first node from `start` on, going round, that `has_work`.
    fn busy_node(&self, start: u64, has_work: impl Fn(&Member) -> bool) -> Option<u64> {
        let members = &self.world.group.members;
        let found = |(_, member): &(&u64, &Member)| has_work(member);
        let later = members.range(start..).find(found);
        later.or_else(|| members.range(..start).find(found)).map(|(id, _)| *id)
    }

    /// Mostly a leader, if there is one.
    fn likely_leader(&mut self, otherwise: u64) -> u64 {
        if self.rng.chance(100) {
            return otherwise;
        }
        self.busy_node(otherwise, |m| m.node().is_some() && m.seen.marks.role == Role::Leader).unwrap_or(otherwise)
    }

    /// A slow disk finishes only each fourth time.
    fn draw_write(&mut self, node: u64) -> Option<Action> {
        let busy = self.busy_node(node, |m| !m.writes.is_empty())?;
        let slow = self.mix.slow_disks.contains(&busy) && !self.rng.chance(250);
        (!slow).then(|| Action::Write(busy, 1 + self.rng.below(3) as usize))
    }

    fn draw_delivery(&mut self) -> Option<Action> {
        let waiting = self.world.group.wire.len() as u64;
        if waiting == 0 {
            return None;
        }
        let (rng, mix) = (&mut self.rng, &self.mix);
        let position = if rng.chance(mix.reorder) { rng.below(waiting) as usize } else { 0 };
        Some(match rng.below(1000) {
            roll if roll < mix.drop => Action::Drop(position),
            roll if roll < mix.drop + mix.copy => Action::DeliverCopy(position),
            roll if roll < mix.drop + mix.copy + mix.hold_up => Action::HoldUp(position),
            _ => Action::Deliver(position),
        })
    }

    /// A change that the leader's configuration may allow or not; a joint one that waits for it is mostly left.
    fn draw_change(&mut self, node: u64) -> Action {
        let leader = self.likely_leader(node);
        let conf = &self.world.group.members[&leader].machine.conf;
        let joint = !conf.voters_outgoing.is_empty();
        let mut nodes: Vec<u64> = (1..=self.mix.nodes).collect();
        let mut change = |rng: &mut Rng| {
            let node = nodes.swap_remove(rng.below(nodes.len() as u64) as usize);
            (rng.pick(&[MemberRole::Voter, MemberRole::Voter, MemberRole::Learner, MemberRole::Gone]), node)
        };
        let rng = &mut self.rng;
        let transition = rng.pick(&[Transition::Auto, Transition::Auto, Transition::Implicit, Transition::Explicit]);
        let old_form = rng.chance(500);
        let count = if joint { 0 } else { rng.pick(&[1, 1, 2, 3]) };
        let changes = (0..count).map(|_| change(rng)).collect();
        Action::Change(leader, Reshape { changes, transition, old_form })
    }

    /// Cuts one link, all links of a node in one direction or both, or mends everything.
    fn draw_link(&mut self, node: u64) -> Action {
        let other = self.any_node();
        match self.rng.below(8) {
            0..=2 => Action::Mend,
            3 => Action::Cut(node, other),
            4 => Action::Isolate { node, hears: true, speaks: false },
            5 => Action::Isolate { node, hears: false, speaks: true },
            6 => Action::Isolate { node, hears: false, speaks: false },
            _ => Action::Isolate { node: self.likely_leader(node), hears: false, speaks: false },
        }
    }
}
