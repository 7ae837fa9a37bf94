//! Raft consensus for one group of nodes, and nothing else.
mod config;
mod election;
mod error;
mod invariant;
mod log;
pub mod progress;
pub mod quorum;
mod raft;
mod raw_node;
mod read_index;
pub mod ready;
mod replication;
mod rng;
mod snapshot;
mod status;
mod storage;
#[cfg(test)]
mod tests;
mod util;

pub use config::Config;
pub use error::{Error, Result};
pub use proto::eraftpb;
pub use raft::{Raft, Role, SoftState};
pub use raw_node::RawNode;
pub use ready::{ReadState, Ready};
pub use status::{MemberStatus, Status};
pub use storage::{MemStorage, RaftState, Storage};
pub use util::{entry_size, limit_size};
