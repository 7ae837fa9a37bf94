//! Makes log files for RocksDB to recycle, right after opening.
//!
//! An append to a growing file changes its size and extents, so each sync writes the file system's own records too. RocksDB can
//! overwrite old log files instead, but it forgets them when the database closes and has none in the first place. So on opening,
//! filler is written and flushed away. The first file that this fills becomes free when the second one is in use, so two rounds are
//! the least that put a recycled file into use, with one more in reserve.

use rocksdb::WriteOptions;

use super::error::from_rocks;
use super::{Inner, RocksOptions};
use crate::{Cf, Result};

/// The filler's key; deleted again before its last flush, so nothing remains of it. It sorts behind all keys in use.
const SCRATCH_KEY: &[u8] = b"\xFF\xFFtinykv.prime";
/// Small against RocksDB's arena blocks, so that the write buffer fills evenly.
const CHUNK: usize = 32 << 10;

pub(super) fn prime_recycled_files(inner: &Inner, options: &RocksOptions) -> Result<()> {
    if options.primed_wal_files == 0 || options.recycled_wal_files == 0 {
        return Ok(());
    }
    let handle = inner.handle(Cf::Default)?;
    let filler = vec![0u8; CHUNK];
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    // A full write buffer would switch to the next log file by itself, and leave a short one behind.
    let file_size = options.write_buffer_bytes / 8 * 7;
    for _ in 0..options.primed_wal_files {
        for _ in 0..file_size / CHUNK {
            inner.db.put_cf(handle, SCRATCH_KEY, &filler).map_err(from_rocks)?;
        }
        inner.db.delete_cf_opt(handle, SCRATCH_KEY, &synced).map_err(from_rocks)?;
        inner.db.flush_cf(handle).map_err(from_rocks)?;
    }
    Ok(())
}
