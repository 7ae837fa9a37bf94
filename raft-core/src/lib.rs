//! Raft
mod config;
mod error;
mod raft;
mod raw_node;
mod ready;
mod status;
mod storage;
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
