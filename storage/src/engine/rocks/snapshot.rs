//! An owned snapshot: the database handle and RocksDB's snapshot, which borrows it, in one cell.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::ReadOptions;
use self_cell::self_cell;

use super::cursor::{RocksCursor, passing_options, read_options};
use super::error::from_rocks;
use super::{Inner, RocksEngine};
use crate::{Cf, Reader, Result};

type BorrowedSnapshot<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    struct OwnedSnapshot {
        owner: Arc<Inner>,
        #[covariant]
        dependent: BorrowedSnapshot,
    }
);

/// A point-in-time view of a [`RocksEngine`]. It keeps the database open and old versions on disk, so drop it soon.
#[derive(Clone)]
pub struct RocksSnapshot {
    cell: Arc<OwnedSnapshot>,
}

impl RocksSnapshot {
    pub(super) fn take(inner: Arc<Inner>) -> Self {
        Self { cell: Arc::new(OwnedSnapshot::new(inner, |inner| inner.db.snapshot())) }
    }

    /// The engine that the snapshot was taken from.
    pub fn engine(&self) -> RocksEngine {
        RocksEngine { inner: Arc::clone(self.cell.borrow_owner()) }
    }

    fn iterate(&self, cf: Cf, options: ReadOptions) -> Result<RocksCursor<'_>> {
        let handle = self.cell.borrow_owner().handle(cf)?;
        Ok(RocksCursor::new(self.cell.borrow_dependent().raw_iterator_cf_opt(handle, options)))
    }
}

impl Reader for RocksSnapshot {
    type Cursor<'a> = RocksCursor<'a>;

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        let handle = self.cell.borrow_owner().handle(cf)?;
        let value = self.cell.borrow_dependent().get_cf_opt(handle, key, ReadOptions::default()).map_err(from_rocks)?;
        Ok(value.map(Bytes::from))
    }

    fn cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<RocksCursor<'_>> {
        self.iterate(cf, read_options(lower, upper))
    }

    fn passing_cursor(&self, cf: Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<RocksCursor<'_>> {
        self.iterate(cf, passing_options(lower, upper))
    }
}
