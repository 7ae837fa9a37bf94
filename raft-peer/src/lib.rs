//! raft-core beside the `raft` crate, its peer.
//!
//! Both speak the same messages, so they can stand in one group; both are driven in the same way, so they can be fed the same schedule
//! and measured with the same work. raft-core itself never depends on its peer.
//!
//! | module | what is in it |
//! |---|---|
//! | `member`, `ours`, `theirs` | either implementation behind one trait; messages are bytes |
//! | `disk`, `machine` | what a member's node writes, what a crash leaves, and what the entries do |
//! | `node` | a member with its owner: the Ready contract in both forms |
//! | `group`, `chaos`, `calm`, `network`, `plan` | mixed groups in a hostile world that a seed makes |
//! | `rules` | what must hold in it at every step |
//! | `differential` | one schedule for a group of either kind |

#![deny(missing_docs)]

mod calm;
mod chaos;
pub mod dice;
pub mod differential;
pub mod disk;
pub mod group;
pub mod machine;
pub mod member;
mod network;
pub mod node;
pub mod ours;
pub mod plan;
pub mod rules;
pub mod seeds;
pub mod theirs;
pub mod trace;

pub use calm::{Outcome, PATIENCE};
