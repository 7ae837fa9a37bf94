//! Reading what a snapshot consists of: the bytes of its files, to be sent; the pairs in such bytes, as they come in.

use std::{collections::VecDeque, io::Read, sync::Arc};

use bytes::Bytes;
use proto::raft_serverpb::SnapshotCfFile;

use super::{Origin, SnapshotDir, SnapshotId, store::data_name};
use crate::error::{Error, Result};

/// The bytes of all files of a snapshot, one after the other.
pub struct SnapshotSource {
    dir: Arc<dyn SnapshotDir>,
    id: SnapshotId,
    files: VecDeque<SnapshotCfFile>,
    current: Option<Box<dyn Read + Send>>,
}

impl SnapshotSource {
    pub(super) fn new(
        dir: Arc<dyn SnapshotDir>,
        id: SnapshotId,
        files: impl IntoIterator<Item = SnapshotCfFile>,
    ) -> Self {
        SnapshotSource { dir, id, files: files.into_iter().collect(), current: None }
    }

    /// The next bytes, at most `limit` and at least one; `None` at the end.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`], also if the files have been removed meanwhile.
    pub fn next_chunk(&mut self, limit: usize) -> Result<Option<Bytes>> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.current = Some(self.dir.open(&data_name(Origin::Generated, self.id, &file.cf))?);
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

/// Bytes of the two lengths before each pair.
const HEAD: usize = 8;

/// The longest pair that is believed; anything longer means that the bytes are no pairs.
const MAX_PAIR: usize = 1 << 30;

/// Cuts the bytes of a file into pairs, wherever the pieces end in which they come.
#[derive(Default)]
pub(super) struct PairCutter {
    /// The beginning of a pair whose end has not come yet.
    rest: Vec<u8>,
}

impl PairCutter {
    /// Takes the next bytes and hands on the pairs that are complete.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        while let Some((key, value)) = first_pair(&self.rest[done..]) {
            each(key, value)?;
            done += HEAD + key.len() + value.len();
        }
        self.rest.drain(..done);
        if self.rest.len() > MAX_PAIR {
            return Err(Error::Snapshot("a pair does not end".to_owned()));
        }
        Ok(())
    }

    /// Whether the last pair has come to its end.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The pair at the beginning of `bytes`, if all of it is there.
fn first_pair(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key_length, bytes) = bytes.split_first_chunk::<4>()?;
    let (value_length, bytes) = bytes.split_first_chunk::<4>()?;
    let (key, bytes) = bytes.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
    Some((key, bytes.get(..u32::from_le_bytes(*value_length) as usize)?))
}
