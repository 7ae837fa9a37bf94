//! The cursor over RocksDB's iterator.

use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};

use super::error::from_rocks;
use crate::{Cursor, Result};

/// A cursor over a `RocksEngine` or its snapshot.
pub struct RocksCursor<'a> {
    iterator: DBRawIteratorWithThreadMode<'a, DB>,
}

impl<'a> RocksCursor<'a> {
    pub(super) fn new(iterator: DBRawIteratorWithThreadMode<'a, DB>) -> Self {
        Self { iterator }
    }
}

/// Read options that hold an iterator to `[lower, upper)`.
pub(super) fn read_options(lower: Option<&[u8]>, upper: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    let reversed = matches!((lower, upper), (Some(lower), Some(upper)) if lower > upper);
    if let Some(upper) = upper {
        options.set_iterate_upper_bound(upper);
    }
    // A reversed range is made empty: RocksDB leaves the order of such bounds undefined.
    if let Some(lower) = if reversed { upper } else { lower } {
        options.set_iterate_lower_bound(lower);
    }
    options
}

/// The same for one pass over pairs that need not be cached.
pub(super) fn passing_options(lower: Option<&[u8]>, upper: Option<&[u8]>) -> ReadOptions {
    let mut options = read_options(lower, upper);
    options.fill_cache(false);
    options
}

impl Cursor for RocksCursor<'_> {
    fn seek(&mut self, key: &[u8]) {
        self.iterator.seek(key);
    }

    fn seek_for_prev(&mut self, key: &[u8]) {
        self.iterator.seek_for_prev(key);
    }

    fn seek_to_first(&mut self) {
        self.iterator.seek_to_first();
    }

    fn seek_to_last(&mut self) {
        self.iterator.seek_to_last();
    }

    fn next(&mut self) {
        if self.iterator.valid() {
            self.iterator.next();
        }
    }

    fn prev(&mut self) {
        if self.iterator.valid() {
            self.iterator.prev();
        }
    }

    fn valid(&self) -> bool {
        self.iterator.valid()
    }

    fn key(&self) -> &[u8] {
        self.iterator.key().expect("invariant: the caller checked that the cursor is valid")
    }

    fn value(&self) -> &[u8] {
        self.iterator.value().expect("invariant: the caller checked that the cursor is valid")
    }

    fn status(&self) -> Result<()> {
        self.iterator.status().map_err(from_rocks)
    }
}
