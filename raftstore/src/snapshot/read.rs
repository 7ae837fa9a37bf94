//! Reading the files of a snapshot: as bytes to be sent, or as pairs to be restored. Whoever reads to the end has verified size
//! and checksum.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read},
    sync::Arc,
};

use bytes::Bytes;
use proto::raft_serverpb::SnapshotCfFile;

use super::{Origin, SnapshotDir, SnapshotId, store::data_name};
use crate::error::{Error, Result};

/// The longest key or value that is believed; anything longer means that the file is damaged.
const MAX_PART: u32 = 1 << 30;

/// The bytes of all files of a snapshot, one after the other.
pub struct SnapshotSource {
    dir: Arc<dyn SnapshotDir>,
    origin: Origin,
    id: SnapshotId,
    files: VecDeque<SnapshotCfFile>,
    current: Option<Box<dyn Read + Send>>,
}

impl SnapshotSource {
    pub(super) fn new(
        dir: Arc<dyn SnapshotDir>,
        origin: Origin,
        id: SnapshotId,
        files: impl IntoIterator<Item = SnapshotCfFile>,
    ) -> Self {
        SnapshotSource { dir, origin, id, files: files.into_iter().collect(), current: None }
    }

    /// The next bytes, at most `limit` and at least one; `None` at the end.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`], also if the files have been removed meanwhile.
    pub fn next_chunk(&mut self, limit: usize) -> Result<Option<Bytes>> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.current = Some(self.dir.open(&data_name(self.origin, self.id, &file.cf))?);
            }
            let Some(file) = &mut self.current else { continue };
            let mut chunk = Vec::with_capacity(limit);
            file.take(limit as u64).read_to_end(&mut chunk)?;
            if !chunk.is_empty() {
                return Ok(Some(chunk.into()));
            }
            self.current = None;
        }
    }
}

/// The pairs of one file of a snapshot.
pub struct PairReader {
    file: Box<dyn Read + Send>,
    name: String,
    expected: SnapshotCfFile,
    size: u64,
    checksum: crc32fast::Hasher,
}

impl PairReader {
    pub(super) fn open(dir: &Arc<dyn SnapshotDir>, name: String, expected: SnapshotCfFile) -> Result<Self> {
        let file: Box<dyn Read + Send> = Box::new(std::io::BufReader::with_capacity(256 << 10, dir.open(&name)?));
        Ok(PairReader { file, name, expected, size: 0, checksum: crc32fast::Hasher::new() })
    }

    /// The next pair; `None` at the end of a file that is whole and undamaged.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if it is not, [`Error::SnapshotIo`].
    pub fn next_pair(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if self.size == self.expected.size {
            let found = self.checksum.clone().finalize();
            return if found == self.expected.checksum { Ok(None) } else { Err(self.damaged()) };
        }
        let key_length = self.read_length()?;
        let value_length = self.read_length()?;
        let key = self.read(key_length)?;
        let value = self.read(value_length)?;
        Ok(Some((key, value)))
    }

    /// Reads to the end without looking at the pairs.
    ///
    /// # Errors
    /// See [`PairReader::next_pair`].
    pub fn verify(mut self) -> Result<()> {
        while self.size < self.expected.size {
            let step = (self.expected.size - self.size).min(256 << 10);
            self.read(step as u32)?;
        }
        self.next_pair().map(|_| ())
    }

    fn read_length(&mut self) -> Result<u32> {
        let bytes = self.read(4)?;
        let length = u32::from_le_bytes(bytes[..].try_into().expect("invariant: four bytes were just read"));
        if length > MAX_PART { Err(self.damaged()) } else { Ok(length) }
    }

    fn read(&mut self, length: u32) -> Result<Bytes> {
        if u64::from(length) > self.expected.size - self.size {
            return Err(self.damaged());
        }
        let mut bytes = vec![0; length as usize];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(self.damaged()),
            Err(error) => return Err(error.into()),
        }
        self.size += u64::from(length);
        self.checksum.update(&bytes);
        Ok(bytes.into())
    }

    fn damaged(&self) -> Error {
        Error::Snapshot(format!("file {} is damaged", self.name))
    }
}
