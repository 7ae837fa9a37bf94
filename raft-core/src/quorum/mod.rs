//! Who must agree: quorums over the voters of a group.
//!
//! Pure functions over sets of ids, without any idea of logs or messages. [`Joint`] is what the rest of the crate uses; outside of a
//! membership change its second half is empty and it behaves like its first [`Majority`].

mod joint;
mod majority;

pub use joint::Joint;
pub use majority::Majority;

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// Votes that are still out can decide it.
    Pending,
    /// A quorum said no, or too few can still say yes.
    Lost,
    /// A quorum said yes.
    Won,
}
