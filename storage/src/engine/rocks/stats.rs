//! What a server reports about the engine.

use rocksdb::properties;

use super::RocksEngine;
use super::error::from_rocks;
use crate::{Cf, Result};

/// Memory that the engine holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Recent writes of all column families that are not yet in table files.
    pub memtables: u64,
    /// Blocks of table files, their indexes and filters, in the shared cache.
    pub block_cache: u64,
    /// The part of the cache that is in use right now and cannot be dropped.
    pub block_cache_pinned: u64,
    /// Table readers outside the cache.
    pub table_readers: u64,
}

impl MemoryUsage {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.memtables + self.block_cache + self.table_readers
    }
}

impl RocksEngine {
    /// The memory that this database holds now.
    pub fn memory_usage(&self) -> Result<MemoryUsage> {
        let mut usage = MemoryUsage {
            block_cache: self.inner.block_cache.get_usage() as u64,
            block_cache_pinned: self.inner.block_cache.get_pinned_usage() as u64,
            ..MemoryUsage::default()
        };
        for cf in &self.inner.options.column_families {
            usage.memtables += self.property(*cf, "rocksdb.size-all-mem-tables")?;
            usage.table_readers += self.property(*cf, properties::ESTIMATE_TABLE_READERS_MEM.as_str())?;
        }
        Ok(usage)
    }

    /// A numeric property of RocksDB for one column family (`"rocksdb.estimate-num-keys"`, ...); 0 if there is no such property.
    pub fn property(&self, cf: Cf, name: &str) -> Result<u64> {
        let handle = self.inner.handle(cf)?;
        Ok(self.inner.db.property_int_value_cf(handle, name).map_err(from_rocks)?.unwrap_or_default())
    }

    /// Bytes of live table files of a column family.
    pub fn table_bytes(&self, cf: Cf) -> Result<u64> {
        self.property(cf, "rocksdb.live-sst-files-size")
    }
}
