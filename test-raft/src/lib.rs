//! raft-core put to the test from outside.
//!
//! raft-core's own tests look inside one node. What stands here sees nodes as their owner does, through
//! [`raft_core::RawNode`], and asks what only whole groups can answer.
//!
//! - `tests/scenarios/`: one story for each behaviour, to be read and run; `docs/scenarios.md` explains them. After a change that is meant,
//!   `UPDATE_GOLDENFILES=1 cargo test -p test-raft --test scenarios` writes their output anew.
//! - `tests/conformance.rs`: quorums and membership changes against the data files of another implementation, where they are present.
//!
//! | module | what it does |
//! |---|---|
//! | [`group`] | nodes with disks, state machines and a network, driven one action at a time |
//! | [`invariants`] | what must hold after each action |
//! | [`campaign`] | draws actions from a seed, and heals the group at the end: `make sim-raft` |
//! | [`check`] | walks through every order of events of a small group: `make check-raft` |
//! | [`panics`] | makes a panic of the code under test a result |
//!
//! Nothing here is part of what runs in a cluster.

#![deny(missing_docs)]

pub mod campaign;
pub mod check;
pub mod group;
pub mod invariants;
pub mod panics;
