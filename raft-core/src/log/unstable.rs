//! The tail of the log that is in memory: what is not known to be on this node's disk yet, or was not handed to the state machine yet.
//!
//! ```text
//!   on disk and handed over    on disk or being written       not handed out
//!                ... offset-1 | offset ........ handed_out-1 | handed_out ..... last
//! ```
//!
//! Entries stay here, and readable, until the write that carried them is reported as done and the state machine takes them: then they
//! move on to it, so that an entry is never read back that has just been written. A new leader may overwrite entries while
//! they are being written. The report of such a write must not be believed for the entries that were replaced, not even when an
//! entry with the same index and term comes back later (the ABA problem), because a write in between may still put something else
//! there. Therefore every write in flight remembers how far it is still *true*, and a truncation cuts that mark back for good.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use proto::eraftpb::{Entry, Snapshot};

/// A write that was handed out and is not reported yet.
#[derive(Clone, Copy, Debug)]
struct Write {
    /// The Ready that carries it.
    number: u64,
    /// When it is done, everything up to here is on disk. 0 when nothing of it is true any more.
    tail: u64,
    /// Index of the snapshot it carries, 0 if none.
    snapshot: u64,
}

/// What a report of finished writes has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persisted {
    /// Everything up to here is on disk now. 0 when the report proved nothing.
    pub tail: u64,
    /// Index of a snapshot that is on disk now, 0 if none.
    pub snapshot: u64,
}

/// The tail of the log that is in memory; see the module.
#[derive(Clone, Debug)]
pub struct Unstable {
    /// Index of the first entry, or of the one that will be first.
    offset: u64,
    entries: VecDeque<Entry>,
    /// Entries below this index are handed out. `offset <= handed_out <= offset + entries.len()`.
    handed_out: u64,
    /// Received and not yet on disk.
    snapshot: Option<Box<Snapshot>>,
    snapshot_handed_out: bool,
    writes: VecDeque<Write>,
}

impl Unstable {
    /// Nothing unstable; the next entry has index `offset`.
    pub fn new(offset: u64) -> Self {
        Unstable {
            offset,
            entries: VecDeque::new(),
            handed_out: offset,
            snapshot: None,
            snapshot_handed_out: false,
            writes: VecDeque::new(),
        }
    }

    /// Feeds `state` with everything that is here; of the numbers of writes only the distance from `newest` matters.
    pub fn fingerprint(&self, newest: u64, state: &mut impl Hasher) {
        let Unstable { offset, entries, handed_out, snapshot, snapshot_handed_out, writes } = self;
        (offset, entries, handed_out, snapshot, snapshot_handed_out, writes.len()).hash(state);
        for Write { number, tail, snapshot } in writes {
            (newest - number, tail, snapshot).hash(state);
        }
    }

    /// Index of the first entry in memory. Smaller indices are on disk (or in the pending snapshot).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Last index of the whole log.
    pub fn last_index(&self) -> u64 {
        self.offset + self.entries.len() as u64 - 1
    }

    /// The snapshot that is not on disk yet.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_deref()
    }

    /// Index and term of the snapshot that is not on disk yet.
    pub fn snapshot_position(&self) -> Option<(u64, u64)> {
        self.snapshot.as_ref().and_then(|s| s.metadata.as_ref()).map(|m| (m.index, m.term))
    }

    /// The term at `index`, if it is known here.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index >= self.offset {
            return self.entries.get((index - self.offset) as usize).map(|e| e.term);
        }
        self.snapshot_position().filter(|(at, _)| *at == index).map(|(_, term)| term)
    }

    /// The entries in `[low, high)`, which must lie here.
    pub fn range(&self, low: u64, high: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range((low - self.offset) as usize..(high - self.offset) as usize)
    }

    /// Adds the next entry to the log.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Adds entries to the log, replacing what stands at their indices and everything after.
    pub fn truncate_and_append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|e| e.index) else { return };
        for write in &mut self.writes {
            write.tail = write.tail.min(first - 1);
        }
        if first <= self.offset {
            self.offset = first;
            self.entries.clear();
        } else {
            self.entries.truncate((first - self.offset) as usize);
        }
        self.handed_out = self.handed_out.min(first);
        self.entries.extend(entries);
    }

    /// Replaces the whole log by a snapshot.
    pub fn restore(&mut self, index: u64, snapshot: Box<Snapshot>) {
        self.offset = index + 1;
        self.handed_out = index + 1;
        self.entries.clear();
        self.snapshot = Some(snapshot);
        self.snapshot_handed_out = false;
        for write in &mut self.writes {
            *write = Write { tail: 0, snapshot: 0, ..*write };
        }
    }

    /// True when there is something to hand out.
    pub fn has_next(&self) -> bool {
        self.handed_out <= self.last_index() || (self.snapshot.is_some() && !self.snapshot_handed_out)
    }

    /// Hands out what was not yet, as part of Ready `number`.
    pub fn hand_out(&mut self, number: u64) -> (Option<Box<Snapshot>>, Vec<Entry>) {
        if !self.has_next() {
            return (None, Vec::new());
        }
        let snapshot = if self.snapshot_handed_out { None } else { self.snapshot.clone() };
        let snapshot_index = snapshot.as_ref().and(self.snapshot_position()).map_or(0, |(index, _)| index);
        let entries: Vec<Entry> = self.range(self.handed_out, self.last_index() + 1).cloned().collect();
        self.handed_out = self.last_index() + 1;
        self.snapshot_handed_out = self.snapshot.is_some();
        self.writes.push_back(Write { number, tail: self.last_index(), snapshot: snapshot_index });
        (snapshot, entries)
    }

    /// Takes out the first `count` entries. They must be on disk.
    pub fn take(&mut self, count: usize) -> Vec<Entry> {
        let entries = self.entries.drain(..count).collect();
        self.offset += count as u64;
        self.give_back_memory();
        entries
    }

    /// Drops the entries up to `index`. They must be on disk, and the state machine must have them.
    pub fn forget(&mut self, index: u64) {
        let count = (index + 1).saturating_sub(self.offset);
        if count == 0 {
            return; // Most often: the state machine has taken them.
        }
        self.entries.drain(..count as usize);
        self.offset += count;
        self.give_back_memory();
    }

    /// All writes of Readies up to `number` are done.
    pub fn on_persisted(&mut self, number: u64) -> Persisted {
        let mut persisted = Persisted::default();
        while let Some(write) = self.writes.front().copied() {
            if write.number > number {
                break;
            }
            self.writes.pop_front();
            persisted.tail = persisted.tail.max(write.tail);
            persisted.snapshot = persisted.snapshot.max(write.snapshot);
        }
        if persisted.snapshot > 0 {
            self.snapshot = None;
            self.snapshot_handed_out = false;
        }
        persisted
    }

    /// A burst must not leave every group of a store with a large empty buffer.
    fn give_back_memory(&mut self) {
        const KEEP: usize = 512;
        if self.entries.is_empty() && self.entries.capacity() > KEEP {
            self.entries.shrink_to(KEEP);
        }
    }
}
