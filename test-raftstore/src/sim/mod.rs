//! The `sim` driver: several stores of raftstore on one thread, in virtual time, under the faults of a seed.
//!
//! One [`Simulation`] is one seed. Everything that happens is an event: a tick, a poll of one peer, a round of the log writer or
//! the apply worker, the arrival of a message, a client's step, a fault. Events run one at a time in the order of virtual time
//! and seed. After each one the driver hands what was sent to the network, picks up the answers for clients, schedules the stages
//! that have work, and checks the invariants on the peers that have changed.
//!
//! A run has four parts:
//!
//! 1. **faults** of the plan ([`crate::faults`]) while clients share keys;
//! 2. **healing**: all faults end, all stores run; a probe must write and read in every region within [`Options::heal_limit`]
//!    (else: `stuck`, with a report of who waits for whom);
//! 3. the clients finish, and the probe reads every key: what was acknowledged and not overwritten must be there;
//! 4. all replicas must come to hold the same data, no callback may be left unanswered, and the history of all clients must
//!    be linearizable.
//!
//! | file | what it does |
//! |---|---|
//! | `driver.rs`, `event.rs` | the event loop, and what can happen in it |
//! | `stages.rs` | ticks, polls, persisting, applying, delivery, and what follows from each |
//! | `snapshots.rs` | the files of snapshots on their way |
//! | `breakage.rs` | crashes, restarts, faults |
//! | `traffic.rs` | clients' calls on their way to a store and back |
//! | `operator.rs` | mail to the scheduler; somebody who has regions split |
//! | `client.rs` | what a client asks next, and what it makes of an answer |
//! | `finish.rs` | the heal phase, the stuck report, the last checks |
//! | `state_check.rs` | equal logs make equal data, checked after every apply and restart |
//! | `region_check.rs` | rules about ranges, epochs and ids of regions, checked along with it |
//! | `region_history.rs` | what the log makes of each region, worked out a second time |
//! | `read_check.rs`, `proposal_check.rs`, `size_check.rs`, `client_check.rs` | rules about reads, proposals, sizes and clients |
//! | `forgotten_check.rs` | a log and an identity are not forgotten |
//! | `meta_check.rs` | memory, map and record of a region say the same |
//! | `store.rs`, `disk.rs`, `world.rs`, `observe.rs` | one store, its disks, its surroundings, and a look into it |
//! | `records.rs` | what a store's disk says of its regions, decoded |
//! | `campaign.rs` | many seeds |
//! | `lab.rs` | a simulation in the hands of a test |
//! | `crash_points/` | a crash at every change of a disk |
//! | `external.rs`, `shrink.rs` | what comes from outside by name, and a failing run with as little of it as possible |

mod breakage;
pub mod campaign;
pub(crate) mod client;
mod client_check;
pub mod crash_points;
pub mod disk;
mod driver;
mod event;
pub mod external;
mod finish;
mod forgotten_check;
pub mod lab;
pub mod members;
mod meta_check;
mod observe;
mod operator;
mod options;
mod proposal_check;
mod read_check;
mod records;
mod region_check;
mod region_history;
pub mod shrink;
mod size_check;
mod snapshots;
mod stages;
mod state_check;
mod store;
mod traffic;
mod world;

use storage::Engine;

pub use driver::{Report, Simulation};
pub use options::{HarnessLie, Options};
pub use region_check::check_cover;
pub(crate) use state_check::summarize;
pub use store::Lies;
pub use world::SimScheduler;

/// A snapshot of a simulated store's data.
pub type StoreSnapshot = <disk::SimDisk as Engine>::Snapshot;
