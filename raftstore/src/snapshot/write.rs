//! Writing a snapshot: into files where it is made, into tables of the kv engine where it arrives. It exists if its meta file does.
//!
//! Order where it arrives (invariant SNAP-WHOLE): the tables are durable; the meta file is written under a temporary name, synced and
//! renamed, and the folder synced. So a crash leaves either a whole snapshot or none. Files that are made here are not synced: after a
//! crash nobody wants them again.

use std::{io::Write, sync::Arc};

use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{SnapshotCfFile, SnapshotMeta},
};
use storage::Cf;

use super::{
    DurableFile, Origin, SnapshotDir, SnapshotId,
    read::PairCutter,
    store::{data_cf, data_name, meta_name, tables_name, temporary},
    tables::{Sorted, Tables},
};
use crate::{
    error::{Error, Result},
    region::contains_key,
};

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
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.write_buffer() } else { Ok(()) }
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.size += self.buffer.len() as u64;
        self.checksum.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Gives the file its name, its content being durable if anybody needs it after a crash. Returns size and checksum.
    fn finish(mut self, origin: Origin) -> Result<(u64, u32)> {
        self.write_buffer()?;
        self.file.flush()?;
        if origin == Origin::Received {
            self.file.sync()?;
        }
        self.dir.rename(&temporary(&self.name), &self.name)?;
        Ok((self.size, self.checksum.finalize()))
    }
}

/// Writes the meta file, which makes the snapshot exist.
fn write_meta(dir: &Arc<dyn SnapshotDir>, origin: Origin, id: SnapshotId, meta: &SnapshotMeta) -> Result<()> {
    let encoded = meta.encode_to_vec();
    let mut file = FileWriter::create(dir, meta_name(origin, id))?;
    file.write(&crc32fast::hash(&encoded).to_le_bytes())?;
    file.write(&encoded)?;
    file.finish(origin)?;
    if origin == Origin::Received {
        dir.sync()?;
    }
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
            let (size, checksum) = file.finish(Origin::Generated)?;
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

/// Writes a snapshot that is being received into tables: the bytes of its files, one file after the other as its meta lists them.
pub struct SnapshotSink {
    target: Target,
    id: SnapshotId,
    region: Region,
    meta: SnapshotMeta,
    /// Files that are complete.
    done: usize,
    current: Option<Arriving>,
}

/// Where received pairs go.
pub(super) enum Target {
    /// Into tables, with the meta file in the folder.
    Tables(Arc<dyn Tables>, Arc<dyn SnapshotDir>),
    /// They are only verified.
    Nowhere,
}

/// A file of which a part has come.
struct Arriving {
    cutter: PairCutter,
    table: Option<Box<dyn Sorted>>,
    size: u64,
    checksum: crc32fast::Hasher,
}

impl SnapshotSink {
    pub(super) fn new(target: Target, id: SnapshotId, region: Region, meta: SnapshotMeta) -> Self {
        SnapshotSink { target, id, region, meta, done: 0, current: None }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if they are more than the meta announced, a file is not what it should be, or a pair is not of the region;
    /// those of the engine if its tables cannot be written.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let Some(expected) = self.meta.cf_files.get(self.done) else {
                return Err(Error::Snapshot(format!("{}: more bytes came than it has", self.id)));
            };
            let mut file = match self.current.take() {
                Some(file) => file,
                None => Arriving::begin(&self.target, self.id, expected)?,
            };
            let missing = expected.size.saturating_sub(file.size);
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX)));
            file.take(now, &self.region)?;
            bytes = later;
            if file.size < expected.size {
                self.current = Some(file);
            } else {
                file.finish(self.id, expected)?;
                self.done += 1;
            }
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
        match &self.target {
            Target::Tables(_, dir) => write_meta(dir, Origin::Received, self.id, &self.meta),
            Target::Nowhere => Ok(()),
        }
    }
}

impl Arriving {
    fn begin(target: &Target, id: SnapshotId, expected: &SnapshotCfFile) -> Result<Self> {
        let cf = data_cf(id, expected)?;
        let table = match target {
            Target::Tables(tables, _) => Some(tables.writer(&tables_name(id), cf)?),
            Target::Nowhere => None,
        };
        Ok(Arriving { cutter: PairCutter::default(), table, size: 0, checksum: crc32fast::Hasher::new() })
    }

    fn take(&mut self, bytes: &[u8], region: &Region) -> Result<()> {
        self.size += bytes.len() as u64;
        self.checksum.update(bytes);
        let table = &mut self.table;
        self.cutter.feed(bytes, |key, value| {
            if !contains_key(region, key) {
                return Err(Error::Snapshot(format!("a pair does not belong to region {}", region.id)));
            }
            match table.as_mut().map_or(Ok(()), |table| table.put(key, value)) {
                Err(error @ storage::Error::Unsorted { .. }) => Err(Error::Snapshot(error.to_string())),
                other => Ok(other?),
            }
        })
    }

    fn finish(self, id: SnapshotId, expected: &SnapshotCfFile) -> Result<()> {
        if !self.cutter.is_empty() || (self.size, self.checksum.finalize()) != (expected.size, expected.checksum) {
            return Err(Error::Snapshot(format!("{id}: file {} arrived damaged", expected.cf)));
        }
        Ok(self.table.map_or(Ok(()), |table| table.finish())?)
    }
}
