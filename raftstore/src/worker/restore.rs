//! Replaces the data of a region by that of a snapshot.
//!
//! The region state on disk says Applying from before the first change to after the last one, so a crash anywhere in between leads
//! to the same work being done again from its beginning (see [`crate::snapshot`] for the order of all writes).

use bytes::Bytes;
use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{PeerState, RegionLocalState},
};
use slog::{Logger, error, info};
use storage::{Cf, Durability, Engine, WriteBatch};

use super::Worker;
use crate::{
    error::{Error, Result},
    keys,
    message::PeerMessage,
    snapshot::{Origin, SnapshotId, SnapshotStore},
};

/// Which snapshot is to be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreTask {
    /// The snapshot. Its files are here, complete.
    pub id: SnapshotId,
    /// The region as the snapshot says.
    pub region: Region,
    /// The range of the data that this store held of the region before, if any.
    pub old_range: Option<(Bytes, Bytes)>,
}

impl<E: Engine> Worker<E> {
    /// Restores a snapshot and tells the region how it went. Only the engine's errors are fatal.
    pub(super) fn restore(&self, task: RestoreTask) -> Result<()> {
        let id = task.id;
        let ok = match restore(&self.engines.kv, &self.snapshots, &task, self.restore_batch_bytes, &self.logger) {
            Ok(()) => true,
            Err(Error::Engine(error)) => return Err(Error::Engine(error)),
            Err(error) => {
                error!(self.logger, "a snapshot cannot be restored; the replica is out of order until it is replaced";
                    "region" => id.region_id, "index" => id.index, "error" => %error);
                false
            }
        };
        let _ = self.router.report(id.region_id, PeerMessage::SnapshotRestored { id, ok });
        Ok(())
    }

    /// Reads a received snapshot through before raft hears of it, so that damaged files lead to another snapshot.
    pub(super) fn check_snapshot(&self, message: Box<proto::raft_serverpb::RaftMessage>, id: SnapshotId) {
        let ok = self.snapshots.verify(id);
        if let Err(error) = &ok {
            error!(self.logger, "a received snapshot is damaged"; "region" => id.region_id, "error" => %error);
            self.snapshots.done(Origin::Received, id);
        }
        let _ = self.router.report(id.region_id, PeerMessage::SnapshotChecked { message, ok: ok.is_ok() });
    }
}

/// Replaces the data, in batches of about `batch_bytes`. The last one, synced, says that the region is whole again.
pub(crate) fn restore<E: Engine>(
    kv: &E,
    snapshots: &SnapshotStore,
    task: &RestoreTask,
    batch_bytes: usize,
    logger: &Logger,
) -> Result<()> {
    // lab:begin 2C worker::restore  hint="old data out, new data in, and only then Normal: what does a crash in between leave?"
    let region_id = task.region.id;
    let files = snapshots.pairs(task.id)?;
    let mut batch = WriteBatch::new();
    for cf in Cf::DATA {
        if let Some((start, end)) = &task.old_range {
            batch.delete_range(cf, start.clone(), end.clone());
        }
        batch.delete_range(cf, task.region.start_key.clone(), task.region.end_key.clone());
    }
    let mut pairs = 0_u64;
    for (cf, mut file) in files {
        while let Some((key, value)) = file.next_pair()? {
            if !crate::region::contains_key(&task.region, &key) {
                return Err(Error::Snapshot(format!("{} holds a key outside of its region", task.id)));
            }
            batch.put(cf, key, value);
            pairs += 1;
            if batch.size_bytes() >= batch_bytes {
                kv.write(std::mem::take(&mut batch), Durability::Buffered)?;
            }
        }
    }
    let normal = RegionLocalState {
        state: PeerState::Normal as i32,
        region: Some(task.region.clone()),
        ..RegionLocalState::default()
    };
    batch.put(Cf::Raft, keys::region_state(region_id), normal.encode_to_vec());
    batch.delete(Cf::Raft, keys::snapshot_raft_state(region_id));
    kv.write(batch, Durability::Sync)?;
    snapshots.done(Origin::Received, task.id);
    info!(logger, "restored a snapshot"; "region" => region_id, "index" => task.id.index, "pairs" => pairs);
    Ok(())
    // lab:end
}
