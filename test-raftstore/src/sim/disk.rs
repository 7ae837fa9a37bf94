//! The disks of a simulated store, and the lies that they can be told to tell.
//!
//! A [`SimDisk`] is a [`MemEngine`], which models what a crash loses. A [`DiskLie`] breaks one promise of it on purpose: the
//! simulator has to find out, or its checks are worth nothing (the crate's tests prove that it does).

use bytes::Bytes;
use prost::Message;
use proto::raft_serverpb::RaftLocalState;
use storage::{Cf, Durability, Engine, Error, MemEngine, Reader, Result, TableWriter, WriteBatch, WriteOp};

use super::crash_points::{Description, Disk, INGESTED, Unsynced, Watch, of_batch, of_sync, of_tables};
use crate::rng::SeededRng;

/// A promise that a disk breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLie {
    /// `Sync` returns before anything is durable.
    SyncWithoutSyncing,
    /// A sync that writes nothing itself returns before what was written earlier is durable.
    BarrierWithoutSyncing,
    /// After a crash the raft state's vote is gone.
    ForgetVote,
    /// Apply states are never written: after a crash entries are applied again.
    ForgetApplyState,
}

/// One engine of a simulated store.
#[derive(Clone)]
pub struct SimDisk {
    engine: MemEngine,
    lie: Option<DiskLie>,
    /// Who numbers the changes of this disk.
    watch: Option<(Watch, Disk)>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(lie: Option<DiskLie>) -> Self {
        Self { engine: MemEngine::new(), lie, watch: None }
    }

    /// The same disk, watched.
    pub(super) fn watched(self, watch: Watch, disk: Disk) -> Self {
        Self { watch: Some((watch, disk)), ..self }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &MemEngine {
        &self.engine
    }

    /// The power fails: handles to this disk fail from now on. Of the un-synced batches a prefix of random length survives.
    pub fn crash(&self, rng: &mut SeededRng) -> Self {
        let survivors = rng.below(self.engine.unsynced() as u64 + 1) as usize;
        self.crash_to(survivors)
    }

    /// The power fails. Of the un-synced batches the first `survivors` survive.
    pub(super) fn crash_to(&self, survivors: usize) -> Self {
        let found = Self { engine: self.engine.crash(survivors), lie: self.lie, watch: self.watch.clone() };
        if self.lie == Some(DiskLie::ForgetVote) {
            found.forget_votes();
        }
        found
    }

    /// What a crash now would surely leave of a record.
    pub fn durable(&self, cf: Cf, key: &[u8]) -> Option<Bytes> {
        self.engine.durable(cf, key)
    }

    /// Changes the disk, with the knowledge of who watches it.
    fn change(&self, watch: &Watch, disk: Disk, what: Description, change: impl FnOnce() -> Result<()>) -> Result<()> {
        let unsynced = |unsynced: &mut Unsynced| {
            let lost = self.engine.unsynced() > 0;
            match disk {
                Disk::Raft => unsynced.raft = lost,
                Disk::Kv | Disk::Files => unsynced.kv = lost,
            }
        };
        watch.around(disk, || what, unsynced, change, || Error::Stopped)
    }

    /// Changes tables beside the engine, or takes them in.
    fn change_tables(&self, what: &str, name: &str, change: impl FnOnce() -> Result<()>) -> Result<()> {
        match &self.watch {
            Some((watch, disk)) => self.change(watch, *disk, of_tables(what, name), change),
            None => change(),
        }
    }

    fn write_or_lie(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        match self.lie {
            Some(DiskLie::SyncWithoutSyncing) => self.engine.write(batch, Durability::Buffered),
            Some(DiskLie::ForgetApplyState) if durability == Durability::Buffered => {
                let mut kept = WriteBatch::new();
                batch.into_ops().into_iter().filter(|op| !is_apply_state(op)).for_each(|op| kept.push(op));
                self.engine.write(kept, durability)
            }
            _ => self.engine.write(batch, durability),
        }
    }

    fn sync_or_lie(&self) -> Result<()> {
        match self.lie {
            Some(DiskLie::SyncWithoutSyncing | DiskLie::BarrierWithoutSyncing) => Ok(()),
            _ => self.engine.sync(),
        }
    }

    fn forget_votes(&self) {
        let Ok(cursor) = self.engine.cursor(Cf::Default, None, None) else { return };
        let mut batch = WriteBatch::new();
        for (key, value) in pairs(cursor) {
            let Ok(mut state) = RaftLocalState::decode(value) else { continue };
            // Raft states are the records of nine bytes (see raftstore::keys).
            if let (9, Some(hard_state)) = (key.len(), state.hard_state.as_mut()) {
                hard_state.vote = 0;
                batch.put(Cf::Default, key, state.encode_to_vec());
            }
        }
        // A disk that fails here keeps its votes, which is no lie.
        let _ = self.engine.write(batch, Durability::Sync);
    }
}

/// All pairs under a cursor.
pub fn pairs(mut cursor: impl storage::Cursor) -> Vec<(Bytes, Bytes)> {
    let mut pairs = Vec::new();
    cursor.seek_to_first();
    while cursor.valid() {
        pairs.push((Bytes::copy_from_slice(cursor.key()), Bytes::copy_from_slice(cursor.value())));
        cursor.next();
    }
    pairs
}

impl Reader for SimDisk {
    type Cursor<'a> = <MemEngine as Reader>::Cursor<'a>;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get(cf, key)
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<Self::Cursor<'_>> {
        self.engine.cursor(cf, lower, upper)
    }
}

impl Engine for SimDisk {
    type Snapshot = <MemEngine as Engine>::Snapshot;
    type TableWriter = SimTableWriter;

    fn snapshot(&self) -> Self::Snapshot {
        self.engine.snapshot()
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        let Some((watch, disk)) = &self.watch else { return self.write_or_lie(batch, durability) };
        if batch.is_empty() && durability == Durability::Buffered {
            return self.write_or_lie(batch, durability); // changes nothing
        }
        let what = of_batch(*disk, &batch, durability);
        let durability = if watch.is_loose(&what) { Durability::Buffered } else { durability };
        self.change(watch, *disk, what, || self.write_or_lie(batch, durability))
    }

    fn sync(&self) -> Result<()> {
        let Some((watch, disk)) = &self.watch else { return self.sync_or_lie() };
        let what = of_sync(*disk);
        let loose = watch.is_loose(&what);
        self.change(watch, *disk, what, || if loose { Ok(()) } else { self.sync_or_lie() })
    }

    fn table_writer(&self, name: &str, cf: Cf) -> Result<Self::TableWriter> {
        let mut inner = None;
        self.change_tables("begun", name, || {
            inner = Some(self.engine.table_writer(name, cf)?);
            Ok(())
        })?;
        Ok(SimTableWriter { inner: inner.ok_or(Error::Stopped)?, disk: self.clone(), name: name.to_owned() })
    }

    fn check_tables(&self, name: &str, cf: Cf) -> Result<()> {
        self.engine.check_tables(name, cf)
    }

    fn ingest(&self, name: &str, cfs: &[Cf]) -> Result<()> {
        cfs.iter().try_for_each(|cf| self.engine.check_tables(name, *cf))?;
        // A crash may come between two column families.
        cfs.iter().try_for_each(|cf| {
            self.change_tables(INGESTED, name, || match self.lie {
                Some(DiskLie::SyncWithoutSyncing) => {
                    self.engine.write(self.engine.ingestion(name, &[*cf])?, Durability::Buffered)
                }
                _ => self.engine.ingest(name, &[*cf]),
            })
        })
    }

    fn remove_tables(&self, name: &str) -> Result<()> {
        self.change_tables("removed", name, || self.engine.remove_tables(name))
    }

    fn table_names(&self) -> Result<Vec<String>> {
        self.engine.table_names()
    }

    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64> {
        self.engine.approximate_size(cf, lower, upper)
    }
}

/// Writes tables beside a simulated disk.
pub struct SimTableWriter {
    inner: <MemEngine as Engine>::TableWriter,
    disk: SimDisk,
    name: String,
}

impl TableWriter for SimTableWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.inner.put(key, value)
    }

    fn finish(self) -> Result<()> {
        let Self { inner, disk, name } = self;
        disk.change_tables("finished", &name, || inner.finish())
    }
}

fn is_apply_state(op: &WriteOp) -> bool {
    matches!(op, WriteOp::Put { cf: Cf::Raft, key, .. } if key.first() == Some(&0x03))
}
