//! The disk of one member: what is written, what is synced, and what a crash leaves.
//!
//! It holds bytes, not messages: entries, snapshots and the membership as `eraftpb` encodes them. Whoever wrote them, either implementation
//! can be started on them, which is how a rolling change from one to the other works.
//!
//! Writes are taken in order and become durable in order, when [`Disk::sync`] is called. A crash keeps the durable state and a prefix of
//! what was in flight. Both `Storage` traits are implemented on it: raft-core is shown the durable log only, because it promises to
//! keep in memory what is on its way; the `raft` crate asks to be shown what is written.
//!
//! Invariant: the machine on disk has applied nothing that the durable log does not hold.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

use crate::dice::Dice;
use crate::machine::Machine;

/// Term, vote and commit index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hard {
    /// The current term.
    pub term: u64,
    /// Whom the node voted for in it.
    pub vote: u64,
    /// The commit index.
    pub commit: u64,
}

/// An entry, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The `eraftpb.Entry`.
    pub bytes: Bytes,
}

/// A snapshot, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// The `eraftpb.Snapshot`.
    pub bytes: Bytes,
}

/// What one Ready writes.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Number of the Ready.
    pub number: u64,
    /// The hard state, if it changed.
    pub hard: Option<Hard>,
    /// Entries that replace what stands at their index and everything after it.
    pub entries: Vec<Stored>,
    /// A snapshot that replaces the log.
    pub snapshot: Option<Image>,
    /// Whether it must be durable before anybody is told.
    pub must_sync: bool,
}

impl Write {
    fn is_empty(&self) -> bool {
        self.hard.is_none() && self.entries.is_empty() && self.snapshot.is_none()
    }
}

/// Why the log cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The entry is compacted.
    Compacted,
    /// The entry is not there yet.
    Unavailable,
}

/// A log in one state of durability.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Term, vote and commit index.
    pub hard: Hard,
    /// Index and term of the last entry that is gone.
    pub truncated: (u64, u64),
    entries: VecDeque<Stored>,
}

impl Log {
    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.truncated.0 + self.entries.len() as u64
    }

    /// Term of the entry at `index`.
    pub fn term(&self, index: u64) -> Result<u64, Gap> {
        if index == self.truncated.0 {
            return Ok(self.truncated.1);
        }
        self.range(index, index + 1).map(|mut entries| entries.next().map_or(0, |e| e.term))
    }

    /// The entries in `[low, high)`.
    pub fn range(&self, low: u64, high: u64) -> Result<impl Iterator<Item = &Stored>, Gap> {
        let first = self.truncated.0 + 1;
        if low < first {
            return Err(Gap::Compacted);
        }
        if high > self.last() + 1 {
            return Err(Gap::Unavailable);
        }
        Ok(self.entries.range((low - first) as usize..(high.max(low) - first) as usize))
    }

    fn apply(&mut self, write: &Write) {
        if let Some(image) = &write.snapshot {
            assert!(image.index >= self.truncated.0, "R-SNAP: a snapshot behind the log's start is written");
            self.entries.clear();
            self.truncated = (image.index, image.term);
            self.hard.commit = self.hard.commit.max(image.index);
        }
        if let Some(first) = write.entries.first() {
            let start = self.truncated.0 + 1;
            assert!(
                start <= first.index && first.index <= self.last() + 1,
                "R-LOG: entries written at {} into the log [{start}, {}]",
                first.index,
                self.last()
            );
            self.entries.truncate((first.index - start) as usize);
            self.entries.extend(write.entries.iter().cloned());
        }
        self.hard = write.hard.unwrap_or(self.hard);
    }

    fn compact(&mut self, index: u64) {
        while self.truncated.0 < index {
            let Some(gone) = self.entries.pop_front() else { return };
            self.truncated = (gone.index, gone.term);
        }
    }
}

/// The disk; see the module.
#[derive(Clone, Debug)]
pub struct Disk {
    durable: Log,
    written: Log,
    in_flight: VecDeque<Write>,
    machine: Machine,
    /// A snapshot that was ordered and not fetched yet.
    image: RefCell<Option<Image>>,
    image_wanted: Cell<bool>,
}

impl Disk {
    /// The disk of a member that has just been created.
    pub fn empty() -> Self {
        Disk::with_machine(Machine::empty())
    }

    /// The disk of a founding member: its log starts behind the state that all of them share, so whoever joins later needs a snapshot.
    pub fn founded(machine: Machine) -> Self {
        Disk::with_machine(machine)
    }

    fn with_machine(machine: Machine) -> Self {
        let (index, term) = (machine.applied, machine.term);
        let log = Log { hard: Hard { term, vote: 0, commit: index }, truncated: (index, term), ..Log::default() };
        Disk {
            durable: log.clone(),
            written: log,
            in_flight: VecDeque::new(),
            machine,
            image: RefCell::new(None),
            image_wanted: Cell::new(false),
        }
    }

    /// What survives a crash for certain.
    pub fn durable(&self) -> &Log {
        &self.durable
    }

    /// What is written, synced or not.
    pub fn written(&self) -> &Log {
        &self.written
    }

    /// The state machine on disk.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Takes a write.
    pub fn write(&mut self, write: Write) {
        if !write.is_empty() {
            self.written.apply(&write);
            self.in_flight.push_back(write);
        }
    }

    /// True if a write that must be durable before anybody is told is not durable yet.
    pub fn is_dirty(&self) -> bool {
        self.in_flight.iter().any(|write| write.must_sync)
    }

    /// The writes of all Readies up to `number` are durable now. Returns the snapshot among them.
    pub fn sync(&mut self, number: u64) -> Option<Image> {
        let mut snapshot = None;
        while let Some(write) = self.in_flight.front().filter(|write| write.number <= number) {
            self.durable.apply(write);
            snapshot = write.snapshot.clone().or(snapshot);
            self.in_flight.pop_front();
        }
        if let Some(image) = &snapshot {
            self.machine = Machine::from_image(image);
        }
        snapshot
    }

    /// The power fails: a prefix of what was in flight has arrived, the rest is gone.
    pub fn crash(&mut self, dice: &mut Dice) {
        let arrived = dice.below(self.in_flight.len() as u64 + 1) as usize;
        if let Some(number) = self.in_flight.iter().take(arrived).map(|write| write.number).last() {
            self.sync(number);
        }
        self.in_flight.clear();
        self.written = self.durable.clone();
        self.image_wanted.set(false);
        self.image.take();
    }

    /// Writes the state machine, unless it is ahead of the durable log, and makes the snapshot that was ordered.
    pub fn flush(&mut self, machine: &Machine) {
        if machine.applied > self.durable.last() {
            return;
        }
        self.machine = machine.clone();
        if self.image_wanted.take() && machine.applied > 0 {
            self.image.replace(Some(machine.to_image()));
        }
    }

    /// Drops the log up to `index`, but nothing that the machine on disk has not applied.
    pub fn compact(&mut self, index: u64) {
        let index = index.min(self.machine.applied);
        self.durable.compact(index);
        self.written.compact(index);
    }

    /// A snapshot for a member that lacks what is compacted. If there is none that is new enough, one is ordered. Each is fetched once: a
    /// member that joins later could not use it, because it would not find itself in it.
    pub fn fetch_image(&self, index: u64) -> Option<Image> {
        let index = index.max(self.durable.truncated.0);
        let image = self.image.take().filter(|image| image.index >= index);
        self.image_wanted.set(image.is_none());
        image
    }
}
