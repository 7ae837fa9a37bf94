//! The changes that a [`Storage`](crate::Storage) can be asked for. They say what, not how: a replicated storage turns them into log
//! entries, the standalone one into a batch.

use bytes::Bytes;

use crate::{Cf, WriteBatch, WriteOp};

/// One change of a write request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modify {
    /// Sets `key` to `value`.
    Put { cf: Cf, key: Bytes, value: Bytes },
    /// Removes `key`.
    Delete { cf: Cf, key: Bytes },
    /// Removes every key in `[start, end)`; an empty `end` means unbounded.
    DeleteRange { cf: Cf, start: Bytes, end: Bytes },
}

impl Modify {
    /// The column family that it changes.
    pub fn cf(&self) -> Cf {
        match self {
            Modify::Put { cf, .. } | Modify::Delete { cf, .. } | Modify::DeleteRange { cf, .. } => *cf,
        }
    }

    /// The key that it changes; for a range its (inclusive) start.
    pub fn key(&self) -> &Bytes {
        match self {
            Modify::Put { key, .. } | Modify::Delete { key, .. } => key,
            Modify::DeleteRange { start, .. } => start,
        }
    }
}

impl From<Modify> for WriteOp {
    fn from(modify: Modify) -> Self {
        match modify {
            Modify::Put { cf, key, value } => WriteOp::Put { cf, key, value },
            Modify::Delete { cf, key } => WriteOp::Delete { cf, key },
            Modify::DeleteRange { cf, start, end } => WriteOp::DeleteRange { cf, start, end },
        }
    }
}

impl FromIterator<Modify> for WriteBatch {
    fn from_iter<I: IntoIterator<Item = Modify>>(modifies: I) -> Self {
        modifies.into_iter().map(WriteOp::from).collect()
    }
}

/// "Set `key` to `value` if its value is `previous`." It carries everything that decides its outcome, the time included, so that
/// every replica decides the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareAndSwap {
    /// The column family; [`Cf::Raw`] for the raw API.
    pub cf: Cf,
    /// The plain key.
    pub key: Bytes,
    /// What to store: the *encoded* raw value, its expiry included (see [`crate::raw::value`]).
    pub value: Bytes,
    /// The *plain* value that must be there now; `None` demands that the key is absent (or expired).
    pub previous: Option<Bytes>,
    /// The proposer's time in unix seconds: values that expired at or before it count as absent.
    pub now: u64,
}

/// What a [`CompareAndSwap`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CasOutcome {
    /// Whether the new value was stored.
    pub succeeded: bool,
    /// The plain value from before; `None` if the key was absent or expired.
    pub previous: Option<Bytes>,
}
