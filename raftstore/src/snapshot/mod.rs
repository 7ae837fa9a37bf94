//! Snapshots: how a replica catches up when the log does not reach back far enough.
//!
//! ```text
//! leader                                                            follower
//! raft-core asks ─→ apply stage: engine snapshot, behind all
//!                   that waits to be applied
//!               ─→ worker: one file a column family, meta last
//! MsgSnapshot   ─→ transport: the message and the files        ─→  pairs verified and in tables beside the engine, then the message
//!                                                                  peer: accepts it, reserves the range
//!                                                                  log writer: kv {Applying, copy of the raft state} synced,
//!                                                                              then the raft log is cleared, synced
//!                                                                  worker: old data out, tables in, then kv {Normal, copy removed} synced
//! ```
//!
//! Keeps R-SNAP-ONE: a peer restores one snapshot at a time, and it is over exactly once; S-SNAP-RANGE: a snapshot is accepted
//! only if its region has this peer as a member and overlaps no other region of the store.
//!
//! | file | what it holds |
//! |---|---|
//! | `dir.rs` | what is asked of a folder and its files; `mem.rs` one in memory that can crash |
//! | `store.rs` | the files and tables of a store's snapshots: which there are, which may go |
//! | `write.rs`, `read.rs` | writing a snapshot (into files, or from the network into tables), reading its bytes |
//! | `tables.rs` | the engine's tables, whatever the engine |
//! | `recover.rs` | what a start makes of a snapshot that was being restored |

mod dir;
mod mem;
mod read;
pub(crate) mod recover;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use proto::{
    eraftpb::Snapshot,
    metapb::Region,
    raft_serverpb::{RaftSnapshotData, SnapshotMeta},
};

pub use dir::{DurableFile, SnapshotDir};
pub use mem::MemDir;
pub use read::SnapshotSource;
pub use store::{InUse, SnapshotStore};
pub use write::{SnapshotBuilder, SnapshotSink};

use crate::error::{Error, Result};

/// Which snapshot: the state of a region with everything up to an entry applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The region.
    pub region_id: u64,
    /// Term of the last entry in it.
    pub term: u64,
    /// Index of the last entry in it.
    pub index: u64,
}

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}", self.region_id, self.term, self.index)
    }
}

impl SnapshotId {
    /// The snapshot that a message speaks of.
    pub fn of(region_id: u64, snapshot: &Snapshot) -> Self {
        let metadata = snapshot.metadata.as_ref();
        SnapshotId { region_id, term: metadata.map_or(0, |m| m.term), index: metadata.map_or(0, |m| m.index) }
    }
}

/// Where the files of a snapshot come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Made here, to be sent.
    Generated,
    /// Received, to be restored.
    Received,
}

/// What a snapshot says about itself: its region and its files.
///
/// # Errors
/// [`Error::Snapshot`] if it does not decode or names no region or files.
pub fn decode_data(snapshot: &Snapshot) -> Result<(Region, SnapshotMeta)> {
    let data = <RaftSnapshotData as prost::Message>::decode(snapshot.data.clone())
        .map_err(|e| Error::Snapshot(format!("its data does not decode: {e}")))?;
    let meta = data.meta.ok_or_else(|| Error::Snapshot("it names no files".to_owned()))?;
    let region = data.region.ok_or_else(|| Error::Snapshot("it names no region".to_owned()))?;
    Ok((region, meta))
}
