//! Bulk loading: sorted pairs are written into tables outside of the engine, and the finished tables are added to it as they are,
//! without a way through the log.
//!
//! ```text
//! table_writer(name, cf) → put, put, … → finish      durable, and seen by nobody
//! ingest(name, cfs)                                  seen by everybody; can be repeated
//! remove_tables(name)                                what was ingested stays
//! ```
//!
//! Tables have names, so that whoever was going to ingest them can do that after a restart. A crash may leave tables that were not
//! finished, or a part of them: what was finished under which name is for the owner of the names to know.

use crate::{Cf, Error, Result};

/// Writes the pairs of one column family into tables of a name. Dropping it without [`finish`](TableWriter::finish) removes them.
pub trait TableWriter: Send + 'static {
    /// Adds a pair. Each key has to be greater than the one before.
    ///
    /// # Errors
    /// [`Error::Unsorted`] if it is not; those of the disk. After an error the tables are of no use.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Returns when the tables are durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn finish(self) -> Result<()>;
}

/// Sees to it that keys ascend.
#[derive(Default)]
pub(super) struct Ascending {
    last: Option<Vec<u8>>,
}

impl Ascending {
    pub(super) fn check(&mut self, cf: Cf, key: &[u8]) -> Result<()> {
        let Some(last) = &mut self.last else {
            self.last = Some(key.to_vec());
            return Ok(());
        };
        if last.as_slice() >= key {
            return Err(Error::Unsorted { cf, before: last.clone(), key: key.to_vec() });
        }
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }
}

/// Names become parts of file names.
pub(super) fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(Error::Engine { message: format!("{name:?} is no name for tables: use letters, digits, - and _") });
    }
    Ok(())
}
