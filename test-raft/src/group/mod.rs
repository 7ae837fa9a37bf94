//! A group of nodes with everything around them: disks, state machines, a network. Driven one [`Action`] at a time.
//!
//! There is no time and no thread here. Whoever calls [`World::perform`] decides what happens next: the campaign draws it from a seed,
//! the exhaustive search tries everything. After each action the rules of [`crate::invariants`] look at what changed.
//!
//! | part | what it models |
//! |---|---|
//! | [`Member`] | one node as its owner drives it: Readies on their way to the disk, entries on their way to the state machine |
//! | [`Machine`] | the state machine: what it has applied, and what of that survives a crash |
//! | [`Seen`] | what a node showed after the last action, so that rules can compare |
//! | [`Breakage`] | a promise that the owner breaks on purpose, to see that a rule notices |

mod action;
mod breakage;
mod counts;
mod digest;
mod machine;
mod member;
mod messages;
mod observe;
mod owner;
mod perform;
mod reads;
mod reshape;
mod rng;
mod seen;
mod trace;
mod world;

pub use action::Action;
pub use breakage::Breakage;
pub use counts::Counts;
pub use digest::{Digest, digest_of};
pub use machine::Machine;
pub use member::{Member, Power};
pub use messages::describe;
pub use reshape::{Reshape, Role as MemberRole, Transition};
pub use rng::Rng;
pub use seen::{LogChange, LogMirror, Marks, Position, Seen};
pub use trace::Trace;
pub use world::{FOUNDED_AT, Group, World};
