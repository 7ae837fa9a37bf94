//! Two majorities that must both agree (Raft paper, section 6).

use super::{Majority, VoteResult};

/// The voters before and after a membership change. `outgoing` is empty outside of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Joint {
    /// The voters of the new configuration, or the only ones.
    pub incoming: Majority,
    /// The voters of the configuration that is being left.
    pub outgoing: Majority,
}

impl Joint {
    /// True if `id` votes in either half.
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }

    /// All voters, each once, in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        let (mut left, mut right) = (self.incoming.voters(), self.outgoing.voters());
        std::iter::from_fn(move || {
            let next = match (left.first(), right.first()) {
                (Some(a), Some(b)) => *a.min(b),
                (Some(a), None) => *a,
                (None, Some(b)) => *b,
                (None, None) => return None,
            };
            left = left.strip_prefix(&[next]).unwrap_or(left);
            right = right.strip_prefix(&[next]).unwrap_or(right);
            Some(next)
        })
    }

    /// True if `id` alone is a quorum.
    pub fn is_singleton(&self, id: u64) -> bool {
        self.outgoing.voters().is_empty() && self.incoming.voters() == [id]
    }

    /// The highest index acknowledged by a majority of both halves; see [`Majority::committed_index`].
    pub fn committed_index(&self, acked: impl Fn(u64) -> Option<u64>) -> u64 {
        self.incoming.committed_index(&acked).min(self.outgoing.committed_index(&acked))
    }

    /// Won if both halves are won, lost if either is lost.
    pub fn vote_result(&self, vote: impl Fn(u64) -> Option<bool>) -> VoteResult {
        match (self.incoming.vote_result(&vote), self.outgoing.vote_result(&vote)) {
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            _ => VoteResult::Pending,
        }
    }
}
