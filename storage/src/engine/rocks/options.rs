//! How a database is tuned. Two presets cover the server: [`RocksOptions::kv`] for data, [`RocksOptions::raft_log`] for Raft's log.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use super::expiry_filter::{Expiry, ExpiryFilterFactory};
use crate::Cf;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Options of a database. All sizes are bytes; together they bound the memory that the database takes:
/// `block_cache_bytes + total_write_buffer_bytes` plus a few MiB.
#[derive(Clone)]
pub struct RocksOptions {
    /// The column families that the database is used with.
    pub column_families: Vec<Cf>,
    /// The cache of table blocks, indexes and filters, shared by all column families.
    pub block_cache_bytes: usize,
    /// Recent writes of one column family that are held in memory before they go into a table file.
    pub write_buffer_bytes: usize,
    /// Write buffers of one column family that may exist at once, the one being filled included.
    pub max_write_buffers: i32,
    /// Write buffers of all column families together.
    pub total_write_buffer_bytes: usize,
    /// Log files may take this much before the oldest column family is written out.
    pub max_wal_bytes: u64,
    /// Log files that are kept for reuse. Overwriting an old file needs no change of its size or extents on disk, which makes syncs
    /// several times faster and much steadier.
    pub recycled_wal_files: usize,
    /// Log files for reuse that are made when the database is opened, so that recycling works from the first write on. Each costs
    /// the time to write and sync about `write_buffer_bytes`.
    pub primed_wal_files: usize,
    /// Table files that may be open at once.
    pub max_open_files: i32,
    /// Threads for flushes and compactions.
    pub max_background_jobs: i32,
    /// Whether table files are compressed (LZ4).
    pub compression: bool,
    /// Drops expired raw pairs during compactions; `None` keeps them (readers skip them all the same).
    pub expiry: Option<Expiry>,
}

impl RocksOptions {
    /// For a store's data: all column families, writes mostly buffered.
    pub fn kv() -> Self {
        Self {
            column_families: Cf::ALL.to_vec(),
            block_cache_bytes: 64 * MIB,
            write_buffer_bytes: 16 * MIB,
            max_write_buffers: 4,
            total_write_buffer_bytes: 48 * MIB,
            max_wal_bytes: 128 * MIB as u64,
            recycled_wal_files: 2,
            primed_wal_files: 0,
            max_open_files: 512,
            max_background_jobs: 2,
            compression: true,
            expiry: None,
        }
    }

    /// For Raft's log and state: small values, every round synced, most entries deleted before they leave the write buffer. The
    /// database has the column families `default` and `raft` only.
    pub fn raft_log() -> Self {
        Self {
            column_families: vec![Cf::Default, Cf::Raft],
            block_cache_bytes: 8 * MIB,
            write_buffer_bytes: 16 * MIB,
            max_write_buffers: 3,
            total_write_buffer_bytes: 32 * MIB,
            max_wal_bytes: 64 * MIB as u64,
            recycled_wal_files: 4,
            primed_wal_files: 2,
            max_open_files: 128,
            max_background_jobs: 2,
            compression: true,
            expiry: None,
        }
    }

    pub(super) fn block_cache(&self) -> Cache {
        Cache::new_lru_cache(self.block_cache_bytes)
    }

    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(self.max_open_files);
        options.set_max_background_jobs(self.max_background_jobs);
        options.set_db_write_buffer_size(self.total_write_buffer_bytes);
        options.set_max_total_wal_size(self.max_wal_bytes);
        options.set_recycle_log_file_num(self.recycled_wal_files);
        // The one mode that recovers a prefix of the writes and knows recycled files.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // Background writes go to disk in small steps instead of one burst that a sync would have to wait for.
        options.set_bytes_per_sync(MIB as u64);
        options.set_wal_bytes_per_sync(512 * KIB as u64);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(4 * MIB);
        options.set_keep_log_file_num(4);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    pub(super) fn column_family(&self, cf: Cf, cache: &Cache) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_max_write_buffer_number(self.max_write_buffers);
        options.set_level_compaction_dynamic_level_bytes(true);
        if self.compression {
            options.set_compression_type(DBCompressionType::Lz4);
        } else {
            options.set_compression_type(DBCompressionType::None);
        }
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_block_size(16 * KIB);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(10.0, false);
        options.set_block_based_table_factory(&table);
        if let (Cf::Raw, Some(expiry)) = (cf, &self.expiry) {
            options.set_compaction_filter_factory(ExpiryFilterFactory(expiry.clone()));
        }
        options
    }
}
