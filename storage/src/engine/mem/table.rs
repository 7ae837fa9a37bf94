//! The ordered tables of a `MemEngine`, one a column family, as persistent maps: a clone shares all nodes.

use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;

use crate::{Cf, WriteBatch, WriteOp};

/// The pairs of one column family.
pub(super) type Table = OrdMap<Bytes, Bytes>;

/// All column families.
#[derive(Clone, Default)]
pub(super) struct Tables {
    tables: [Table; Cf::COUNT],
}

impl Tables {
    pub(super) fn get(&self, cf: Cf) -> &Table {
        &self.tables[cf as usize]
    }

    /// Applies every operation of `batch` in order.
    pub(super) fn apply(&mut self, batch: &WriteBatch) {
        for op in batch.ops() {
            let table = &mut self.tables[op.cf() as usize];
            match op {
                WriteOp::Put { key, value, .. } => {
                    table.insert(key.clone(), value.clone());
                }
                WriteOp::Delete { key, .. } => {
                    table.remove(key);
                }
                WriteOp::DeleteRange { start, end, .. } => {
                    let upper = (!end.is_empty()).then_some(end.as_ref());
                    let doomed: Vec<Bytes> = range(table, Some(start), upper).map(|(key, _)| key.clone()).collect();
                    for key in doomed {
                        table.remove(&key);
                    }
                }
            }
        }
    }
}

/// The pairs of `[lower, upper)`; none if the range is reversed.
pub(super) fn range<'a>(
    table: &'a Table,
    lower: Option<&[u8]>,
    upper: Option<&[u8]>,
) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Bytes)> {
    let reversed = matches!((lower, upper), (Some(lower), Some(upper)) if lower >= upper);
    let bounds = (lower.map_or(Bound::Unbounded, Bound::Included), upper.map_or(Bound::Unbounded, Bound::Excluded));
    (!reversed).then(|| table.range::<_, [u8]>(bounds)).into_iter().flatten()
}
