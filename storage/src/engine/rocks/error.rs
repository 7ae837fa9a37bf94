//! Translates RocksDB's errors. Its C interface carries them as text, so the text decides.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::Error;

/// The error of an operation on an open database.
pub(super) fn from_rocks(error: rocksdb::Error) -> Error {
    let kind = error.kind();
    let message = error.into_string();
    if message.contains("No space left on device") || message.contains("Disk quota exceeded") {
        return Error::DiskFull { message };
    }
    match kind {
        ErrorKind::Corruption => Error::Corrupted { message },
        ErrorKind::IOError => Error::Io { message },
        ErrorKind::ShutdownInProgress => Error::Stopped,
        _ => Error::Engine { message },
    }
}

/// The error of opening the database in `path`: a lock that somebody else holds is told apart.
pub(super) fn from_open(path: &Path, error: rocksdb::Error) -> Error {
    let message: &str = error.as_ref();
    let lock_is_held = message.contains("lock hold by current process")
        || (message.contains("LOCK") && message.contains("Resource temporarily unavailable"));
    if lock_is_held { Error::Busy { path: path.to_owned() } } else { from_rocks(error) }
}
