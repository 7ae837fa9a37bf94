//! Tests with real processes: a scheduler and stores on free ports, their data on a real disk.
//!
//! | module | what it shows |
//! |---|---|
//! | `official_client` | every operation of the `tikv-client` crate's raw client |
//! | `availability` | the loss of a leader, an orderly stop, a scheduler that is away |
//! | `crash` | rounds of SIGKILL under load: nothing acknowledged is lost, and the stores agree |
//! | `snapshots` | a store that was away too long, or is killed while it catches up |
//! | `members` | leaders are handed over, peers are removed and added under an official client |
//! | `splits` | regions are split under an official client that goes on |
//! | `stopped_folder` | what `tinykv-ctl raft` shows of a store that is stopped |
//! | `bad_input` | wrong requests and garbage on the ports |
//! | `bad_start` | starts that must be refused |
//!
//! One program for all of them, because linking two generations of tonic takes longer than running the tests. Run a
//! part with `cargo test -p server --test processes crash::`.

mod availability;
mod bad_input;
mod bad_start;
mod cluster;
mod crash;
mod members;
mod official_client;
mod snapshots;
mod splits;
mod stopped_folder;
mod workload;
