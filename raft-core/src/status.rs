//! A picture of the node for people: status pages, logs, tests.

use std::collections::BTreeMap;
use std::fmt;

use crate::Storage;
use crate::membership::Configuration;
use crate::progress::Progress;
use crate::raft::{Raft, Role};

/// What a leader knows about one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Highest index known to be on that member's disk.
    pub matched: u64,
    /// Next index to send.
    pub next: u64,
    /// Flow state: `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// True when nothing more may be sent until the member answers.
    pub paused: bool,
    /// Append messages on their way.
    pub inflight: usize,
    /// True when the member spoke since the last check.
    pub recent_active: bool,
}

/// A picture of one node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: u64,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in this term, 0 if nobody.
    pub vote: u64,
    /// The leader it knows, 0 if none.
    pub leader_id: u64,
    /// First index of its log.
    pub first_index: u64,
    /// Highest applied index.
    pub applied: u64,
    /// Highest committed index.
    pub committed: u64,
    /// Highest index on its own disk.
    pub persisted: u64,
    /// Last index of its log.
    pub last_index: u64,
    /// Who belongs to the group.
    pub configuration: Configuration,
    /// Index of a change of membership that may be in the leader's log and is not applied.
    pub pending_conf_index: Option<u64>,
    /// Whom this leader is handing over to.
    pub transfer_target: Option<u64>,
    /// The snapshot that was asked for has this index or a later one.
    pub requested_snapshot: Option<u64>,
    /// The members as the leader sees them; empty on other nodes.
    pub members: BTreeMap<u64, MemberStatus>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "n{}@{} {:?} leader=n{} vote=n{} log=[{}, {}] applied={} committed={} persisted={}",
            self.id,
            self.term,
            self.role,
            self.leader_id,
            self.vote,
            self.first_index,
            self.last_index,
            self.applied,
            self.committed,
            self.persisted
        )?;
        write!(f, " {}", self.configuration)?;
        let extras = [
            (" pending_conf=", self.pending_conf_index),
            (" transfer_to=n", self.transfer_target),
            (" wants_snapshot>=", self.requested_snapshot),
        ];
        for (name, value) in extras.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            write!(f, "{name}{value}")?;
        }
        for (id, member) in &self.members {
            write!(f, "\n  n{id} {} match={} next={}", member.state, member.matched, member.next)?;
            if member.inflight > 0 {
                write!(f, " inflight={}", member.inflight)?;
            }
            if member.paused {
                f.write_str(" paused")?;
            }
            if self.configuration.learners.contains(id) {
                f.write_str(" learner")?;
            }
        }
        Ok(())
    }
}

impl<S: Storage> Raft<S> {
    /// A picture for people.
    pub fn status(&self) -> Status {
        let member = |progress: &Progress| MemberStatus {
            matched: progress.matched,
            next: progress.next,
            state: progress.state_name(),
            paused: progress.is_paused(),
            inflight: progress.inflights.len(),
            recent_active: progress.recent_active,
        };
        let leads = self.is_leader();
        Status {
            id: self.id,
            role: self.role,
            term: self.term,
            vote: self.vote,
            leader_id: self.leader_id,
            first_index: self.first_index(),
            applied: self.applied(),
            committed: self.committed(),
            persisted: self.persisted(),
            last_index: self.last_index(),
            configuration: self.tracker.configuration().clone(),
            pending_conf_index: Some(self.pending_conf_index).filter(|index| leads && *index > self.applied()),
            transfer_target: self.transfer_target(),
            requested_snapshot: Some(self.requested_snapshot).filter(|index| *index > 0),
            members: self.tracker.iter().filter(|_| leads).map(|(id, p)| (id, member(p))).collect(),
        }
    }
}
