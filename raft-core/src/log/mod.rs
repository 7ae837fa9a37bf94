//! The log as the algorithm sees it: the persisted part in [`Storage`] and the unstable tail as one sequence.
//!
//! ```text
//!   truncated <= applied <= handed over <= committed <= last      (R-ORDER)
//!                           handed over <= persisted <= last      (unless `apply_unpersisted_limit` allows more)
//! ```
//!
//! Owned by one [`crate::Raft`]; nothing here sends anything.

mod unstable;

pub use unstable::Unstable;

use proto::eraftpb::{Entry, HardState, Snapshot};

use crate::invariant::invariant;
use crate::util::{entry_size, limit_size};
use crate::{Error, Result, Storage};

/// The log of one node. Indices count from 1; index 0 is the empty log's end and has term 0. In memory, what [`RaftLog::has_next_committed`]
/// looks at comes first, see [`crate::Raft`].
#[derive(Clone, Debug)]
#[repr(C)]
pub struct RaftLog<S> {
    committed: u64,
    /// Everything up to here is on this node's disk.
    persisted: u64,
    /// Everything up to here was handed to the state machine.
    handed_over: u64,
    /// Everything up to here was applied by the state machine.
    applied: u64,
    /// How far past `persisted` committed entries may be handed over.
    apply_unpersisted_limit: u64,
    unstable: Unstable,
    store: S,
    /// This node, for the messages of broken invariants.
    id: u64,
}

impl<S: Storage> RaftLog<S> {
    /// The log at start: all of it is on disk, and committed as far as the hard state or the state machine knows.
    pub fn new(id: u64, store: S, hard_state: &HardState, applied: u64) -> Result<Self> {
        let (first, last) = (store.first_index()?, store.last_index()?);
        // The commit index may be written lazily; what the state machine has applied was committed in any case.
        let applied = applied.max(first - 1);
        let committed = hard_state.commit.max(applied);
        if committed > last {
            return Err(Error::StateInvalid(format!(
                "commit index {} and applied index {applied} with a log that ends at {last}",
                hard_state.commit
            )));
        }
        let unstable = Unstable::new(last + 1);
        Ok(RaftLog {
            id,
            store,
            unstable,
            committed,
            persisted: last,
            handed_over: applied,
            applied,
            apply_unpersisted_limit: 0,
        })
    }

    /// The storage.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The storage.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// The tail in memory.
    pub fn unstable(&self) -> &Unstable {
        &self.unstable
    }

    /// Highest committed index.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Highest index on this node's disk.
    pub fn persisted(&self) -> u64 {
        self.persisted
    }

    /// Highest index that was handed to the state machine.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Highest applied index.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// First index that is not compacted.
    pub fn first_index(&self) -> Result<u64> {
        match self.unstable.snapshot_position() {
            Some((index, _)) => Ok(index + 1),
            None => self.store.first_index(),
        }
    }

    /// Last index.
    pub fn last_index(&self) -> u64 {
        self.unstable.last_index()
    }

    /// Term of the last entry; 0 if the log is empty.
    pub fn last_term(&self) -> u64 {
        self.term(self.last_index()).unwrap_or(0)
    }

    /// The term at `index`, for indices in `[first - 1, last]`.
    pub fn term(&self, index: u64) -> Result<u64> {
        if let Some(term) = self.unstable.term(index) {
            return Ok(term);
        }
        if index > self.last_index() {
            return Err(Error::Unavailable { index, last: self.last_index() });
        }
        if self.unstable.snapshot().is_some() {
            // The storage still shows the log that the pending snapshot replaces.
            return Err(Error::Compacted { index, first: self.first_index()? });
        }
        self.store.term(index)
    }

    /// True if the entry at `index` is there and has this term.
    pub fn match_term(&self, index: u64, term: u64) -> bool {
        self.term(index).is_ok_and(|t| t == term)
    }

    /// True if a log that ends with (`last_index`, `term`) holds at least what ours does (Raft paper, 5.4.1).
    pub fn is_up_to_date(&self, last_index: u64, term: u64) -> bool {
        // lab:begin 2AA log::is_up_to_date  hint="compare terms first, indices only between equal terms"
        let own_term = self.last_term();
        term > own_term || (term == own_term && last_index >= self.last_index())
        // lab:end
    }

    /// The entries in `[low, high)`, cut off once `max_size` bytes are exceeded, but at least one.
    pub fn slice(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>> {
        if low >= high {
            return Ok(Vec::new());
        }
        if high > self.last_index() + 1 {
            return Err(Error::Unavailable { index: high - 1, last: self.last_index() });
        }
        if self.unstable.snapshot().is_some() && low < self.unstable.offset() {
            return Err(Error::Compacted { index: low, first: self.unstable.offset() });
        }
        let split = self.unstable.offset().clamp(low, high);
        let mut entries = Vec::new();
        let mut room = max_size;
        if low < split {
            entries = self.store.entries(low, split, max_size)?;
            if (entries.len() as u64) < split - low {
                return Ok(entries);
            }
            room = room.saturating_sub(entries.iter().map(entry_size).sum());
        }
        if split < high {
            let mut count = limit_size(self.unstable.range(split, high), room);
            if !entries.is_empty() && count == 1 {
                // `limit_size` lets the first one through, but that rule is for the whole answer.
                count = usize::from(self.unstable.range(split, split + 1).all(|e| entry_size(e) <= room));
            }
            entries.extend(self.unstable.range(split, split + count as u64).cloned());
        }
        Ok(entries)
    }

    /// The entries from `low` to the end, limited like [`RaftLog::slice`].
    pub fn entries(&self, low: u64, max_size: u64) -> Result<Vec<Entry>> {
        self.slice(low, self.last_index() + 1, max_size)
    }

    /// Adds one entry behind the last.
    ///
    /// # Panics
    /// If its index is not the next one.
    pub fn push(&mut self, entry: Entry) {
        let (index, last) = (entry.index, self.last_index());
        invariant!("R-ORDER", self.id, index == last + 1, "entry {index} does not follow {last}");
        self.unstable.push(entry);
    }

    /// Adds entries, replacing what stands at their indices and everything after.
    ///
    /// # Panics
    /// If that would replace committed entries or leave a gap.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|e| e.index) else { return };
        let (committed, last) = (self.committed, self.last_index());
        invariant!(
            "R-ORDER",
            self.id,
            first > committed,
            "append at {first} replaces committed entries (<= {committed})"
        );
        invariant!("R-ORDER", self.id, first <= last + 1, "append at {first} leaves a gap after {last}");
        self.persisted = self.persisted.min(first - 1);
        self.unstable.truncate_and_append(entries);
    }

    /// A follower's part of replication: takes over `entries`, which stand behind (`index`, `log_term`) in the leader's log, and the
    /// leader's commit index. Returns the last index that is known to be equal to the leader's, or `None` if our log does not contain
    /// the entry in front.
    pub fn maybe_append(&mut self, index: u64, log_term: u64, commit: u64, mut entries: Vec<Entry>) -> Option<u64> {
        // lab:begin 2AB log::maybe_append  hint="append what is new; truncate from the first conflict only; commit = min(leader's, last new index)"
        if !self.match_term(index, log_term) {
            return None;
        }
        let last_new = index + entries.len() as u64;
        if let Some(position) = self.find_new(&entries) {
            entries.drain(..position);
            self.append(entries);
        }
        self.commit_to(commit.min(last_new));
        Some(last_new)
        // lab:end
    }

    /// Position of the first of `entries` that our log lacks or has with another term; `None` if it has all of them.
    fn find_new(&self, entries: &[Entry]) -> Option<usize> {
        entries.iter().position(|entry| !self.match_term(entry.index, entry.term))
    }

    /// The last index at or below `index` whose term is at most `term`, with that term: where two logs may still be equal, if the other
    /// one has `term` at `index`. An index whose term is not known any more is returned with term 0.
    pub fn find_conflict_by_term(&self, index: u64, term: u64) -> (u64, u64) {
        // lab:begin 2AB log::find_conflict_by_term  hint="walk down from index; whole terms are skipped at once, so that a round trip per term is enough"
        let mut index = index.min(self.last_index());
        loop {
            match self.term(index) {
                Ok(own) if own > term => index -= 1,
                Ok(own) => return (index, own),
                Err(_) => return (index, 0),
            }
        }
        // lab:end
    }

    /// Raises the commit index. Does nothing if it is there already.
    ///
    /// # Panics
    /// If `index` is past the end of the log.
    pub fn commit_to(&mut self, index: u64) {
        if index <= self.committed {
            return;
        }
        let last = self.last_index();
        invariant!("R-ORDER", self.id, index <= last, "commit index {index} past the end of the log {last}");
        self.committed = index;
    }

    /// A leader's commit rule: raises the commit index to `index` if the entry there is of `term`, the leader's own (Raft paper, 5.4.2).
    pub fn maybe_commit(&mut self, index: u64, term: u64) -> bool {
        // lab:begin 2AB log::maybe_commit  hint="an entry of an older term is never committed by counting; figure 8 of the paper says why"
        if index <= self.committed || !self.match_term(index, term) {
            return false;
        }
        self.commit_to(index);
        true
        // lab:end
    }

    /// See [`crate::Config::apply_unpersisted_limit`].
    pub fn set_apply_unpersisted_limit(&mut self, limit: u64) {
        self.apply_unpersisted_limit = limit;
    }

    /// Up to where entries may be handed to the state machine: committed, and on this node's own disk, or not far past it.
    fn hand_over_limit(&self) -> u64 {
        self.committed.min(self.persisted.saturating_add(self.apply_unpersisted_limit))
    }

    /// True when there are entries to apply.
    pub fn has_next_committed(&self) -> bool {
        self.unstable.snapshot().is_none() && self.handed_over < self.hand_over_limit()
    }

    /// Hands over the next entries to apply, at most `max_size` bytes, but at least one if there are any.
    ///
    /// # Panics
    /// If the storage cannot read entries that it said are persisted.
    pub fn next_committed(&mut self, max_size: u64) -> Vec<Entry> {
        if !self.has_next_committed() {
            return Vec::new();
        }
        let (low, high) = (self.handed_over + 1, self.hand_over_limit() + 1);
        let in_memory = self.unstable.offset();
        let entries = if low >= in_memory {
            let count = limit_size(self.unstable.range(low, high), max_size) as u64;
            if low == in_memory && low + count <= self.persisted + 1 {
                self.unstable.take(count as usize)
            } else {
                // Ahead of the disk: they stay in memory until they are there.
                self.unstable.range(low, low + count).cloned().collect()
            }
        } else {
            // After a restart; what is in memory comes with the next Ready.
            match self.slice(low, high.min(in_memory), max_size) {
                Ok(entries) => entries,
                Err(error) => panic!("R-ORDER violated on n{}: committed entries [{low}, {high}): {error}", self.id),
            }
        };
        self.handed_over += entries.len() as u64;
        entries
    }

    /// The state machine has applied everything up to `index`.
    ///
    /// # Panics
    /// If that goes back, or past what was handed over.
    pub fn applied_to(&mut self, index: u64) {
        let (applied, handed_over) = (self.applied, self.handed_over);
        invariant!("R-MONO", self.id, index >= applied, "applied index {index} after {applied}");
        invariant!(
            "R-ORDER",
            self.id,
            index <= handed_over,
            "applied index {index} past what was handed over {handed_over}"
        );
        self.applied = index;
    }

    /// A snapshot for node `to` at `wanted` or later, and new enough for the log to go on behind it.
    pub fn snapshot(&self, wanted: u64, to: u64) -> Result<Snapshot> {
        match self.unstable.snapshot() {
            Some(_) => Err(Error::SnapshotTemporarilyUnavailable),
            None => self.store.snapshot(wanted.max(self.first_index()? - 1), to),
        }
    }

    /// Replaces the whole log by a snapshot at `index`, which then counts as committed.
    ///
    /// # Panics
    /// If more than that is committed already.
    pub fn restore(&mut self, index: u64, snapshot: Box<Snapshot>) {
        let committed = self.committed;
        invariant!("R-MONO", self.id, index >= committed, "snapshot at {index} behind the commit index {committed}");
        // What is on disk past the commit index is about to be thrown away.
        self.persisted = self.persisted.min(committed);
        self.committed = index;
        self.unstable.restore(index, snapshot);
    }

    /// Forgets what was appended since the last write, as if it had never been.
    #[cfg(test)]
    pub fn forget_unstable(&mut self) {
        self.unstable = Unstable::new(self.persisted + 1);
    }

    /// Hands out what has to be written, as part of Ready `number`.
    pub fn hand_out_unstable(&mut self, number: u64) -> (Option<Box<Snapshot>>, Vec<Entry>) {
        let (snapshot, entries) = self.unstable.hand_out(number);
        if let Some((index, _)) = self.unstable.snapshot_position().filter(|_| snapshot.is_some()) {
            // The snapshot goes to the state machine before any entry behind it.
            self.handed_over = self.handed_over.max(index);
        }
        (snapshot, entries)
    }

    /// Writes of Readies up to `number` are durable. Returns true if that made more of the log durable.
    pub fn on_persisted(&mut self, number: u64) -> bool {
        let done = self.unstable.on_persisted(number);
        let before = self.persisted;
        self.persisted = self.persisted.max(done.tail).max(done.snapshot);
        self.unstable.forget(self.persisted.min(self.handed_over));
        self.persisted > before
    }
}
