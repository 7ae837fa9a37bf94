//! The scheduler (placement driver): it hands out ids and timestamps, registers stores, and knows where every region is.
//!
//! - [`state`]: the state machine. No socket, no clock, no thread: time and the first cluster id are parameters, the disk is a
//!   `storage::Engine`. The simulator and the lab's tests drive it directly.
//! - `shell` (feature `shell`): the gRPC service `pdpb.PD` around it, configuration, logging, the process's life.
//!
//! One scheduler serves a cluster. A real one is replicated over Raft; here a stopped scheduler stops splits, new stores and
//! timestamps, while stores go on serving what they have.

#[cfg(feature = "shell")]
pub mod shell;
pub mod state;
