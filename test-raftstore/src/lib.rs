//! The simulated lab: it runs several stores on one thread, in virtual time, under faults drawn from a seed, and checks
//! after every step that nothing has gone wrong.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rng`], [`clock`], [`events`] | one seed, one virtual clock, one ordered queue of events: the sources of determinism |
//! | [`network`], [`faults`] | what goes wrong: loss, delay, duplicates, partitions, crashes, slow disks |
//! | [`history`], [`linearizability`] | what clients asked and were told, and whether one register per key explains it |
//! | [`view`], [`invariants`] | what every peer believes, and the rules that must hold between any two steps |
//! | [`sim`] | the driver: stores of raftstore, clients and faults as events of one run |
//! | [`cluster`] | the cluster of the lab's tests, which runs in the simulator or on threads |
//! | [`trace`], [`verdict`] | what happened and because of what, and the short text that a failing run prints |
//!
//! Nothing here reads the wall clock, spawns a thread or iterates over a randomly ordered map while a seed runs, so the
//! same seed gives the same bytes of trace.

pub mod clock;
pub mod cluster;
pub mod events;
pub mod faults;
pub mod history;
pub mod invariants;
pub mod linearizability;
pub mod network;
pub mod rng;
pub mod sim;
pub mod trace;
pub mod verdict;
pub mod view;
