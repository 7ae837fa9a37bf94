//! After the storm: the group must recover.
//!
//! Everything is mended: all nodes run, nothing is lost or cut. Within [`PATIENCE`] ticks the group has to elect a leader, leave a joint
//! configuration, commit a new entry, answer a read, and all its members have to hold and apply the same log. A group that does not is
//! described, node by node.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proto::eraftpb::{ConfChangeV2, ConfState};

use crate::group::Group;
use crate::member::Kind;
use crate::plan::TICK;

/// How many ticks a mended group may take to recover.
pub const PATIENCE: u64 = 400;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over everything that happened.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// The highest committed index.
    pub committed: u64,
    /// The highest term.
    pub term: u64,
    /// How many reads were answered.
    pub reads: u64,
    /// How many answers came to reads through the leader.
    pub forwarded_reads: u64,
    /// How many snapshots were asked for without need.
    pub snapshot_requests: u64,
    /// Ticks from the end of the storm to recovery.
    pub recovered_in: u64,
    /// Which kind led at the end.
    pub last_leader: Option<Kind>,
    /// The members at the end, of our kind and of theirs.
    pub members: (usize, usize),
}

impl Group {
    /// The whole run: the storm, the calm, the verdict.
    ///
    /// # Panics
    /// If a rule is broken, or the group does not recover.
    pub fn run(&mut self) -> Outcome {
        self.run_until(self.plan.duration);
        self.mend();
        let (start, answered) = (self.now, self.rules.answered_reads());
        let mut marker = None;
        self.wait_for("elect, commit and read", |group, tick| {
            // What a leader has accepted may be lost with it, so it is asked again.
            if let Some(leader) = group.leader().filter(|_| tick % 10 == 0) {
                group.leave_joint(leader);
                marker = group.propose(leader).or(marker);
                group.read(leader);
            }
            group.rules.answered_reads() > answered && marker.is_some_and(|marker| group.has_recovered(marker))
        });
        let recovered_in = (self.now - start) / TICK;
        // Nothing is asked any more.
        self.wait_for("come to equal logs", |group, _| group.is_equal());
        self.outcome(recovered_in)
    }

    /// Lets ticks pass until something is so.
    fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Group, u64) -> bool) {
        for tick in 0.. {
            assert!(tick < PATIENCE, "R-LIVE: the group does not {what}\n{}", self.stuck_report());
            if is_so(self, tick) {
                return;
            }
            self.nodes.values_mut().for_each(|node| node.flush());
            self.bury();
            self.run_until(self.now + TICK);
        }
    }

    fn mend(&mut self) {
        self.is_calm = true;
        self.network.calm();
        self.plan.sync_time = self.plan.sync_time.min(2);
        self.plan.apply_time = self.plan.apply_time.min(2);
        let down: Vec<u64> = self.nodes.values().filter(|node| node.running.is_none()).map(|node| node.id).collect();
        down.into_iter().for_each(|id| self.restart(id));
        if !self.plan.wishes {
            return;
        }
        // The `raft` crate compares the lengths of logs only, and then three priorities can refuse each other for ever.
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.act_now(id, |member| member.set_priority(0));
        }
    }

    /// Ends a joint configuration that does not end by itself.
    fn leave_joint(&mut self, leader: u64) {
        let members = self.members_of(leader);
        if !members.voters_outgoing.is_empty() && !members.auto_leave {
            self.act_now(leader, |member| {
                member.propose_change(&ConfChangeV2::default(), false);
            });
        }
    }

    fn members_of(&self, id: u64) -> ConfState {
        let running = self.nodes.get(&id).and_then(|node| node.running.as_ref());
        running.map(|running| running.member.members()).unwrap_or_default()
    }

    /// True if the entry at `marker` is committed, and all members have applied it and agree on who they are.
    fn has_recovered(&self, marker: (u64, u64)) -> bool {
        let Some(leader) = self.leader() else { return false };
        let members = self.members_of(leader);
        let is_there = |id: &u64| {
            self.nodes.get(id).is_some_and(|node| node.machine.applied >= marker.0 && node.machine.members() == members)
        };
        self.rules.committed_term(marker.0) == Some(marker.1)
            && members.voters_outgoing.is_empty()
            && members.voters.iter().chain(&members.learners).all(is_there)
    }

    /// True if all members have the same log, all of it committed and applied.
    fn is_equal(&self) -> bool {
        let members = self.leader().map(|leader| self.members_of(leader)).unwrap_or_default();
        let ends: BTreeSet<(u64, u64, u64, u64)> = members
            .voters
            .iter()
            .chain(&members.learners)
            .filter_map(|id| self.nodes.get(id))
            .filter_map(|node| {
                node.view().map(|view| (view.last, view.commit, node.machine.applied, node.machine.chain))
            })
            .collect();
        ends.len() == 1 && ends.iter().all(|(last, commit, applied, _)| last == commit && last == applied)
    }

    fn outcome(&self, recovered_in: u64) -> Outcome {
        let count = |kind| self.nodes.keys().filter(|id| self.kinds.get(id) == Some(&kind)).count();
        Outcome {
            trace: self.trace.hash(),
            events: self.trace.events(),
            committed: self.rules.highest_commit(),
            term: self.nodes.values().filter_map(|node| node.view()).map(|view| view.term).max().unwrap_or(0),
            reads: self.rules.answered_reads(),
            forwarded_reads: self.rules.answered_forwarded_reads(),
            snapshot_requests: self.chaos.snapshot_requests,
            recovered_in,
            last_leader: self.leader().and_then(|id| self.kinds.get(&id).copied()),
            members: (count(Kind::Ours), count(Kind::Theirs)),
        }
    }

    /// Every node in a line, for who has to find out why a group is stuck.
    pub(crate) fn stuck_report(&self) -> String {
        let mut report = String::new();
        for (id, node) in &self.nodes {
            let kind = self.kinds.get(id);
            let machine = &node.machine;
            match node.view() {
                Some(view) => writeln!(
                    report,
                    "  n{id} {kind:?} {view:?}, machine at {}, {:?}",
                    machine.applied,
                    machine.members()
                ),
                None => writeln!(report, "  n{id} {kind:?} is down, machine at {}", machine.applied),
            }
            .expect("a string takes everything");
        }
        report
    }
}
