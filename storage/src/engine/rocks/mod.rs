//! The production engine: RocksDB with one column family for each [`Cf`].
//!
//! The database is shared by all clones and by every snapshot and cursor, and closes when the last of them is dropped. RocksDB does
//! its own locking, so every method may be called from any thread; concurrent synced writes share one fsync.

mod cursor;
mod error;
mod expiry_filter;
mod open;
mod options;
mod prime;
mod snapshot;
mod stats;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, Range, ReadOptions, WriteOptions};

pub use cursor::RocksCursor;
pub use expiry_filter::Expiry;
pub use options::RocksOptions;
pub use snapshot::RocksSnapshot;
pub use stats::MemoryUsage;
pub use tables::RocksTableWriter;

use self::error::from_rocks;
use crate::{Cf, Durability, Engine, Error, Reader, Result, WriteBatch, WriteOp};

/// An end bound behind every key: keys are far shorter than this (8 KiB by default, 9 KiB once encoded).
static BEHIND_ALL_KEYS: [u8; 64 << 10] = [0xFF; 64 << 10];

/// A RocksDB database. Clones are handles to the same database.
#[derive(Clone)]
pub struct RocksEngine {
    inner: Arc<Inner>,
}

struct Inner {
    db: DB,
    path: PathBuf,
    block_cache: rocksdb::Cache,
    options: RocksOptions,
}

impl Inner {
    fn handle(&self, cf: Cf) -> Result<&ColumnFamily> {
        self.db.cf_handle(cf.name()).ok_or_else(|| Error::Engine {
            message: format!("the database at {} was opened without the column family {cf}", self.path.display()),
        })
    }
}

impl RocksEngine {
    /// Opens the database in the folder `path`, creating both if they are missing.
    ///
    /// Errors: [`Error::Busy`] if another process has it open, [`Error::Corrupted`] if its files are damaged, [`Error::DiskFull`],
    /// [`Error::Io`]. A database that cannot be opened is not changed.
    pub fn open(path: impl AsRef<Path>, options: RocksOptions) -> Result<Self> {
        open::open(path.as_ref(), &options).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// Opens the database in the folder `path` to look at it. Nothing is changed there, and writes fail.
    ///
    /// Errors: as [`RocksEngine::open`]; a folder without a database is an error, too. Whoever needs a state that holds still has to
    /// see to it that nobody writes: RocksDB lets a reader in while another process has the database open.
    pub fn open_read_only(path: impl AsRef<Path>, options: RocksOptions) -> Result<Self> {
        open::open_read_only(path.as_ref(), &options).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// The folder of the database.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Writes everything that is only in memory and in the log into table files.
    pub fn flush(&self) -> Result<()> {
        for cf in &self.inner.options.column_families {
            self.inner.db.flush_cf(self.inner.handle(*cf)?).map_err(from_rocks)?;
        }
        Ok(())
    }

    /// Merges the table files of a column family, which also drops expired raw pairs (see [`Expiry`]).
    pub fn compact(&self, cf: Cf) -> Result<()> {
        self.inner.db.compact_range_cf(self.inner.handle(cf)?, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    fn iterate(&self, cf: Cf, options: ReadOptions) -> Result<RocksCursor<'_>> {
        Ok(RocksCursor::new(self.inner.db.raw_iterator_cf_opt(self.inner.handle(cf)?, options)))
    }

    fn rocks_batch(&self, batch: &WriteBatch) -> Result<rocksdb::WriteBatch> {
        let mut rocks = rocksdb::WriteBatch::default();
        for op in batch.ops() {
            let handle = self.inner.handle(op.cf())?;
            match op {
                WriteOp::Put { key, value, .. } => rocks.put_cf(handle, key, value),
                WriteOp::Delete { key, .. } => rocks.delete_cf(handle, key),
                WriteOp::DeleteRange { start, end, .. } if end.is_empty() => {
                    rocks.delete_range_cf(handle, start.as_ref(), &BEHIND_ALL_KEYS);
                }
                WriteOp::DeleteRange { start, end, .. } if start < end => rocks.delete_range_cf(handle, start, end),
                // Equal or reversed bounds hold no key; RocksDB would refuse the batch.
                WriteOp::DeleteRange { .. } => {}
            }
        }
        Ok(rocks)
    }
}

impl Reader for RocksEngine {
    type Cursor<'a> = RocksCursor<'a>;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.inner.db.get_cf(self.inner.handle(cf)?, key).map_err(from_rocks)?;
        Ok(value.map(Bytes::from))
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<RocksCursor<'_>> {
        self.iterate(cf, cursor::read_options(lower, upper))
    }

    fn passing_cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<RocksCursor<'_>> {
        self.iterate(cf, cursor::passing_options(lower, upper))
    }
}

impl Engine for RocksEngine {
    type Snapshot = RocksSnapshot;
    type TableWriter = RocksTableWriter;

    fn snapshot(&self) -> RocksSnapshot {
        RocksSnapshot::take(Arc::clone(&self.inner))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        if batch.is_empty() {
            return match durability {
                Durability::Sync => self.sync(),
                Durability::Buffered => Ok(()),
            };
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Sync);
        self.inner.db.write_opt(self.rocks_batch(&batch)?, &options).map_err(from_rocks)
    }

    fn sync(&self) -> Result<()> {
        self.inner.db.flush_wal(true).map_err(from_rocks)
    }

    fn table_writer(&self, name: &str, cf: Cf) -> Result<RocksTableWriter> {
        RocksTableWriter::new(self, name, cf)
    }

    fn check_tables(&self, name: &str, cf: Cf) -> Result<()> {
        tables::finished(&self.inner, name, cf).map(drop)
    }

    fn ingest(&self, name: &str, cfs: &[Cf]) -> Result<()> {
        tables::ingest(self, name, cfs)
    }

    fn remove_tables(&self, name: &str) -> Result<()> {
        tables::remove_tables(&self.inner, name)
    }

    fn table_names(&self) -> Result<Vec<String>> {
        tables::names(&self.inner)
    }

    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64> {
        let handle = self.inner.handle(cf)?;
        let range = Range::new(lower.unwrap_or_default(), upper.unwrap_or(&BEHIND_ALL_KEYS));
        Ok(self.inner.db.get_approximate_sizes_cf(handle, &[range]).iter().sum())
    }
}
