//! Where the persisted part of the log lives: the [`Storage`] trait and an implementation in memory.
//!
//! Raft only *reads* through this trait. Writing is the job of the node's owner, who takes what to write from each
//! [`crate::Ready`]. The owner and the node share the thread, so there is no locking here.

use proto::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};

use crate::util::limit_size;
use crate::{Error, Result};

/// What a node remembers over a restart besides its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RaftState {
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The members as of the applied index.
    pub conf_state: ConfState,
}

/// Read access to the persisted log of one group.
///
/// The log covers `[first_index, last_index]`; an empty log has `last_index == first_index - 1`. Everything reported by
/// [`crate::RawNode::on_persisted`] must be readable from then on.
pub trait Storage {
    /// The state at start.
    fn initial_state(&self) -> Result<RaftState>;
    /// The entries in `[low, high)`, cut off once `max_size` bytes are exceeded, but at least one.
    ///
    /// Errors: [`Error::Compacted`] if `low < first_index`, [`Error::Unavailable`] if `high > last_index + 1`.
    fn entries(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>>;
    /// The term of the entry at `index`, which may be in `[first_index - 1, last_index]`: the term of the last compacted entry is
    /// still known, because the entry after it is matched against it.
    fn term(&self, index: u64) -> Result<u64>;
    /// Index of the first entry that is not compacted (one past the truncated index).
    fn first_index(&self) -> Result<u64>;
    /// Index of the last entry.
    fn last_index(&self) -> Result<u64>;
    /// A snapshot of the state machine at an applied index of at least `request_index`, to be sent to node `to`.
    ///
    /// May answer [`Error::SnapshotTemporarilyUnavailable`] while one is being made.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot>;
}

/// A [`Storage`] in memory, for tests and examples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemStorage {
    state: RaftState,
    /// Index and term of the entry just before `entries`.
    truncated: (u64, u64),
    entries: Vec<Entry>,
    snapshot: Snapshot,
}

impl MemStorage {
    /// An empty storage that knows no members.
    pub fn new() -> Self {
        MemStorage::default()
    }

    /// An empty storage of a group with these voters.
    pub fn with_voters(voters: impl IntoIterator<Item = u64>) -> Self {
        let conf_state = ConfState { voters: voters.into_iter().collect(), ..ConfState::default() };
        MemStorage { state: RaftState { conf_state, ..RaftState::default() }, ..MemStorage::default() }
    }

    /// Writes entries, replacing what stands at their indices and everything after.
    ///
    /// # Panics
    /// If the entries do not connect to the log or would overwrite compacted ones.
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let start = self.truncated.0 + 1;
        let end = start + self.entries.len() as u64;
        assert!(start <= first.index && first.index <= end, "append at {} to a log [{start}, {end})", first.index);
        self.entries.truncate((first.index - start) as usize);
        self.entries.extend_from_slice(entries);
    }

    /// Remembers the hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.state.hard_state = hard_state;
    }

    /// Remembers the members.
    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.state.conf_state = conf_state;
    }

    /// The hard state last set.
    pub fn hard_state(&self) -> &HardState {
        &self.state.hard_state
    }

    /// All entries that are not compacted.
    pub fn all_entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Drops the entries up to and including `index`. Does nothing if they are gone already.
    ///
    /// # Panics
    /// If `index` is past the end of the log.
    pub fn compact(&mut self, index: u64) {
        if index <= self.truncated.0 {
            return;
        }
        let count = (index - self.truncated.0) as usize;
        let term = self.entries[count - 1].term;
        self.entries.drain(..count);
        self.truncated = (index, term);
    }

    /// Makes the snapshot that [`Storage::snapshot`] will answer with.
    pub fn create_snapshot(&mut self, index: u64, data: bytes::Bytes) -> Result<Snapshot> {
        let metadata =
            SnapshotMetadata { conf_state: Some(self.state.conf_state.clone()), index, term: self.term(index)? };
        self.snapshot = Snapshot { data, metadata: Some(metadata) };
        Ok(self.snapshot.clone())
    }

    /// Replaces the whole log by a snapshot that was received.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) -> Result<()> {
        let metadata = snapshot.metadata.clone().unwrap_or_default();
        if metadata.index < self.truncated.0 {
            return Err(Error::SnapshotOutOfDate);
        }
        self.truncated = (metadata.index, metadata.term);
        self.entries.clear();
        self.state.conf_state = metadata.conf_state.unwrap_or_default();
        self.state.hard_state.term = self.state.hard_state.term.max(metadata.term);
        self.state.hard_state.commit = self.state.hard_state.commit.max(metadata.index);
        self.snapshot = snapshot;
        Ok(())
    }

    fn check_range(&self, low: u64, last: u64) -> Result<()> {
        let first = self.truncated.0 + 1;
        let end = self.truncated.0 + self.entries.len() as u64;
        if low < first {
            return Err(Error::Compacted { index: low, first });
        }
        if last > end {
            return Err(Error::Unavailable { index: last, last: end });
        }
        Ok(())
    }
}

impl Storage for MemStorage {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(self.state.clone())
    }

    fn entries(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>> {
        self.check_range(low, high.saturating_sub(1))?;
        let start = self.truncated.0 + 1;
        let range = &self.entries[(low - start) as usize..(high.max(low) - start) as usize];
        Ok(range[..limit_size(range.iter(), max_size)].to_vec())
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.truncated.0 {
            return Ok(self.truncated.1);
        }
        self.check_range(index, index)?;
        Ok(self.entries[(index - self.truncated.0 - 1) as usize].term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.truncated.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.truncated.0 + self.entries.len() as u64)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        let index = self.snapshot.metadata.as_ref().map_or(0, |m| m.index);
        if index == 0 || index < request_index {
            return Err(Error::SnapshotTemporarilyUnavailable);
        }
        Ok(self.snapshot.clone())
    }
}
