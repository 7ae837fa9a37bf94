//! What a start makes of a snapshot that was being restored when the store stopped.
//!
//! The kv engine says Applying and holds a copy of the raft state. If the raft engine was not written any more, the copy is the
//! newer one: the log is cleared and the raft state put in its place, as the log writer would have done. Then the data is replaced,
//! from the beginning. All of it can be repeated, and happens before the peer is loaded, so nobody sees a region in between.

use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{RaftApplyState, RaftLocalState, RegionLocalState},
};
use slog::{Logger, warn};
use storage::{Cf, Durability, Engine, WriteBatch};

use super::{SnapshotId, SnapshotStore};
use crate::{
    env::Engines,
    error::{Error, Result},
    keys,
    peer_storage::read,
    worker::{RestoreTask, restore},
};

/// Brings a region in state Applying to its end.
///
/// # Errors
/// [`Error::Snapshot`] and [`Error::SnapshotIo`] if the snapshot is not whole: the region stays as it is. Others are fatal.
pub(crate) fn recover<E: Engine>(
    engines: &Engines<E>,
    snapshots: &SnapshotStore,
    state: &RegionLocalState,
    logger: &Logger,
) -> Result<()> {
    let region = state.region.clone().ok_or_else(|| Error::Corrupted("a region state holds no region".to_owned()))?;
    let missing = |what: &str| Error::Corrupted(format!("region {} restores a snapshot and has no {what}", region.id));
    let copy: RaftLocalState = read(&engines.kv, Cf::Raft, &keys::snapshot_raft_state(region.id))?
        .ok_or_else(|| missing("copy of its raft state"))?;
    let apply: RaftApplyState =
        read(&engines.kv, Cf::Raft, &keys::apply_state(region.id))?.ok_or_else(|| missing("apply state"))?;
    let truncated = apply.truncated_state.unwrap_or_default();
    let raft: Option<RaftLocalState> = read(&engines.raft, Cf::Default, &keys::raft_state(region.id))?;
    let commit = |state: &RaftLocalState| state.hard_state.map_or(0, |hard_state| hard_state.commit);
    if raft.as_ref().is_none_or(|raft| commit(raft) < commit(&copy)) {
        warn!(logger, "the raft log was not cleared yet for a snapshot"; "region" => region.id, "index" => truncated.index);
        let mut batch = WriteBatch::new();
        clear_log(&mut batch, region.id);
        batch.put(Cf::Default, keys::raft_state(region.id), copy.encode_to_vec());
        engines.raft.write(batch, Durability::Sync)?;
    }
    let id = SnapshotId { region_id: region.id, term: truncated.term, index: truncated.index };
    let task = RestoreTask { id, old_range: None, region };
    restore(&engines.kv, snapshots, &task, logger)
}

/// Removes all entries of a region's log.
pub(crate) fn clear_log(batch: &mut WriteBatch, region_id: u64) {
    batch.delete_range(Cf::Default, keys::raft_log(region_id, 0), keys::raft_log(region_id, u64::MAX));
}

/// The bounds of a region.
pub(crate) fn range(region: &Region) -> (bytes::Bytes, bytes::Bytes) {
    (region.start_key.clone(), region.end_key.clone())
}
