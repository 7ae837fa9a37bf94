//! A list of operations that an engine writes atomically. It belongs to whoever fills it; engines consume it.

use bytes::Bytes;

use crate::Cf;

/// One operation of a [`WriteBatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// Sets `key` to `value`.
    Put { cf: Cf, key: Bytes, value: Bytes },
    /// Removes `key`; removing an absent key is fine.
    Delete { cf: Cf, key: Bytes },
    /// Removes every key in `[start, end)`. An empty `end` means to the end of the column family; a reversed range removes nothing.
    DeleteRange { cf: Cf, start: Bytes, end: Bytes },
}

impl WriteOp {
    /// The column family that the operation changes.
    pub fn cf(&self) -> Cf {
        match self {
            WriteOp::Put { cf, .. } | WriteOp::Delete { cf, .. } | WriteOp::DeleteRange { cf, .. } => *cf,
        }
    }

    /// Bytes of keys and values, without any overhead.
    pub fn size_bytes(&self) -> usize {
        match self {
            WriteOp::Put { key, value, .. } => key.len() + value.len(),
            WriteOp::Delete { key, .. } => key.len(),
            WriteOp::DeleteRange { start, end, .. } => start.len() + end.len(),
        }
    }
}

/// Operations that become visible (and durable) together, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<WriteOp>,
    size_bytes: usize,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `ops` operations.
    pub fn with_capacity(ops: usize) -> Self {
        Self { ops: Vec::with_capacity(ops), size_bytes: 0 }
    }

    /// Adds `key = value`.
    pub fn put(&mut self, cf: Cf, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(WriteOp::Put { cf, key: key.into(), value: value.into() });
    }

    /// Adds the removal of `key`.
    pub fn delete(&mut self, cf: Cf, key: impl Into<Bytes>) {
        self.push(WriteOp::Delete { cf, key: key.into() });
    }

    /// Adds the removal of `[start, end)`; an empty `end` means to the end of the column family.
    pub fn delete_range(&mut self, cf: Cf, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        self.push(WriteOp::DeleteRange { cf, start: start.into(), end: end.into() });
    }

    /// Adds an operation.
    pub fn push(&mut self, op: WriteOp) {
        self.size_bytes += op.size_bytes();
        self.ops.push(op);
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Adds all operations of `other` behind the own ones.
    pub fn append(&mut self, mut other: WriteBatch) {
        self.size_bytes += other.size_bytes;
        self.ops.append(&mut other.ops);
    }

    /// Marks the present end, for [`rollback_to`](Self::rollback_to).
    pub fn savepoint(&self) -> usize {
        self.ops.len()
    }

    /// Drops every operation that was added after `savepoint` was taken. A savepoint behind the end (the batch was rolled back
    /// further or cleared since) drops nothing.
    pub fn rollback_to(&mut self, savepoint: usize) {
        for op in self.ops.drain(savepoint.min(self.ops.len())..) {
            self.size_bytes -= op.size_bytes();
        }
    }

    /// The operations in order.
    pub fn ops(&self) -> &[WriteOp] {
        &self.ops
    }

    /// The operations in order, by value.
    pub fn into_ops(self) -> Vec<WriteOp> {
        self.ops
    }

    /// Empties the batch and keeps its capacity.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.size_bytes = 0;
    }
}

impl Extend<WriteOp> for WriteBatch {
    fn extend<I: IntoIterator<Item = WriteOp>>(&mut self, ops: I) {
        for op in ops {
            self.push(op);
        }
    }
}

impl FromIterator<WriteOp> for WriteBatch {
    fn from_iter<I: IntoIterator<Item = WriteOp>>(ops: I) -> Self {
        let mut batch = Self::new();
        batch.extend(ops);
        batch
    }
}
