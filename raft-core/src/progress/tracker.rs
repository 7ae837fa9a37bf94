//! The members of the group with what is known about each of them.

use std::collections::BTreeMap;

use proto::eraftpb::ConfState;

use super::{Inflights, Progress};
use crate::Config;
use crate::membership::Configuration;
use crate::quorum::{Joint, VoteResult};

/// The configuration in force, one [`Progress`] for each member, and the votes of the current election.
#[derive(Clone, Debug, Hash)]
pub struct Tracker {
    configuration: Configuration,
    /// Sorted by id. A group has a handful of members, and every message looks one up: walking through a vector is faster than a tree
    /// here, and than halving it.
    members: Vec<(u64, Progress)>,
    votes: BTreeMap<u64, bool>,
    empty_window: Inflights,
}

impl Tracker {
    /// The members of `state`; their logs will be probed at `next`.
    pub fn new(config: &Config, state: &ConfState, next: u64) -> Self {
        let mut tracker = Tracker {
            configuration: Configuration::default(),
            members: Vec::new(),
            votes: BTreeMap::new(),
            empty_window: Inflights::new(config.max_inflight_msgs, config.max_inflight_bytes),
        };
        tracker.restore(state, next);
        tracker
    }

    /// Replaces the members by those of `state`, forgetting what was known about any of them.
    pub fn restore(&mut self, state: &ConfState, next: u64) {
        self.configuration = Configuration::from_conf_state(state);
        let ids = self.configuration.members().into_iter();
        self.members = ids.map(|id| (id, self.new_progress(next))).collect();
        self.votes.clear();
    }

    /// The configuration in force.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Puts another configuration into force. The progress of those who come and go is the caller's business.
    pub fn set_configuration(&mut self, configuration: Configuration) {
        self.configuration = configuration;
    }

    /// The configuration in the form in which it is stored and sent.
    pub fn conf_state(&self) -> ConfState {
        self.configuration.conf_state()
    }

    /// What is known about a member of whom nothing is known; it will be probed at `next`.
    pub fn new_progress(&self, next: u64) -> Progress {
        Progress::new(next, self.empty_window.clone())
    }

    /// Begins to track a member, or to track it anew.
    pub fn insert(&mut self, id: u64, progress: Progress) {
        match self.members.binary_search_by_key(&id, |(member, _)| *member) {
            Ok(at) => self.members[at].1 = progress,
            Err(at) => self.members.insert(at, (id, progress)),
        }
    }

    /// Tracks a member no longer.
    pub fn remove(&mut self, id: u64) {
        self.members.retain(|(member, _)| *member != id);
        self.votes.remove(&id);
    }

    /// Forgets what is known about every member, and the votes.
    pub fn reset(&mut self, next: u64) {
        for (_, progress) in &mut self.members {
            *progress = Progress::new(next, self.empty_window.clone());
        }
        self.votes.clear();
    }

    /// The voters.
    pub fn voters(&self) -> &Joint {
        &self.configuration.voters
    }

    /// One member.
    #[inline]
    pub fn get(&self, id: u64) -> Option<&Progress> {
        self.members.iter().find(|(member, _)| *member == id).map(|(_, progress)| progress)
    }

    /// One member.
    #[inline]
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Progress> {
        self.members.iter_mut().find(|(member, _)| *member == id).map(|(_, progress)| progress)
    }

    /// All members, voters and learners, in ascending order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Progress)> {
        self.members.iter().map(|(id, progress)| (*id, progress))
    }

    /// The smallest member id greater than `id`. Walking the members this way leaves them free to be changed in between.
    pub fn next_after(&self, id: u64) -> Option<u64> {
        self.members.iter().map(|(member, _)| *member).find(|member| *member > id)
    }

    /// The highest index that is on the disks of a quorum.
    pub fn committed_index(&self) -> u64 {
        self.configuration.voters.committed_index(|id| self.get(id).map(|p| p.matched))
    }

    /// The latest round of read confirmation that a quorum has answered.
    pub fn confirmed_read_round(&self) -> u64 {
        self.configuration.voters.committed_index(|id| self.get(id).map(|p| p.read_round))
    }

    /// True if a quorum, `own` included, has spoken since the last call.
    pub fn take_quorum_active(&mut self, own: u64) -> bool {
        let active = |id| Some(id == own || self.get(id).is_some_and(|p| p.recent_active));
        let result = self.configuration.voters.vote_result(active);
        for (id, progress) in &mut self.members {
            progress.recent_active = *id == own;
        }
        result == VoteResult::Won
    }

    /// Notes a vote, unless that node voted before, and tells how the election stands.
    pub fn record_vote(&mut self, id: u64, granted: bool) -> VoteResult {
        self.votes.entry(id).or_insert(granted);
        self.vote_result()
    }

    /// How the election stands.
    pub fn vote_result(&self) -> VoteResult {
        self.configuration.voters.vote_result(|id| self.votes.get(&id).copied())
    }
}
