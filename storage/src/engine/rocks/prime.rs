//! Makes log files for RocksDB to recycle, right after opening.
//!
//! An append to a growing file changes its size and extents, so each sync commits the file system's journal. RocksDB can overwrite
//! old log files instead, but it forgets them when the database closes and has none in the first place. So on opening, filler is
//! written and flushed away until as many full-size files are on the recycle list as were asked for.

use rocksdb::WriteOptions;

use super::error::from_rocks;
use super::{Inner, RocksOptions};
use crate::{Cf, Result};

/// The filler's key; deleted again before its last flush, so nothing remains of it. It sorts behind all keys in use.
const SCRATCH_KEY: &[u8] = b"\xFF\xFFtinykv.prime";
const CHUNK: usize = 1 << 20;

pub(super) fn prime_recycled_files(inner: &Inner, options: &RocksOptions) -> Result<()> {
    if options.primed_wal_files == 0 || options.recycled_wal_files == 0 {
        return Ok(());
    }
    let handle = inner.handle(Cf::Default)?;
    let filler = vec![0u8; CHUNK];
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    for _ in 0..options.primed_wal_files {
        for _ in 0..options.write_buffer_bytes.div_ceil(CHUNK) {
            inner.db.put_cf(handle, SCRATCH_KEY, &filler).map_err(from_rocks)?;
        }
        inner.db.delete_cf_opt(handle, SCRATCH_KEY, &synced).map_err(from_rocks)?;
        inner.db.flush_cf(handle).map_err(from_rocks)?;
    }
    Ok(())
}
