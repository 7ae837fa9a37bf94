//! The second phase: everything works again, and the group must too.
//!
//! Time passes in rounds: each node ticks once, and then everything that follows from it happens. Bounds are in rounds, which are ticks.

use raft_core::Role;

use super::Campaign;
use crate::group::{Action, Reshape};
use crate::invariants::Violation;

/// How many election timeouts it may take until a quorum knows a leader. Split votes are bad luck, and of some groups only one node can win;
/// one in ten thousand needs more than twenty.
const LEADER_TIMEOUTS: usize = 100;
/// How many more until a fresh proposal is applied everywhere.
const COMMIT_TIMEOUTS: usize = 8;
/// Exchanges of messages within one round; more means that the group never comes to rest.
const EXCHANGES: usize = 200;

impl Campaign {
    /// Ends all faults, and checks that the group elects, commits and applies.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.end_faults()?;
        let timeout = self.mix.config.election_tick;
        let mut leader = None;
        for _ in 0..LEADER_TIMEOUTS * timeout {
            self.round()?;
            leader = self.known_leader();
            if leader.is_some() {
                break;
            }
        }
        let Some(leader) = leader else { return Err(self.stuck("L-LEADER", "no leader is known to a quorum")) };
        self.serve(leader, COMMIT_TIMEOUTS * timeout)
    }

    fn end_faults(&mut self) -> Result<(), Violation> {
        self.world.perform(&Action::Mend)?;
        for id in 1..=self.mix.nodes {
            self.world.perform(&Action::Restart(id))?;
        }
        while self.world.perform(&Action::Release(0))? {}
        Ok(())
    }

    /// A fresh proposal must be applied by everybody within `rounds`.
    fn serve(&mut self, mut leader: u64, rounds: usize) -> Result<(), Violation> {
        let mut target = self.propose(leader)?;
        for _ in 0..rounds {
            self.retire_strangers(leader)?;
            self.round()?;
            let marks = self.world.group.members[&leader].seen.marks;
            let term_of_target = self.world.group.members[&leader].seen.log.term(target.0);
            if marks.role != Role::Leader || term_of_target.is_some_and(|term| term != target.1) {
                // Deposed by what was still under way; the successor must do.
                let Some(successor) = self.known_leader() else { continue };
                leader = successor;
                target = self.propose(leader)?;
            } else if self.is_joint(leader) {
                // Who is to leave by itself does not mind being told.
                self.world.perform(&Action::Change(leader, Reshape::default()))?;
            } else if self.applied_everywhere(leader, target.0) {
                return self.answer_reads(leader);
            }
        }
        if self.is_joint(leader) {
            return Err(self.stuck("L-CONF", &format!("n{leader} does not leave the joint configuration")));
        }
        if self.world.group.members[&leader].seen.marks.commit < target.0 {
            return Err(self.stuck("L-COMMIT", &format!("n{leader} has not committed {}@{}", target.0, target.1)));
        }
        Err(self.stuck("L-APPLY", &format!("{}@{} is not applied everywhere", target.0, target.1)))
    }

    /// Every running node has said what became of the reads that were asked of it, after one more round of heartbeats.
    fn answer_reads(&mut self, leader: u64) -> Result<(), Violation> {
        self.settle()?;
        self.retire_strangers(leader)?;
        for _ in 0..self.mix.config.heartbeat_tick {
            self.round()?;
        }
        let running = self.world.group.members.values().filter(|member| member.node().is_some());
        for member in running {
            if let Some(number) = self.world.rules.owed_read(member.id, member.life) {
                return Err(self.stuck("L-READ", &format!("n{} says nothing about read {number}", member.id)));
            }
        }
        Ok(())
    }

    /// Nodes outside the group are switched off, as their owner would do: without pre-vote they could go on campaigning for ever. Who belongs
    /// to it runs.
    fn retire_strangers(&mut self, leader: u64) -> Result<(), Violation> {
        let member = &self.world.group.members[&leader];
        let Some(node) = member.node().filter(|_| member.seen.marks.applied == member.seen.marks.last) else {
            return Ok(());
        };
        let tracker = node.raft.tracker();
        let orders: Vec<Action> = (1..=self.mix.nodes)
            .map(|id| if tracker.get(id).is_some() { Action::Restart(id) } else { Action::Crash(id, 0, true) })
            .collect();
        orders.iter().try_for_each(|order| self.world.perform(order).map(drop))
    }

    fn is_joint(&self, leader: u64) -> bool {
        !self.world.group.members[&leader].machine.conf.voters_outgoing.is_empty()
    }

    /// Proposes, and returns index and term.
    fn propose(&mut self, leader: u64) -> Result<(u64, u64), Violation> {
        self.world.perform(&Action::Propose(leader, 8))?;
        let marks = self.world.group.members[&leader].seen.marks;
        Ok((marks.last, marks.term))
    }

    /// Everybody ticks, and what follows happens.
    fn round(&mut self) -> Result<(), Violation> {
        for id in 1..=self.mix.nodes {
            self.world.perform(&Action::Tick(id))?;
        }
        self.settle()
    }

    /// Lets everything happen that is under way.
    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..EXCHANGES {
            let mut busy = false;
            for id in 1..=self.mix.nodes {
                while self.world.perform(&Action::TakeReady(id))? {
                    busy = true;
                }
                self.world.perform(&Action::Write(id, usize::MAX))?;
                self.world.perform(&Action::Apply(id, usize::MAX))?;
                self.world.perform(&Action::Save(id))?;
            }
            for _ in 0..self.world.group.wire.len() {
                busy |= self.world.perform(&Action::Deliver(0))?;
            }
            if !busy {
                return Ok(());
            }
        }
        Err(self.stuck("L-REST", "messages go round and round"))
    }

    /// The leader that a quorum of its configuration follows.
    fn known_leader(&self) -> Option<u64> {
        let members = &self.world.group.members;
        let leader =
            members.values().filter(|m| m.seen.marks.role == Role::Leader).max_by_key(|m| m.seen.marks.term)?;
        let node = leader.node()?;
        let marks = leader.seen.marks;
        let follows = |id: u64| {
            let other = members.get(&id).map(|m| m.seen.marks);
            Some(other.is_some_and(|other| (other.term, other.leader) == (marks.term, leader.id)))
        };
        let known = node.raft.tracker().voters().vote_result(follows) == raft_core::quorum::VoteResult::Won;
        known.then_some(leader.id)
    }

    fn applied_everywhere(&self, leader: u64, index: u64) -> bool {
        let members = &self.world.group.members;
        let Some(node) = members[&leader].node() else { return false };
        node.raft.tracker().iter().all(|(id, _)| members.get(&id).is_some_and(|m| m.machine.applied >= index))
    }
}
