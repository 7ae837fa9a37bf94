//! An engine in memory that models a disk: what was written but not synced is kept apart, so that a crash can lose it.
//!
//! Tables are persistent maps, so a snapshot is a handful of reference counts and never slows a writer down. All clones share one
//! state behind a lock that is held for single operations only; the order of events is the callers' order, nothing else.

mod cursor;
mod faults;
mod table;
mod tables;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

pub use cursor::MemCursor;
pub use faults::{MemFault, MemFaults};
pub use tables::MemTableWriter;

use self::table::Tables;
use self::tables::FinishedTables;
use crate::{Cf, Durability, Engine, Error, Reader, Result, WriteBatch};

/// Batches that may be un-synced at once before the oldest becomes durable by itself, as an operating system writes old pages back.
const DEFAULT_UNSYNCED_LIMIT: usize = 4096;

/// An in-memory engine with modelled durability. Clones are handles to the same data.
#[derive(Clone)]
pub struct MemEngine {
    state: Arc<Mutex<State>>,
    faults: MemFaults,
}

#[derive(Default)]
struct State {
    /// What readers see.
    visible: Tables,
    /// What a crash cannot take away.
    durable: Tables,
    /// The batches that lead from `durable` to `visible`, oldest first.
    unsynced: VecDeque<WriteBatch>,
    unsynced_limit: usize,
    /// See [`MemEngine::version`].
    version: u64,
    /// Tables that can be ingested. A crash leaves them.
    finished: FinishedTables,
    stopped: bool,
}

impl State {
    fn check_running(&self) -> Result<()> {
        if self.stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Shows a batch to readers.
    fn apply(&mut self, batch: &WriteBatch) {
        self.visible.apply(batch);
        self.version += u64::from(!batch.is_empty());
    }

    fn make_durable(&mut self) {
        self.durable = self.visible.clone();
        self.unsynced.clear();
    }

    fn write_back_old_batches(&mut self) {
        while self.unsynced.len() > self.unsynced_limit {
            let oldest = self.unsynced.pop_front().expect("invariant: more batches than the limit are un-synced");
            self.durable.apply(&oldest);
        }
    }
}

impl Default for MemEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemEngine {
    /// An empty engine that keeps up to 4096 batches un-synced.
    pub fn new() -> Self {
        Self::with_unsynced_limit(DEFAULT_UNSYNCED_LIMIT)
    }

    /// An empty engine that keeps at most `limit` batches un-synced: when there are more, the oldest become durable.
    pub fn with_unsynced_limit(limit: usize) -> Self {
        Self::found(State { unsynced_limit: limit, ..State::default() }, MemFaults::default())
    }

    fn found(state: State, faults: MemFaults) -> Self {
        Self { state: Arc::new(Mutex::new(state)), faults }
    }

    /// The handle that makes writes fail. It belongs to the disk, so engines found after a [`crash`](Self::crash) share it.
    pub fn faults(&self) -> MemFaults {
        self.faults.clone()
    }

    /// How many batches a crash may lose now.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// The engine as it would be found after a crash now in which the oldest `survivors` un-synced batches reached the disk (at most
    /// [`unsynced`](Self::unsynced) of them count). This engine goes on undisturbed.
    pub fn crash_image(&self, survivors: usize) -> MemEngine {
        let state = self.state();
        let mut durable = state.durable.clone();
        for batch in state.unsynced.iter().take(survivors) {
            durable.apply(batch);
        }
        let found = State {
            visible: durable.clone(),
            durable,
            unsynced_limit: state.unsynced_limit,
            version: state.version + 1,
            finished: state.finished.clone(),
            ..State::default()
        };
        Self::found(found, self.faults.clone())
    }

    /// What a crash now would surely leave at a key.
    pub fn durable(&self, cf: Cf, key: &[u8]) -> Option<Bytes> {
        self.state().durable.get(cf).get(key).cloned()
    }

    /// A number that grows with every write, and with every crash. While it stays the same, readers see the same pairs.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Crashes: every write and sync through this handle and its clones fails from now on with [`Error::Stopped`]. Returns the engine
    /// as it is found afterwards; see [`crash_image`](Self::crash_image).
    pub fn crash(&self, survivors: usize) -> MemEngine {
        let image = self.crash_image(survivors);
        self.state().stopped = true;
        image
    }

    /// Whether both engines hold the same pairs in all of `cfs`.
    pub fn same_data(&self, other: &MemEngine, cfs: &[Cf]) -> bool {
        let (ours, theirs) = (self.tables(), other.tables());
        cfs.iter().all(|cf| ours.get(*cf) == theirs.get(*cf))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no thread panics while it holds the engine's lock")
    }

    fn tables(&self) -> Tables {
        self.state().visible.clone()
    }
}

impl Reader for MemEngine {
    type Cursor<'a> = MemCursor;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.state().visible.get(cf).get(key).cloned())
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<MemCursor> {
        Ok(MemCursor::new(self.state().visible.get(cf).clone(), lower, upper))
    }
}

impl Engine for MemEngine {
    type Snapshot = MemSnapshot;
    type TableWriter = MemTableWriter;

    fn snapshot(&self) -> MemSnapshot {
        MemSnapshot { tables: Arc::new(self.tables()) }
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        let mut state = self.state();
        state.check_running()?;
        self.faults.admit(batch.size_bytes())?;
        state.apply(&batch);
        match durability {
            Durability::Sync => state.make_durable(),
            Durability::Buffered if batch.is_empty() => {}
            Durability::Buffered => {
                state.unsynced.push_back(batch);
                state.write_back_old_batches();
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        state.check_running()?;
        self.faults.admit(0)?;
        state.make_durable();
        Ok(())
    }

    fn table_writer(&self, name: &str, cf: Cf) -> Result<MemTableWriter> {
        MemTableWriter::new(self.clone(), name, cf)
    }

    fn check_tables(&self, name: &str, cf: Cf) -> Result<()> {
        self.finished_tables(name, cf).map(drop)
    }

    fn ingest(&self, name: &str, cfs: &[Cf]) -> Result<()> {
        self.add_tables(name, cfs)
    }

    fn remove_tables(&self, name: &str) -> Result<()> {
        self.drop_tables(name)
    }

    fn table_names(&self) -> Result<Vec<String>> {
        Ok(self.state().finished.keys().cloned().collect())
    }

    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64> {
        let tables = self.tables();
        Ok(table::range(tables.get(cf), lower, upper).map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// A point-in-time view of a [`MemEngine`].
#[derive(Clone)]
pub struct MemSnapshot {
    tables: Arc<Tables>,
}

impl Reader for MemSnapshot {
    type Cursor<'a> = MemCursor;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.tables.get(cf).get(key).cloned())
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<MemCursor> {
        Ok(MemCursor::new(self.tables.get(cf).clone(), lower, upper))
    }
}
