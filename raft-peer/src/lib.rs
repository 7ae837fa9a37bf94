//! raft-core beside the `raft` crate, its peer.
//!
//! Both speak the same messages, so they can stand in one group; both are driven in the same way, so they can be fed the same schedule
//! and measured with the same work. raft-core itself never depends on its peer.

#![deny(missing_docs)]
