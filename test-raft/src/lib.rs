//! raft-core put to the test from outside.
//!
//! raft-core's own tests look inside one node. What stands here sees nodes as their owner does, through
//! [`raft_core::RawNode`], and asks what only whole groups can answer.
//!
//! Nothing here is part of what runs in a cluster.

#![deny(missing_docs)]
