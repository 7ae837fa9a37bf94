//! The engine interface: ordered column families, atomic batches over all of them, owned snapshots, and a stated durability for
//! every write.
//!
//! Two implementations keep it honest: `RocksEngine` for production and [`mem::MemEngine`] for the simulator. Both pass the same
//! conformance tests, so code that is generic over [`Engine`] behaves the same on either.

pub mod batch;
pub mod mem;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use bytes::Bytes;

use crate::{Cf, Result, WriteBatch};

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

    /// Takes a snapshot of everything written so far.
    fn snapshot(&self) -> Self::Snapshot;

    /// Writes `batch` atomically over all column families, its operations in order. An empty batch with [`Durability::Sync`] is a
    /// [`sync`](Engine::sync).
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()>;

    /// Returns when everything written before is durable.
    fn sync(&self) -> Result<()>;

    /// About how many bytes the pairs with keys in `[lower, upper)` take: good enough to find the regions that deserve an exact count
    /// by a cursor. RocksDB counts table files only, so recent writes (up to its write buffers) may be missing and overwritten
    /// versions included, both compressed.
    fn approximate_size(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<u64>;
}
