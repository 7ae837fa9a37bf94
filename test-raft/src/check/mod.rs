//! The exhaustive check: every order of events of a small group, within [`Bounds`].
//!
//! The campaign draws a few paths out of very many; here all of them are walked, for groups so small that this is possible. A state is the
//! whole group with its disks, its wire and what the rules remember. From each state every possible move is tried: any message under way
//! may arrive next (or never, or twice), any node may stand for election, crash, be given a proposal. States that were seen before are
//! recognised by a 64-bit fingerprint and not walked again. The search goes by breadth, so that the first broken rule comes with a
//! shortest list of moves.
//!
//! Usually a disk is done at once: what a move makes a node do is written before the next move. With [`Bounds::delays`] a disk may take its
//! time, so that other things happen first, and a crash loses what was not written. Applying never waits.

mod moves;
mod search;
#[cfg(test)]
mod tests;

pub use moves::Move;
pub use search::{Counterexample, Summary, check};

use crate::group::Breakage;

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many nodes, all voters.
    pub nodes: u64,
    /// Elections take place up to this term; the group starts in term 1.
    pub max_term: u64,
    /// Proposals.
    pub proposals: u8,
    /// Crashes, each followed by a restart.
    pub crashes: u8,
    /// Messages that arrive twice.
    pub copies: u8,
    /// Rounds of heartbeats on somebody's order.
    pub beats: u8,
    /// Times that a disk takes its time: what a node hands out then is written as a move of its own.
    pub delays: u8,
    /// Changes of membership: the last node is removed, in one step or through a joint configuration.
    pub changes: u8,
    /// Reads, of leaders and through them.
    pub reads: u8,
    /// Messages under way; a state with more is not walked on.
    pub wire: usize,
    /// The search ends after so many states.
    pub states: usize,
    /// A promise that is broken on purpose.
    pub breakage: Option<Breakage>,
}

impl Bounds {
    /// What `cargo test` walks, in some seconds.
    pub fn small() -> Self {
        Bounds {
            nodes: 3,
            max_term: 2,
            proposals: 1,
            crashes: 1,
            copies: 0,
            beats: 0,
            delays: 0,
            changes: 0,
            reads: 0,
            wire: 6,
            states: 20_000,
            breakage: None,
        }
    }

    /// What `check-raft` walks unless it is told otherwise.
    pub fn large() -> Self {
        Bounds { max_term: 3, states: 300_000, ..Bounds::small() }
    }
}
