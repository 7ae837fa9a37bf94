//! Writes the files of a snapshot, from an engine snapshot that the apply stage has taken.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use prost::Message;
use proto::{
    eraftpb::{Snapshot, SnapshotMetadata},
    metapb::Region,
    raft_serverpb::{RaftSnapshotData, SnapshotMeta},
};
use slog::{info, warn};
use storage::{Cf, Cursor, Engine, Reader};

use super::Worker;
use crate::{
    error::{Error, Result},
    membership::conf_state,
    message::PeerMessage,
    snapshot::{Origin, SnapshotId},
};

/// Pairs between two looks whether the snapshot is still wanted.
const PAIRS_BETWEEN_LOOKS: u64 = 256;

/// A snapshot on its way through the stages, and whether anybody still wants it.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    shared: Arc<(AtomicBool, AtomicU64)>,
}

impl Ticket {
    /// Says that nobody wants the snapshot any more.
    pub fn cancel(&self) {
        self.shared.0.store(true, Ordering::Relaxed);
    }

    /// Has somebody said so?
    pub fn is_cancelled(&self) -> bool {
        self.shared.0.load(Ordering::Relaxed)
    }

    /// Notes of which index the snapshot will be.
    pub fn set_index(&self, index: u64) {
        self.shared.1.store(index, Ordering::Relaxed);
    }

    /// Of which index the snapshot will be, once that is known.
    pub fn index(&self) -> Option<u64> {
        Some(self.shared.1.load(Ordering::Relaxed)).filter(|index| *index > 0)
    }

    /// Is this the same snapshot?
    pub fn is(&self, other: &Ticket) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// What a snapshot is to be made of.
#[derive(Clone)]
pub struct GenerateTask<S> {
    /// The data.
    pub snapshot: S,
    /// The region as it is in the data.
    pub region: Region,
    /// Everything up to this entry is in the data.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// Whether the snapshot is still wanted.
    pub ticket: Ticket,
}

impl<E: Engine> Worker<E> {
    /// Makes a snapshot and tells the region. A failure is not fatal: raft asks again.
    pub(super) fn generate(&self, task: GenerateTask<E::Snapshot>) {
        let region_id = task.region.id;
        let id = SnapshotId { region_id, term: task.term, index: task.index };
        let ticket = task.ticket.clone();
        let snapshot = match self.write_snapshot(id, task) {
            Ok(snapshot) => {
                info!(self.logger, "made a snapshot"; "region" => region_id, "index" => id.index);
                self.router.metrics().snapshots_generated.inc();
                Some(Box::new(snapshot))
            }
            Err(error) => {
                self.router.metrics().snapshots_cancelled.inc();
                warn!(self.logger, "made no snapshot"; "region" => region_id, "index" => id.index, "error" => %error);
                None
            }
        };
        // A region that is gone meanwhile no longer cares.
        let _ = self.router.report(region_id, PeerMessage::SnapshotGenerated { ticket, snapshot });
    }

    fn write_snapshot(&self, id: SnapshotId, task: GenerateTask<E::Snapshot>) -> Result<Snapshot> {
        let meta = match self.snapshots.meta(Origin::Generated, id) {
            // Another follower has asked at the same index.
            Ok(meta) => meta,
            Err(_) => self.write_files(id, &task)?,
        };
        let file_size = meta.cf_files.iter().map(|file| file.size).sum();
        let metadata =
            SnapshotMetadata { conf_state: Some(conf_state(&task.region)), index: task.index, term: task.term };
        let data =
            RaftSnapshotData { region: Some(task.region), file_size, meta: Some(meta), ..RaftSnapshotData::default() };
        Ok(Snapshot { data: data.encode_to_vec().into(), metadata: Some(metadata) })
    }

    fn write_files(&self, id: SnapshotId, task: &GenerateTask<E::Snapshot>) -> Result<SnapshotMeta> {
        let _in_use = self.snapshots.hold(Origin::Generated, id);
        // lab:begin 2C worker::write_files  hint="every pair of the region's range, in order, each column family for itself; look now and then whether anybody still wants it"
        let mut builder = self.snapshots.build(id);
        let (start, end) = bounds(&task.region);
        let mut pairs = 0;
        for cf in Cf::DATA {
            let mut cursor = task.snapshot.passing_cursor(cf, Some(start), end)?;
            cursor.seek_to_first();
            while cursor.valid() {
                if pairs % PAIRS_BETWEEN_LOOKS == 0 && task.ticket.is_cancelled() {
                    return Err(Error::Snapshot(format!("{id} is no longer wanted")));
                }
                pairs += 1;
                builder.add(cf, cursor.key(), cursor.value())?;
                cursor.next();
            }
            cursor.status()?;
        }
        builder.finish()
        // lab:end
    }
}

fn bounds(region: &Region) -> (&Bytes, Option<&[u8]>) {
    (&region.start_key, (!region.end_key.is_empty()).then_some(&region.end_key[..]))
}
