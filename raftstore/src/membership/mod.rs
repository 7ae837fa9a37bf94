//! Who belongs to a region, as pure functions: what a change of members makes of the region, and how it travels through the log.
//!
//! A region lists its peers with their roles; raft-core has a configuration of ids. They say the same at every place of the log (invariant
//! R-CONF-KNOWN), because both are computed from the same entry: the region by [`region_after`], the configuration by raft-core.
//!
//! | change | raft | the region's peers |
//! |---|---|---|
//! | one peer is added, promoted, demoted or removed | one entry | `Voter`, `Learner`, or gone |
//! | several at once | enters a joint configuration | those who change their vote are `IncomingVoter` or `DemotingVoter` meanwhile |
//! | none | leaves the joint configuration | `Voter` and `Learner` again |
//!
//! A voter is not removed along with other changes: it is made a learner, and goes afterwards in an entry of its own. So nobody who still
//! has a say is missing in the region.
//!
//! `conf_ver` moves by the number of changes; when a joint configuration is left, by the number of peers that change their role
//! (invariant S-EPOCH-STEP).

mod change;
mod entry;
#[cfg(test)]
mod tests;

pub use change::{conf_state, is_joint, region_after};
pub use entry::{changes_of, decode, encode};
