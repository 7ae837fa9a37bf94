//! From one configuration to the next: [`Changer`], pure functions without a log, a clock or a node.
//!
//! What an entry of the log asks for is computed here, by every node for itself, from nothing but the configuration in force and the
//! entry. So all of them come to the same result, and to the same refusal.

use proto::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

use super::Configuration;
use crate::{Error, Result};

/// Computes the configuration that follows the one in force.
#[derive(Clone, Copy, Debug)]
pub struct Changer<'a> {
    now: &'a Configuration,
}

impl<'a> Changer<'a> {
    /// Changes start from `now`.
    pub fn new(now: &'a Configuration) -> Self {
        Changer { now }
    }

    /// What `change` asks for: to leave the joint configuration, to enter one, or a change in one step.
    pub fn apply(&self, change: &ConfChangeV2) -> Result<Configuration> {
        match Kind::of(change)? {
            Kind::Leave => self.leave_joint(),
            Kind::Enter { auto_leave } => self.enter_joint(auto_leave, &change.changes),
            Kind::Simple => self.simple(&change.changes),
        }
    }

    /// A change in one step. At most one voter may come or go, so that every majority of the old voters and every majority of the new
    /// ones have a node in common.
    pub fn simple(&self, changes: &[ConfChangeSingle]) -> Result<Configuration> {
        if self.now.is_joint() {
            return refuse("the joint configuration must be left first");
        }
        let next = self.with(changes)?;
        let (old, new) = (&self.now.voters.incoming, &next.voters.incoming);
        let gone = old.voters().iter().filter(|id| !new.contains(**id)).count();
        let come = new.voters().iter().filter(|id| !old.contains(**id)).count();
        if gone + come > 1 {
            return refuse("more than one voter would change in one step");
        }
        Ok(next)
    }

    /// The first half of a change in two steps: from here on decisions need a majority of the old voters and one of the new ones.
    pub fn enter_joint(&self, auto_leave: bool, changes: &[ConfChangeSingle]) -> Result<Configuration> {
        if self.now.is_joint() {
            return refuse("the group is in a joint configuration already");
        }
        if self.now.voters.incoming.voters().is_empty() {
            return refuse("a group without voters cannot become joint");
        }
        let mut joint = self.now.clone();
        joint.voters.outgoing = joint.voters.incoming.clone();
        let next = Changer::new(&joint).with(changes)?;
        Ok(Configuration { auto_leave, ..next })
    }

    /// The second half: the old voters have no say any more.
    pub fn leave_joint(&self) -> Result<Configuration> {
        if !self.now.is_joint() {
            return refuse("there is no joint configuration to leave");
        }
        let mut next = self.now.clone();
        next.learners.append(&mut next.learners_next);
        next.voters.outgoing = Default::default();
        next.auto_leave = false;
        Ok(next)
    }

    /// The configuration after `changes`, one after the other. What is true already is no error, and node 0 is nobody.
    fn with(&self, changes: &[ConfChangeSingle]) -> Result<Configuration> {
        let mut next = self.now.clone();
        for change in changes.iter().filter(|change| change.node_id != 0) {
            match ConfChangeType::try_from(change.change_type) {
                Ok(ConfChangeType::AddNode) => next.make_voter(change.node_id),
                Ok(ConfChangeType::AddLearnerNode) => next.make_learner(change.node_id),
                Ok(ConfChangeType::RemoveNode) => next.remove(change.node_id),
                Err(_) => return refuse("unknown type of change"),
            }
        }
        if next.voters.incoming.voters().is_empty() {
            return refuse("no voter would be left");
        }
        Ok(next)
    }
}

impl Configuration {
    fn make_voter(&mut self, id: u64) {
        self.learners.remove(&id);
        self.learners_next.remove(&id);
        self.voters.incoming.insert(id);
    }

    fn make_learner(&mut self, id: u64) {
        self.remove(id);
        // Who votes in the outgoing half becomes a learner only when that half is given up.
        if self.voters.outgoing.contains(id) {
            self.learners_next.insert(id);
        } else {
            self.learners.insert(id);
        }
    }

    fn remove(&mut self, id: u64) {
        self.voters.incoming.remove(id);
        self.learners.remove(&id);
        self.learners_next.remove(&id);
    }
}

/// How a change takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In one step.
    Simple,
    /// Through a joint configuration that is entered here.
    Enter {
        /// Whether the leader leaves it by itself.
        auto_leave: bool,
    },
    /// The joint configuration is left.
    Leave,
}

impl Kind {
    /// A change without any content leaves; more than one change, or the wish for it, needs a joint configuration.
    pub(super) fn of(change: &ConfChangeV2) -> Result<Self> {
        let Ok(transition) = ConfChangeTransition::try_from(change.transition) else {
            return refuse("unknown type of transition");
        };
        Ok(match (transition, change.changes.len()) {
            (ConfChangeTransition::Auto, 0) => Kind::Leave,
            (ConfChangeTransition::Auto, 1) => Kind::Simple,
            (ConfChangeTransition::Auto | ConfChangeTransition::Implicit, _) => Kind::Enter { auto_leave: true },
            (ConfChangeTransition::Explicit, _) => Kind::Enter { auto_leave: false },
        })
    }
}

fn refuse<T>(reason: &'static str) -> Result<T> {
    Err(Error::ConfChangeInvalid { reason })
}
