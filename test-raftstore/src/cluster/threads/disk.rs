//! The disks of a store that runs on threads: engines that can be cut off in the middle of everything.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use storage::{Cf, Durability, Engine, Error, MemEngine, Reader, Result, TableWriter, WriteBatch};

use crate::rng::SeededRng;

/// An engine that a lab test can crash and open again.
pub trait LabEngine: Engine {
    /// Opens the engine called `name` in `folder`, or makes it.
    ///
    /// # Errors
    /// Those of the disk.
    fn open(folder: &Path, name: &str) -> Result<Self>;

    /// What is found after a crash by whoever opens it again; `None` if that is found in the folder.
    fn after_crash(&self, rng: &mut SeededRng) -> Option<Self>;
}

impl LabEngine for MemEngine {
    fn open(_folder: &Path, _name: &str) -> Result<Self> {
        Ok(MemEngine::new())
    }

    fn after_crash(&self, rng: &mut SeededRng) -> Option<Self> {
        Some(self.crash(rng.below(self.unsynced() as u64 + 1) as usize))
    }
}

#[cfg(feature = "rocksdb")]
impl LabEngine for storage::RocksEngine {
    fn open(folder: &Path, name: &str) -> Result<Self> {
        let options = if name == "raft" { storage::RocksOptions::raft_log() } else { storage::RocksOptions::kv() };
        storage::RocksEngine::open(folder.join(name), options)
    }

    fn after_crash(&self, _rng: &mut SeededRng) -> Option<Self> {
        None
    }
}

/// An engine whose writes fail from a moment on: that of the crash.
#[derive(Clone)]
pub struct Cut<E> {
    inner: E,
    cut: Arc<AtomicBool>,
}

impl<E: LabEngine> Cut<E> {
    /// An engine that works.
    pub fn new(inner: E) -> Self {
        Self { inner, cut: Arc::default() }
    }

    /// From now on nothing is written.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// The engine behind it.
    pub fn inner(&self) -> &E {
        &self.inner
    }

    fn check(&self) -> Result<()> {
        check(&self.cut)
    }
}

fn check(cut: &AtomicBool) -> Result<()> {
    if cut.load(Ordering::SeqCst) { Err(Error::Stopped) } else { Ok(()) }
}

/// Writes tables until the moment of the crash.
pub struct CutWriter<W> {
    inner: W,
    cut: Arc<AtomicBool>,
}

impl<W: TableWriter> TableWriter for CutWriter<W> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check(&self.cut)?;
        self.inner.put(key, value)
    }

    fn finish(self) -> Result<()> {
        check(&self.cut)?;
        self.inner.finish()
    }
}

impl<E: LabEngine> Reader for Cut<E> {
    type Cursor<'a> = E::Cursor<'a>;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(cf, key)
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<Self::Cursor<'_>> {
        self.inner.cursor(cf, lower, upper)
    }
}

impl<E: LabEngine> Engine for Cut<E> {
    type Snapshot = E::Snapshot;
    type TableWriter = CutWriter<E::TableWriter>;

    fn snapshot(&self) -> Self::Snapshot {
        self.inner.snapshot()
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.check()?;
        self.inner.write(batch, durability)
    }

    fn sync(&self) -> Result<()> {
        self.check()?;
        self.inner.sync()
    }

    fn table_writer(&self, name: &str, cf: Cf) -> Result<Self::TableWriter> {
        self.check()?;
        Ok(CutWriter { inner: self.inner.table_writer(name, cf)?, cut: self.cut.clone() })
    }

    fn check_tables(&self, name: &str, cf: Cf) -> Result<()> {
        self.inner.check_tables(name, cf)
    }

    fn ingest(&self, name: &str, cfs: &[Cf]) -> Result<()> {
        self.check()?;
        self.inner.ingest(name, cfs)
    }

    fn remove_tables(&self, name: &str) -> Result<()> {
        self.check()?;
        self.inner.remove_tables(name)
    }

    fn table_names(&self) -> Result<Vec<String>> {
        self.inner.table_names()
    }

    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64> {
        self.inner.approximate_size(cf, lower, upper)
    }
}
