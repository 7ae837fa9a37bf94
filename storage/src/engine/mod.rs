//! The engine interface: ordered column families, atomic batches over all of them, owned snapshots, and a stated durability for
//! every write.
//!
//! Two implementations keep it honest: `RocksEngine` for production and [`mem::MemEngine`] for the simulator. Both pass the same
//! conformance tests, so code that is generic over [`Engine`] behaves the same on either.

pub mod batch;
pub mod mem;
#[cfg(feature = "rocksdb")]
pub mod rocks;
pub mod tables;

use bytes::Bytes;

use crate::{Cf, Result, TableWriter, WriteBatch};

/// What a returned [`Engine::write`] promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The batch, and every batch written before it, survives a crash of the machine.
    Sync,
    /// The batch is visible to readers. A crash may lose it, but only together with every batch written after it: what survives is
    /// always a prefix of the writes.
    Buffered,
}

/// A consistent view of the data: an engine as it is now, or a snapshot of it.
pub trait Reader {
    /// The cursor type; it borrows the reader.
    type Cursor<'a>: Cursor
    where
        Self: 'a;

    /// The value of `key`, or `None`: absence is not an error.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>>;

    /// A cursor over the keys in `[lower, upper)`; `None` means unbounded. It sees one point in time even if the reader is an engine
    /// that is being written. A new cursor is not valid until one of the `seek` functions placed it. A reversed range is empty.
    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<Self::Cursor<'_>>;

    /// The same for one pass over a lot of pairs that nobody will read again soon: what the engine has cached stays cached.
    fn passing_cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<Self::Cursor<'_>> {
        self.cursor(cf, lower, upper)
    }
}

/// A position in the ordered pairs of one column family.
///
/// Moves never fail by themselves: a cursor that ran off either end, or into an error, is not [`valid`](Cursor::valid). Callers that
/// loop until it is invalid must ask [`status`](Cursor::status) afterwards, or they take an I/O error for the end of the data.
pub trait Cursor {
    /// Moves to the first key >= `key` (within the bounds).
    fn seek(&mut self, key: &[u8]);

    /// Moves to the last key <= `key` (within the bounds).
    fn seek_for_prev(&mut self, key: &[u8]);

    /// Moves to the first key of the bounds.
    fn seek_to_first(&mut self);

    /// Moves to the last key of the bounds.
    fn seek_to_last(&mut self);

    /// Moves one key on. Does nothing on a cursor that is not valid.
    fn next(&mut self);

    /// Moves one key back. Does nothing on a cursor that is not valid.
    fn prev(&mut self);

    /// Whether the cursor stands on a pair.
    fn valid(&self) -> bool;

    /// The key it stands on. Panics if the cursor is not valid.
    fn key(&self) -> &[u8];

    /// The value it stands on. Panics if the cursor is not valid.
    fn value(&self) -> &[u8];

    /// The error that made the cursor invalid, if one did.
    fn status(&self) -> Result<()>;
}

/// An engine. Clones are handles to the same data and may be used from any thread.
pub trait Engine: Reader + Clone + Send + Sync + 'static {
    /// An owned point-in-time view; it keeps the data it sees alive, so drop it soon.
    type Snapshot: Reader + Clone + Send + Sync + 'static;

    /// Writes tables that can be ingested; see [`tables`].
    type TableWriter: TableWriter;

    /// Takes a snapshot of everything written so far.
    fn snapshot(&self) -> Self::Snapshot;

    /// Writes `batch` atomically over all column families, its operations in order. An empty batch with [`Durability::Sync`] is a
    /// [`sync`](Engine::sync).
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()>;

    /// Returns when everything written before is durable.
    fn sync(&self) -> Result<()>;

    /// Begins tables of column family `cf` under `name`; finished ones of both are gone.
    ///
    /// Errors: those of the disk; [`Error::Engine`](crate::Error::Engine) if `name` has other characters than letters, digits, `-` and `_`.
    fn table_writer(&self, name: &str, cf: Cf) -> Result<Self::TableWriter>;

    /// Whether there are finished tables of column family `cf` under `name`, whole as far as can be told without reading them through.
    ///
    /// Errors: [`Error::Corrupted`](crate::Error::Corrupted) if not; those of the disk.
    fn check_tables(&self, name: &str, cf: Cf) -> Result<()>;

    /// Adds the pairs of the finished tables of `name` in these column families, on top of what is there. Returns when they, and everything
    /// written before, are durable. The tables of one column family appear together; a crash may come between two column families, so
    /// ask again after one: the tables stay.
    ///
    /// Errors: those of [`check_tables`](Engine::check_tables), and then nothing is added; those of the disk.
    fn ingest(&self, name: &str, cfs: &[Cf]) -> Result<()>;

    /// Removes the tables of `name`, finished or not. Pairs that were ingested stay, and that there are no such tables is no error.
    fn remove_tables(&self, name: &str) -> Result<()>;

    /// The names under which there are tables, in order. After a crash there may be unfinished ones among them.
    fn table_names(&self) -> Result<Vec<String>>;

    /// About how many bytes the pairs with keys in `[lower, upper)` take: good enough to find the regions that deserve an exact count
    /// by a cursor. RocksDB counts table files only, so recent writes (up to its write buffers) may be missing and overwritten
    /// versions included, both compressed.
    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64>;
}
