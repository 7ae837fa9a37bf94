//! Who belongs to the group, and in which role: [`Configuration`].

use std::collections::BTreeSet;
use std::fmt;

use proto::eraftpb::ConfState;

use crate::quorum::{Joint, Majority};

/// The members of a group at one moment. A plain value: it knows nothing of logs and progress.
///
/// Invariant R-CONF: no learner votes in the incoming half, and whoever is about to become a learner still votes in the outgoing one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Those who vote. Outside of a joint configuration the outgoing half is empty.
    pub voters: Joint,
    /// Those who receive the log and do not vote.
    pub learners: BTreeSet<u64>,
    /// Voters of the outgoing half who become learners when the joint configuration is left: nobody is both at a time.
    pub learners_next: BTreeSet<u64>,
    /// Whether the leader leaves the joint configuration by itself as soon as it is in force.
    pub auto_leave: bool,
}

impl Configuration {
    /// The configuration that was stored or sent. Node 0 does not exist, and who votes does not learn: contradictions in `state` are
    /// resolved that way, so that every node reads it alike.
    pub fn from_conf_state(state: &ConfState) -> Self {
        let ids = |ids: &[u64]| ids.iter().copied().filter(|id| *id != 0).collect::<BTreeSet<u64>>();
        let (incoming, outgoing) = (ids(&state.voters), ids(&state.voters_outgoing));
        let learners = ids(&state.learners).into_iter().filter(|id| !incoming.contains(id) && !outgoing.contains(id));
        let learners_next = ids(&state.learners_next).into_iter();
        Configuration {
            learners: learners.collect(),
            learners_next: learners_next.filter(|id| outgoing.contains(id) && !incoming.contains(id)).collect(),
            auto_leave: state.auto_leave && !outgoing.is_empty(),
            voters: Joint { incoming: Majority::new(incoming), outgoing: Majority::new(outgoing) },
        }
    }

    /// The form in which it is stored and sent.
    pub fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.incoming.voters().to_vec(),
            learners: self.learners.iter().copied().collect(),
            voters_outgoing: self.voters.outgoing.voters().to_vec(),
            learners_next: self.learners_next.iter().copied().collect(),
            auto_leave: self.auto_leave,
        }
    }

    /// True between entering and leaving a joint configuration.
    pub fn is_joint(&self) -> bool {
        !self.voters.outgoing.voters().is_empty()
    }

    /// All members: voters of both halves and learners.
    pub fn members(&self) -> BTreeSet<u64> {
        self.voters.ids().chain(self.learners.iter().copied()).collect()
    }

    /// Whether R-CONF holds.
    pub(crate) fn is_consistent(&self) -> bool {
        let voters = &self.voters;
        self.learners.iter().all(|id| !voters.contains(*id))
            && self.learners_next.iter().all(|id| voters.outgoing.contains(*id) && !voters.incoming.contains(*id))
            && (self.is_joint() || !self.auto_leave)
    }
}

impl fmt::Display for Configuration {
    /// `voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave`, without what is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &mut dyn Iterator<Item = u64>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
        write!(f, "voters=({})", list(&mut self.voters.incoming.voters().iter().copied()))?;
        if self.is_joint() {
            write!(f, "&&({})", list(&mut self.voters.outgoing.voters().iter().copied()))?;
        }
        for (name, ids) in [("learners", &self.learners), ("learners_next", &self.learners_next)] {
            if !ids.is_empty() {
                write!(f, " {name}=({})", list(&mut ids.iter().copied()))?;
            }
        }
        f.write_str(if self.auto_leave { " autoleave" } else { "" })
    }
}
