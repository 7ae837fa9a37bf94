//! When a region is split, and where: pure rules, free of peers and engines but for reading.
//!
//! | file | what it decides |
//! |---|---|
//! | `bound.rs` | which byte strings may be the bound of a region, and which one is nearest to a key |
//! | `checker.rs` | where a region that has grown too large is cut, by a walk over its data |
//! | `parts.rs` | what becomes of a region that is cut: ranges, epochs, ids |
//! | `size.rs` | how large a region is, between two such walks, and when the next one is due |

mod bound;
mod checker;
mod parts;
mod size;

#[cfg(test)]
mod tests;

pub use bound::{bound_between, bound_for_raw, bound_for_transactional, check_split_keys};
pub use checker::{Checked, CutPolicy, SplitLimits, check_region};
pub use parts::parts_of;
pub use size::{Growth, RegionSize};
