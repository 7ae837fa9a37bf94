//! The folder of snapshots of a store that is watched.

use std::io::{Error, Read, Result, Write};

use raftstore::snapshot::{DurableFile, MemDir, SnapshotDir};

use super::point::Unsynced;
use super::records::of_folder;
use super::watch::{Disk, Watch};

/// A folder whose changes are numbered.
pub struct WatchedDir {
    dir: MemDir,
    watch: Watch,
}

impl WatchedDir {
    /// Watches a folder.
    pub fn new(dir: MemDir, watch: Watch) -> Self {
        Self { dir, watch }
    }

    fn change<T>(&self, what: &str, name: &str, change: impl FnOnce(&MemDir) -> Result<T>) -> Result<T> {
        around(&self.watch, &self.dir, what, name, || change(&self.dir))
    }
}

fn around<T>(watch: &Watch, dir: &MemDir, what: &str, name: &str, change: impl FnOnce() -> Result<T>) -> Result<T> {
    let unsynced = |unsynced: &mut Unsynced| {
        unsynced.names = dir.unsynced() > 0;
        unsynced.contents = dir.has_unsynced_contents();
    };
    let stopped = || Error::other("the power has failed");
    watch.around(Disk::Files, || of_folder(what, name), unsynced, change, stopped)
}

impl SnapshotDir for WatchedDir {
    fn create(&self, name: &str) -> Result<Box<dyn DurableFile>> {
        let file = self.change("create", name, |dir| dir.create(name))?;
        Ok(Box::new(WatchedFile { file, name: name.to_owned(), dir: self.dir.clone(), watch: self.watch.clone() }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        self.dir.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.change("rename to", to, |dir| dir.rename(from, to))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.change("remove", name, |dir| dir.remove(name))
    }

    fn sync(&self) -> Result<()> {
        self.change("sync", "", SnapshotDir::sync)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.dir.list()
    }
}

struct WatchedFile {
    file: Box<dyn DurableFile>,
    name: String,
    dir: MemDir,
    watch: Watch,
}

impl Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let file = &mut self.file;
        around(&self.watch, &self.dir, "write", &self.name, || file.write(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl DurableFile for WatchedFile {
    fn sync(&mut self) -> Result<()> {
        let file = &mut self.file;
        around(&self.watch, &self.dir, "sync", &self.name, || file.sync())
    }
}
