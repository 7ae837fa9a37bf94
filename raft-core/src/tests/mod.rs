//! Tests of the crate, in files of one subject each.
//!
//! `lab*` hold the graded behaviours, named after their project (`_2aa`, `_2ab`, `_2ac`, `_2c`, `_3a`); the rest is ours. Everything is
//! seeded: a test that passes once passes always.

mod asynchrony;
mod changer;
mod elections;
mod flow;
mod harness;
mod lab2aa;
mod lab2aa_network;
mod lab2ab;
mod lab2ab_network;
mod lab2ac;
mod lab2c;
mod lab3a;
mod lab3a_transfer;
mod malformed;
mod membership;
mod network;
mod read;
mod snapshots;
mod transfer;
mod units;
mod vote_commit;
mod votes;
