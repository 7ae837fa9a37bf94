//! Replaces the data of a region by that of a snapshot.
//!
//! The snapshot's pairs are in tables beside the engine, verified and durable; here the old data goes and the tables are taken in as
//! they are. The region state on disk says Applying from before the first change to after the last one, so a crash anywhere in
//! between leads to the same work being done again from its beginning (see [`crate::snapshot`] for the order of all writes).

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{PeerState, RegionLocalState},
};
use slog::{Logger, error, info, warn};
use storage::{Cf, Cursor, Durability, Engine, WriteBatch};

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
    /// The snapshot. It is here, complete.
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
        let ok = match restore(&self.engines.kv, &self.snapshots, &task, &self.logger) {
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

    /// Looks whether all of a received snapshot is here before raft hears of it, so that a damaged one leads to another.
    pub(super) fn check_snapshot(&self, message: Box<proto::raft_serverpb::RaftMessage>, id: SnapshotId) {
        let ok = self.snapshots.verify(id).map(drop);
        if let Err(error) = &ok {
            error!(self.logger, "a received snapshot is damaged"; "region" => id.region_id, "error" => %error);
            self.snapshots.done(Origin::Received, id);
        }
        let _ = self.router.report(id.region_id, PeerMessage::SnapshotChecked { message, ok: ok.is_ok() });
    }
}

/// Replaces the data. Nothing is changed before the whole snapshot is found to be here.
pub(crate) fn restore<E: Engine>(kv: &E, snapshots: &SnapshotStore, task: &RestoreTask, logger: &Logger) -> Result<()> {
    // lab:begin 2C worker::restore  hint="old data out, new data in, and only then Normal: what does a crash in between leave?"
    let region_id = task.region.id;
    let (tables, cfs) = snapshots.verify(task.id)?;
    let mut removal = WriteBatch::new();
    let new_range = (task.region.start_key.clone(), task.region.end_key.clone());
    for (start, end) in BTreeSet::from_iter(task.old_range.clone().into_iter().chain([new_range])) {
        remove_range(kv, &start, &end, &mut removal)?;
    }
    if !removal.is_empty() {
        kv.write(removal, Durability::Buffered)?;
    }
    match kv.ingest(&tables, &cfs) {
        Err(storage::Error::Corrupted { message }) => return Err(Error::Snapshot(message)),
        other => other?,
    }
    let normal = RegionLocalState {
        state: PeerState::Normal as i32,
        region: Some(task.region.clone()),
        ..RegionLocalState::default()
    };
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raft, keys::region_state(region_id), normal.encode_to_vec());
    batch.delete(Cf::Raft, keys::snapshot_raft_state(region_id));
    kv.write(batch, Durability::Sync)?;
    forget(snapshots, task.id, logger);
    info!(logger, "restored a snapshot"; "region" => region_id, "index" => task.id.index);
    Ok(())
    // lab:end
}

/// The snapshot is part of the engine. What cannot be removed of it now is collected later.
fn forget(snapshots: &SnapshotStore, id: SnapshotId, logger: &Logger) {
    if let Err(error) = snapshots.restored(id) {
        warn!(logger, "a restored snapshot is removed later"; "region" => id.region_id, "error" => %error);
    }
}

/// Removes what there is in a range. A removal of nothing would cost, too: the engine writes it down, and then finds the tables in its way.
fn remove_range<E: Engine>(kv: &E, start: &Bytes, end: &Bytes, removal: &mut WriteBatch) -> Result<()> {
    for cf in Cf::DATA {
        let mut cursor = kv.cursor(cf, Some(start), (!end.is_empty()).then_some(&end[..]))?;
        cursor.seek_to_first();
        if cursor.valid() {
            removal.delete_range(cf, start.clone(), end.clone());
        }
        cursor.status()?;
    }
    Ok(())
}
