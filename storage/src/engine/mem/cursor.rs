//! The cursor of the in-memory engine: it owns the table it walks, so nothing can change under it.

use std::ops::Bound;

use bytes::Bytes;

use super::table::Table;
use crate::{Cursor, Result};

/// A cursor over a table of a `MemEngine` or its snapshot. Each move is one search, O(log n).
pub struct MemCursor {
    table: Table,
    lower: Bound<Bytes>,
    upper: Bound<Bytes>,
    /// The bounds exclude every key.
    empty: bool,
    current: Option<(Bytes, Bytes)>,
}

impl MemCursor {
    pub(super) fn new(table: Table, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Self {
        Self {
            table,
            lower: lower.map_or(Bound::Unbounded, |key| Bound::Included(Bytes::copy_from_slice(key))),
            upper: upper.map_or(Bound::Unbounded, |key| Bound::Excluded(Bytes::copy_from_slice(key))),
            empty: matches!((lower, upper), (Some(lower), Some(upper)) if lower >= upper),
            current: None,
        }
    }

    /// The first pair from `from` on, up to the upper bound.
    fn first_from(&self, from: Bound<&[u8]>) -> Option<(Bytes, Bytes)> {
        let (key, value) = self.table.range::<_, [u8]>((from, Bound::Unbounded)).next()?;
        let inside = match &self.upper {
            Bound::Excluded(upper) => key < upper,
            Bound::Included(_) | Bound::Unbounded => true,
        };
        (inside && !self.empty).then(|| (key.clone(), value.clone()))
    }

    /// The last pair up to `to`, down to the lower bound.
    fn last_to(&self, to: Bound<&[u8]>) -> Option<(Bytes, Bytes)> {
        let (key, value) = self.table.range::<_, [u8]>((Bound::Unbounded, to)).next_back()?;
        let inside = match &self.lower {
            Bound::Included(lower) => key >= lower,
            Bound::Excluded(_) | Bound::Unbounded => true,
        };
        (inside && !self.empty).then(|| (key.clone(), value.clone()))
    }

    fn lower(&self) -> Bound<&[u8]> {
        self.lower.as_ref().map(AsRef::as_ref)
    }

    fn upper(&self) -> Bound<&[u8]> {
        self.upper.as_ref().map(AsRef::as_ref)
    }

    fn pair(&self) -> &(Bytes, Bytes) {
        self.current.as_ref().expect("invariant: the caller checked that the cursor is valid")
    }
}

impl Cursor for MemCursor {
    fn seek(&mut self, key: &[u8]) {
        let from = match self.lower() {
            Bound::Included(lower) if lower > key => Bound::Included(lower),
            _ => Bound::Included(key),
        };
        self.current = self.first_from(from);
    }

    fn seek_for_prev(&mut self, key: &[u8]) {
        let to = match self.upper() {
            Bound::Excluded(upper) if upper <= key => Bound::Excluded(upper),
            _ => Bound::Included(key),
        };
        self.current = self.last_to(to);
    }

    fn seek_to_first(&mut self) {
        self.current = self.first_from(self.lower());
    }

    fn seek_to_last(&mut self) {
        self.current = self.last_to(self.upper());
    }

    fn next(&mut self) {
        if let Some((key, _)) = &self.current {
            self.current = self.first_from(Bound::Excluded(key));
        }
    }

    fn prev(&mut self) {
        if let Some((key, _)) = &self.current {
            self.current = self.last_to(Bound::Excluded(key));
        }
    }

    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn key(&self) -> &[u8] {
        &self.pair().0
    }

    fn value(&self) -> &[u8] {
        &self.pair().1
    }

    fn status(&self) -> Result<()> {
        Ok(())
    }
}
