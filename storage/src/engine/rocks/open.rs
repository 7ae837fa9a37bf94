//! Opening a database: errors that name what to do, and nothing changed where it cannot be opened.

use std::path::Path;

use rocksdb::{Cache, ColumnFamilyDescriptor, DB};

use super::error::from_open;
use super::{Inner, RocksOptions, prime};
use crate::{Error, Result};

pub(super) fn open(path: &Path, options: &RocksOptions) -> Result<Inner> {
    std::fs::create_dir_all(path)
        .map_err(|error| Error::Io { message: format!("cannot create the folder {}: {error}", path.display()) })?;
    let block_cache = options.block_cache();
    let descriptors = descriptors(options, &block_cache);
    let database = options.database();
    let db = DB::open_cf_descriptors(&database, path, descriptors).map_err(|error| from_open(path, error))?;
    let inner = Inner { db, path: path.to_owned(), block_cache, options: options.clone() };
    prime::prime_recycled_files(&inner, options)?;
    Ok(inner)
}

/// Opens a database to look at it: nothing is written, not even what the log holds, and everything in the log can be read.
pub(super) fn open_read_only(path: &Path, options: &RocksOptions) -> Result<Inner> {
    let block_cache = options.block_cache();
    let descriptors = descriptors(options, &block_cache);
    let mut database = options.database();
    database.create_if_missing(false);
    let db = DB::open_cf_descriptors_read_only(&database, path, descriptors, false);
    let db = db.map_err(|error| from_open(path, error))?;
    Ok(Inner { db, path: path.to_owned(), block_cache, options: options.clone() })
}

fn descriptors<'a>(
    options: &'a RocksOptions,
    block_cache: &'a Cache,
) -> impl Iterator<Item = ColumnFamilyDescriptor> + 'a {
    let families = options.column_families.iter();
    families.map(|cf| ColumnFamilyDescriptor::new(cf.name(), options.column_family(*cf, block_cache)))
}
