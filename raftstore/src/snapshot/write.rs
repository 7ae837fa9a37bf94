//! Writing the files of a snapshot so that a crash leaves either a whole snapshot or none.
//!
//! Order (invariant SNAP-WHOLE): each file is written under a temporary name, synced and renamed; the folder is synced; the meta
//! file is written in the same way, and the folder synced again. A snapshot exists if its meta file does.

use std::{io::Write, sync::Arc};

use prost::Message;
use proto::raft_serverpb::{SnapshotCfFile, SnapshotMeta};
use storage::Cf;

use super::{
    DurableFile, Origin, SnapshotDir, SnapshotId,
    store::{data_name, meta_name, temporary},
};
use crate::error::{Error, Result};

/// Bytes that are collected before they go to the file.
const BUFFER_BYTES: usize = 256 << 10;

/// One file on its way to its name.
struct FileWriter {
    dir: Arc<dyn SnapshotDir>,
    file: Box<dyn DurableFile>,
    name: String,
    buffer: Vec<u8>,
    size: u64,
    checksum: crc32fast::Hasher,
}

impl FileWriter {
    fn create(dir: &Arc<dyn SnapshotDir>, name: String) -> Result<Self> {
        let file = dir.create(&temporary(&name))?;
        let checksum = crc32fast::Hasher::new();
        Ok(FileWriter { dir: dir.clone(), file, name, buffer: Vec::new(), size: 0, checksum })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        self.checksum.update(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Makes the content durable and gives the file its name. Returns size and checksum.
    fn finish(mut self) -> Result<(u64, u32)> {
        self.file.write_all(&self.buffer)?;
        self.file.flush()?;
        self.file.sync()?;
        self.dir.rename(&temporary(&self.name), &self.name)?;
        Ok((self.size, self.checksum.finalize()))
    }
}

/// Writes the meta file, which makes the snapshot exist.
fn write_meta(dir: &Arc<dyn SnapshotDir>, origin: Origin, id: SnapshotId, meta: &SnapshotMeta) -> Result<()> {
    dir.sync()?;
    let encoded = meta.encode_to_vec();
    let mut file = FileWriter::create(dir, meta_name(origin, id))?;
    file.write(&crc32fast::hash(&encoded).to_le_bytes())?;
    file.write(&encoded)?;
    file.finish()?;
    dir.sync()?;
    Ok(())
}

/// Writes a snapshot that is made here: column family by column family, pair by pair.
pub struct SnapshotBuilder {
    dir: Arc<dyn SnapshotDir>,
    id: SnapshotId,
    current: Option<(Cf, FileWriter)>,
    files: Vec<SnapshotCfFile>,
}

impl SnapshotBuilder {
    pub(super) fn new(dir: Arc<dyn SnapshotDir>, id: SnapshotId) -> Self {
        SnapshotBuilder { dir, id, current: None, files: Vec::new() }
    }

    /// Adds a pair. The pairs of a column family have to come together.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`].
    pub fn add(&mut self, cf: Cf, key: &[u8], value: &[u8]) -> Result<()> {
        if self.current.as_ref().is_none_or(|(open, _)| *open != cf) {
            self.finish_file()?;
            let name = data_name(Origin::Generated, self.id, cf.name());
            self.current = Some((cf, FileWriter::create(&self.dir, name)?));
        }
        let Some((_, file)) = &mut self.current else { return Ok(()) };
        file.write(&(key.len() as u32).to_le_bytes())?;
        file.write(&(value.len() as u32).to_le_bytes())?;
        file.write(key)?;
        file.write(value)
    }

    fn finish_file(&mut self) -> Result<()> {
        if let Some((cf, file)) = self.current.take() {
            let (size, checksum) = file.finish()?;
            self.files.push(SnapshotCfFile { cf: cf.name().to_owned(), size, checksum });
        }
        Ok(())
    }

    /// Ends the snapshot; it exists from now on. Returns what its meta file says.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`].
    pub fn finish(mut self) -> Result<SnapshotMeta> {
        self.finish_file()?;
        let meta = SnapshotMeta { cf_files: std::mem::take(&mut self.files), ..Default::default() };
        write_meta(&self.dir, Origin::Generated, self.id, &meta)?;
        Ok(meta)
    }
}

/// Writes a snapshot that is being received: the bytes of its files, one file after the other as its meta lists them.
pub struct SnapshotSink {
    dir: Arc<dyn SnapshotDir>,
    id: SnapshotId,
    meta: SnapshotMeta,
    /// Files that are complete.
    done: usize,
    current: Option<FileWriter>,
}

impl SnapshotSink {
    pub(super) fn new(dir: Arc<dyn SnapshotDir>, id: SnapshotId, meta: SnapshotMeta) -> Self {
        SnapshotSink { dir, id, meta, done: 0, current: None }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if they are more than the meta announced, or a file is not what it should be.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let Some(expected) = self.meta.cf_files.get(self.done) else {
                return Err(Error::Snapshot(format!("{}: more bytes came than it has", self.id)));
            };
            let name = data_name(Origin::Received, self.id, &expected.cf);
            let mut file = match self.current.take() {
                Some(file) => file,
                None => FileWriter::create(&self.dir, name)?,
            };
            let missing = expected.size.saturating_sub(file.size);
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX)));
            file.write(now)?;
            bytes = later;
            if file.size < expected.size {
                self.current = Some(file);
                continue;
            }
            let (size, checksum) = (file.size, file.checksum.clone().finalize());
            if (size, checksum) != (expected.size, expected.checksum) {
                return Err(Error::Snapshot(format!("{}: file {} arrived damaged", self.id, expected.cf)));
            }
            file.finish()?;
            self.done += 1;
        }
        Ok(())
    }

    /// Ends the snapshot; it exists from now on.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if bytes are missing.
    pub fn finish(self) -> Result<()> {
        if self.done < self.meta.cf_files.len() {
            return Err(Error::Snapshot(format!(
                "{}: the stream ended in file {} of {}",
                self.id,
                self.done + 1,
                self.meta.cf_files.len()
            )));
        }
        write_meta(&self.dir, Origin::Received, self.id, &self.meta)
    }
}
