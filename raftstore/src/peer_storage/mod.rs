//! The raft log and raft state of one peer, as raft-core reads them.
//!
//! Owner: the peer. Reading only: what is to be written leaves with a [`PersistTask`](crate::log_writer::PersistTask). The
//! in-memory state is that of the last write handed out, which is what raft-core expects: entries that are not on disk yet are
//! readable from its own unstable log and from the cache here.
//!
//! Keeps R-ORDER: truncated ≤ applied ≤ last, checked when the peer is loaded.

mod entry_cache;
mod generation;

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use proto::{
    eraftpb::{ConfState, Entry, HardState, Snapshot},
    metapb::Region,
    raft_serverpb::{RaftApplyState, RaftLocalState, RaftTruncatedState},
};
use raft_core::{RaftState, Storage, entry_size};
use storage::{Cf, Cursor, Engine, Reader};

use self::{entry_cache::EntryCache, generation::Generation};
use crate::{
    error::{Error, Result},
    keys,
    membership::conf_state,
    peer::PeerContext,
    region::{INITIAL_INDEX, INITIAL_TERM},
    snapshot::SnapshotId,
    worker::Ticket,
};

/// See the module.
pub struct PeerStorage<E: Engine> {
    raft: E,
    region_id: u64,
    conf_state: ConfState,
    raft_state: RaftLocalState,
    truncated: RaftTruncatedState,
    last_term: u64,
    applied: u64,
    cache: EntryCache,
    /// About how many bytes the log has, as far as it was written since the last start.
    log_bytes: u64,
    generation: Generation,
}

impl<E: Engine> PeerStorage<E> {
    /// Loads the state of a region. A region that never had a raft state (it was just made by bootstrap) starts at index 5, term 5.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if records do not decode or contradict each other; the engines' errors.
    pub fn load(context: &PeerContext<E>, region: &Region) -> Result<Self> {
        let apply: RaftApplyState = read(&context.engines.kv, Cf::Raft, &keys::apply_state(region.id))?
            .ok_or_else(|| Error::Corrupted(format!("region {} has no apply state", region.id)))?;
        let truncated = apply.truncated_state.unwrap_or_default();
        let raft_state = read(&context.engines.raft, Cf::Default, &keys::raft_state(region.id))?;
        let mut raft_state = initial_raft_state(raft_state);
        let last = raft_state.last_index;
        if !(truncated.index <= apply.applied_index && apply.applied_index <= last) {
            return Err(Error::Corrupted(format!(
                "region {}: truncated {} ≤ applied {} ≤ last {last} does not hold; the raft log has lost entries that were synced",
                region.id, truncated.index, apply.applied_index
            )));
        }
        // The commit index is written along with entries only, so what is applied may be ahead of it.
        let hard_state = raft_state.hard_state.get_or_insert_default();
        hard_state.commit = hard_state.commit.max(apply.applied_index);
        let mut storage = PeerStorage {
            raft: context.engines.raft.clone(),
            region_id: region.id,
            conf_state: conf_state(region),
            raft_state,
            truncated,
            last_term: 0,
            applied: apply.applied_index,
            cache: EntryCache::new(context.config.entry_cache_bytes),
            log_bytes: 0,
            generation: Generation::default(),
        };
        storage.last_term = match storage.truncated.index == last {
            true => storage.truncated.term,
            false => storage.read_entry(last)?.term,
        };
        Ok(storage)
    }

    /// The state of a region that this store knows nothing of: an empty log. Term and vote are those of the last peer of the region
    /// here that had no more than this.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if the record does not decode; the engine's errors.
    pub fn uninitialized(context: &PeerContext<E>, region_id: u64) -> Result<Self> {
        let found: Option<RaftLocalState> = read(&context.engines.raft, Cf::Default, &keys::raft_state(region_id))?;
        let hard_state = found.and_then(|state| state.hard_state).unwrap_or_default();
        let hard_state = Some(HardState { commit: 0, ..hard_state });
        Ok(PeerStorage {
            raft: context.engines.raft.clone(),
            region_id,
            conf_state: ConfState::default(),
            raft_state: RaftLocalState { hard_state, last_index: 0 },
            truncated: RaftTruncatedState::default(),
            last_term: 0,
            applied: 0,
            cache: EntryCache::new(context.config.entry_cache_bytes),
            log_bytes: 0,
            generation: Generation::default(),
        })
    }

    /// All entries up to here are applied, as the peer was last told.
    pub fn applied_index(&self) -> u64 {
        self.applied
    }

    /// Notes what the apply worker has reported.
    pub fn set_applied(&mut self, index: u64) {
        self.applied = index;
    }

    /// Index and term of the last entry that is no longer in the log.
    pub fn truncated(&self) -> RaftTruncatedState {
        self.truncated
    }

    /// The raft state to write along with what was appended last.
    pub fn raft_state(&self) -> &RaftLocalState {
        &self.raft_state
    }

    /// Notes a new hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.raft_state.hard_state = Some(hard_state);
    }

    /// Notes entries that are handed to the log writer; they replace what stands at their indexes and after. Returns the indexes
    /// that stand in the engine and are now past the end of the log: they have to be deleted in the same write.
    pub fn append(&mut self, entries: &[Entry]) -> Range<u64> {
        // lab:begin 2B peer_storage::append  hint="the log may become shorter: what stands in the engine behind its new end?"
        let Some(last) = entries.last() else { return 0..0 };
        let stale = last.index + 1..self.raft_state.last_index + 1;
        self.raft_state.last_index = last.index;
        self.last_term = last.term;
        self.log_bytes += entries.iter().map(entry_size).sum::<u64>();
        self.cache.append(entries);
        stale
        // lab:end
    }

    /// Notes that compaction was applied: nobody asks for the entries up to `truncated` any more.
    pub fn compact(&mut self, truncated: RaftTruncatedState) {
        assert!(
            self.truncated.index < truncated.index && truncated.index <= self.applied,
            "invariant R-ORDER: region {}: compaction to {} with the log truncated at {} and applied up to {}",
            self.region_id,
            truncated.index,
            self.truncated.index,
            self.applied
        );
        let last = self.raft_state.last_index;
        let (before, after) = (last - self.truncated.index, last - truncated.index);
        self.log_bytes = self.log_bytes * after / before.max(1);
        self.truncated = truncated;
        self.cache.evict_to(truncated.index);
        self.generation.compacted(truncated.index);
    }

    /// About how many bytes the log has, as far as it was written since the last start.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Takes up raft-core's wish for a snapshot, if there is one.
    pub fn take_up_generation(&mut self) -> Option<Ticket> {
        self.generation.take_up()
    }

    /// What became of that wish.
    pub fn generated(&mut self, ticket: &Ticket, snapshot: Option<Box<Snapshot>>) {
        self.generation.made(ticket, snapshot);
    }

    /// Nobody wants a snapshot of this region any more.
    pub fn cancel_generation(&mut self) {
        self.generation.cancel();
    }

    /// A snapshot is about to replace the log. What is applied and truncated stays as it is until it has replaced the data, too;
    /// until then raft-core reads nothing of this log.
    pub fn begin_restore(&mut self, id: SnapshotId) {
        self.raft_state.last_index = id.index;
        self.last_term = id.term;
        self.log_bytes = 0;
        self.cache.clear();
        self.generation.cancel();
    }

    /// The snapshot has replaced the data.
    pub fn finish_restore(&mut self, id: SnapshotId) {
        self.truncated = RaftTruncatedState { index: id.index, term: id.term };
        self.applied = id.index;
    }

    /// Lets the cache of an idle region go: entries that are applied and were not asked for since the last tick.
    pub fn on_tick(&mut self) {
        self.cache.evict_idle(self.applied);
    }

    fn read_entry(&self, index: u64) -> Result<Entry> {
        read(&self.raft, Cf::Default, &keys::raft_log(self.region_id, index))?.ok_or_else(|| {
            Error::Corrupted(format!("region {}: log entry {index} is missing in the raft engine", self.region_id))
        })
    }

    fn read_entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let (start, end) = (keys::raft_log(self.region_id, low), keys::raft_log(self.region_id, high));
        let missing = |index| {
            Error::Corrupted(format!("region {}: log entry {index} is missing in the raft engine", self.region_id))
        };
        let mut cursor = self.raft.cursor(Cf::Default, Some(&start), Some(&end))?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        cursor.seek_to_first();
        while cursor.valid() {
            bytes += cursor.value().len() as u64;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            let entry = decode::<Entry>(Bytes::copy_from_slice(cursor.value()), cursor.key())?;
            let expected = low + entries.len() as u64;
            if entry.index != expected {
                return Err(missing(expected));
            }
            entries.push(entry);
            cursor.next();
        }
        cursor.status()?;
        if entries.is_empty() && low < high {
            return Err(missing(low));
        }
        Ok(entries)
    }
}

impl<E: Engine> Storage for PeerStorage<E> {
    fn initial_state(&self) -> raft_core::Result<RaftState> {
        Ok(RaftState {
            hard_state: self.raft_state.hard_state.unwrap_or_default(),
            conf_state: self.conf_state.clone(),
        })
    }

    fn entries(&self, low: u64, high: u64, max_size: u64) -> raft_core::Result<Vec<Entry>> {
        if low <= self.truncated.index {
            return Err(raft_core::Error::Compacted { index: low, first: self.truncated.index + 1 });
        }
        if high > self.raft_state.last_index + 1 {
            return Err(raft_core::Error::Unavailable { index: high - 1, last: self.raft_state.last_index });
        }
        if let Some(entries) = self.cache.entries(low, high, max_size) {
            return Ok(entries);
        }
        let from_engine = high.min(self.cache.first_index().unwrap_or(high).max(low));
        self.read_entries(low, from_engine, max_size).map_err(to_raft_error)
    }

    fn term(&self, index: u64) -> raft_core::Result<u64> {
        if index == self.raft_state.last_index {
            return Ok(self.last_term);
        }
        if index == self.truncated.index {
            return Ok(self.truncated.term);
        }
        if index < self.truncated.index {
            return Err(raft_core::Error::Compacted { index, first: self.truncated.index + 1 });
        }
        if index > self.raft_state.last_index {
            return Err(raft_core::Error::Unavailable { index, last: self.raft_state.last_index });
        }
        match self.cache.term(index) {
            Some(term) => Ok(term),
            None => self.read_entry(index).map(|e| e.term).map_err(to_raft_error),
        }
    }

    fn first_index(&self) -> raft_core::Result<u64> {
        Ok(self.truncated.index + 1)
    }

    fn last_index(&self) -> raft_core::Result<u64> {
        Ok(self.raft_state.last_index)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft_core::Result<Snapshot> {
        self.generation.ask(request_index).ok_or(raft_core::Error::SnapshotTemporarilyUnavailable)
    }
}

fn to_raft_error(error: Error) -> raft_core::Error {
    raft_core::Error::Storage(Box::new(error))
}

/// Raft state of a region whose records were made without one, by bootstrap or split: its log is taken for committed up to the initial
/// index. If an uninitialised peer was here before, its term and vote stand: it has told others of them.
fn initial_raft_state(found: Option<RaftLocalState>) -> RaftLocalState {
    let before = match found {
        Some(state) if state.last_index > 0 => return state,
        found => found.and_then(|state| state.hard_state).unwrap_or_default(),
    };
    let vote = if before.term >= INITIAL_TERM { before.vote } else { 0 };
    let hard_state = HardState { term: before.term.max(INITIAL_TERM), vote, commit: INITIAL_INDEX };
    RaftLocalState { hard_state: Some(hard_state), last_index: INITIAL_INDEX }
}

/// Reads and decodes a record.
pub(crate) fn read<R: Reader, M: Message + Default>(reader: &R, cf: Cf, key: &[u8]) -> Result<Option<M>> {
    reader.get(cf, key)?.map(|value| decode(value, key)).transpose()
}

/// Decodes a record.
pub(crate) fn decode<M: Message + Default>(value: Bytes, key: &[u8]) -> Result<M> {
    M::decode(value).map_err(|e| Error::Corrupted(format!("record {key:02x?}: {e}")))
}
