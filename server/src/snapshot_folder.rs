//! The folder of a store's snapshot files, on a real disk.
//!
//! What has to be synced when is raftstore's business ([`raftstore::snapshot`]); here each call is one of the file system's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use raftstore::snapshot::{DurableFile, SnapshotDir};

use crate::{Error, Result};

/// A folder with nothing but snapshot files in it.
#[derive(Debug)]
pub struct SnapshotFolder {
    path: PathBuf,
}

impl SnapshotFolder {
    /// Opens the folder, making it if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be made.
    pub fn open(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).map_err(Error::io("create the snapshot folder", &path))?;
        Ok(Self { path })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(Path::new(name).file_name().unwrap_or_default())
    }
}

struct DiskFile(File);

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DurableFile for DiskFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl SnapshotDir for SnapshotFolder {
    fn create(&self, name: &str) -> io::Result<Box<dyn DurableFile>> {
        Ok(Box::new(DiskFile(File::create(self.at(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.at(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.at(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::metapb::Region;
    use raftstore::snapshot::{Origin, SnapshotId, SnapshotStore};
    use storage::{Cf, MemEngine};

    use super::*;

    #[test]
    fn a_snapshot_is_written_read_and_collected_on_a_real_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snap");
        let id = SnapshotId { region_id: 1, term: 2, index: 3 };
        let kv = MemEngine::new();
        let store = || SnapshotStore::new(Arc::new(SnapshotFolder::open(path.clone()).unwrap()), kv.clone());
        let (store, reopen) = (store(), store);
        let mut builder = store.build(id);
        builder.add(Cf::Raw, b"k", b"v").unwrap();
        let meta = builder.finish().unwrap();
        let names = SnapshotFolder::open(path.clone()).unwrap().list().unwrap();
        assert_eq!(names, ["gen_1_2_3.meta", "gen_1_2_3_raw.data"]);
        let mut sink = store.receive(id, Region { id: 1, ..Default::default() }, meta);
        let mut source = store.source(id).unwrap();
        while let Some(chunk) = source.next_chunk(3).unwrap() {
            sink.write(&chunk).unwrap();
        }
        sink.finish().unwrap();
        let reopened = reopen();
        reopened.verify(id).unwrap();
        reopened.done(Origin::Received, id);
        assert_eq!(reopened.collect(100).unwrap(), 2);
        assert_eq!(reopened.collect_at_start(|_| false).unwrap(), 2);
        assert!(SnapshotFolder::open(path).unwrap().list().unwrap().is_empty());
    }
}
