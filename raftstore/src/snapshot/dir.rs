//! What the files of snapshots ask of the outside: a folder of their own, with the durability of a POSIX file system.
//!
//! A file's content is durable after its own [`DurableFile::sync`]; that it exists under a name, after [`SnapshotDir::sync`].
//! [`super::MemDir`] takes that at its word and loses in a crash what was promised by neither.

use std::io::{Read, Result, Write};

/// A file that is being written.
pub trait DurableFile: Write + Send {
    /// Returns when everything written so far is durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&mut self) -> Result<()>;
}

/// A folder. All names are plain file names in it.
pub trait SnapshotDir: Send + Sync + 'static {
    /// Makes an empty file, replacing one of that name.
    ///
    /// # Errors
    /// Those of the disk.
    fn create(&self, name: &str) -> Result<Box<dyn DurableFile>>;

    /// Opens a file for reading from its start.
    ///
    /// # Errors
    /// Those of the disk, also if there is none of that name.
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>>;

    /// Gives a file another name, replacing one of that name.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the disk; that there is none of that name is none.
    fn remove(&self, name: &str) -> Result<()>;

    /// Returns when all creations, renames and removals so far are durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&self) -> Result<()>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// Those of the disk.
    fn list(&self) -> Result<Vec<String>>;
}
