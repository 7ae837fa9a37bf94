//! The plain majority of a set of voters.

use super::VoteResult;

/// A set of voters, sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Majority {
    voters: Vec<u64>,
}

impl Majority {
    /// The set of these voters.
    pub fn new(voters: impl IntoIterator<Item = u64>) -> Self {
        let mut voters: Vec<u64> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        Majority { voters }
    }

    /// The voters, in ascending order.
    pub fn voters(&self) -> &[u64] {
        &self.voters
    }

    /// True if `id` votes here.
    pub fn contains(&self, id: u64) -> bool {
        self.voters.binary_search(&id).is_ok()
    }

    /// Adds a voter, unless it is one already.
    pub fn insert(&mut self, id: u64) {
        if let Err(position) = self.voters.binary_search(&id) {
            self.voters.insert(position, id);
        }
    }

    /// Removes a voter, if it is one.
    pub fn remove(&mut self, id: u64) {
        if let Ok(position) = self.voters.binary_search(&id) {
            self.voters.remove(position);
        }
    }

    /// How many voters make a majority.
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The highest index that a majority has acknowledged. `acked` gives the index of one voter, `None` counts as 0.
    ///
    /// An empty set agrees to everything (`u64::MAX`), so that the unused half of a [`super::Joint`] does not matter.
    pub fn committed_index(&self, acked: impl Fn(u64) -> Option<u64>) -> u64 {
        if self.voters.is_empty() {
            return u64::MAX;
        }
        // lab:begin 2AB quorum::committed_index  hint="sort what the voters have acknowledged: which position is reached by a majority?"
        const ON_STACK: usize = 7;
        let mut small = [0u64; ON_STACK];
        let mut large = Vec::new();
        let indexes = if self.voters.len() <= ON_STACK {
            &mut small[..self.voters.len()]
        } else {
            large.resize(self.voters.len(), 0);
            &mut large[..]
        };
        for (slot, voter) in indexes.iter_mut().zip(&self.voters) {
            *slot = acked(*voter).unwrap_or(0);
        }
        indexes.sort_unstable();
        indexes[self.voters.len() - self.quorum()]
        // lab:end
    }

    /// How an election stands. `vote` gives the answer of one voter, `None` while it has not answered. An empty set says yes.
    pub fn vote_result(&self, vote: impl Fn(u64) -> Option<bool>) -> VoteResult {
        if self.voters.is_empty() {
            return VoteResult::Won;
        }
        // lab:begin 2AA quorum::vote_result  hint="count yes, no and missing votes; an election can be lost before everybody answered"
        let (mut yes, mut missing) = (0, 0);
        for voter in &self.voters {
            match vote(*voter) {
                Some(true) => yes += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        if yes >= self.quorum() {
            VoteResult::Won
        } else if yes + missing >= self.quorum() {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
        // lab:end
    }
}
