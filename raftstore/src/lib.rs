//! Many raft groups on one store.
//!
//! The crate is *step-driven*: every stage below is a plain struct whose `round` method takes what has arrived, works on it and
//! returns. No stage owns a thread, reads a clock or opens a socket; what is outside comes through the traits of [`mod@env`]. Two
//! drivers run the same stages: [`threads`] gives each its own thread, and the simulator of the `test-raftstore` crate runs all
//! stages of all stores on one thread, in an order drawn from a seed.
//!
//! ```text
//!               Router ── mailboxes, one a region ──┐
//! clients ─→ WriteCommand / ReadCommand             │
//! network ─→ RaftMessage                            ▼
//!                                              RaftPoller ──────→ Transport        (the leader's appends leave at once)
//!                                               │      │
//!                                   PersistTask │      │ ApplyTask
//!                                               ▼      ▼
//!                                        LogWriter    ApplyWorker ──→ callbacks of clients
//!                                               │      │
//!                                     Persisted │      │ Applied
//!                                               └──────┴──→ back to the region's mailbox
//! ```
//!
//! | room | what is decided there |
//! |---|---|
//! | [`batch`] | who may touch a peer (the poller that took it out of its mailbox), and how much may wait |
//! | [`peer`] | one replica of one region: proposals, reads, and what to do with a `Ready` |
//! | [`peer_storage`] | the raft log and raft state of one peer, as raft-core sees them |
//! | [`log_writer`] | one batch and one sync for the `Ready`s of all regions of a round |
//! | [`apply`] | committed entries become data, with the apply state in the same batch |
//! | [`worker`] | what takes long, in the background: deleting compacted log entries, making and restoring snapshots |
//! | [`snapshot`] | the files of snapshots, and the order in which a snapshot replaces a region |
//! | [`membership`] | what a change of members makes of a region, and how it travels through the log |
//! | [`epoch`] | which part of a region's epoch each command is checked against |
//! | [`split`] | when a region is cut, and where |
//! | [`store`] | the store itself: identity, first regions, loading of the peers at start |
//!
//! Simplified: regions are split and never merged.

pub mod apply;
pub mod batch;
pub mod command;
pub mod config;
pub mod env;
pub mod epoch;
pub mod error;
pub mod keys;
pub mod log_writer;
pub mod membership;
pub mod message;
pub mod metrics;
pub mod orders;
pub mod peer;
pub mod peer_storage;
pub mod poller;
pub mod region;
pub mod snapshot;
pub mod split;
pub mod store;
pub mod threads;
pub mod worker;

pub use batch::Router;
pub use command::{
    AdminCallback, AdminCommand, ReadCallback, ReadCommand, RegionSnapshot, RequestHeader, WriteCallback, WriteCommand,
};
pub use config::Config;
pub use env::{Engines, RegionCallback, SchedulerLink, SplitIds, SplitIdsCallback, Transport};
pub use error::{Error, Result};
pub use store::{StoreParts, build};
