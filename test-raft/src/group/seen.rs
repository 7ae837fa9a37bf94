//! What a node showed after the last action: the rules compare it with what it shows now.

use std::collections::VecDeque;
use std::fmt;

use proto::eraftpb::Entry;
use raft_core::membership::is_conf_change;
use raft_core::{MemStorage, Raft, Role};

use super::digest_of;

/// The marks of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// How often the node was started.
    pub life: u64,
    /// Current term.
    pub term: u64,
    /// Whom it voted for in this term, 0 if nobody.
    pub vote: u64,
    /// Role.
    pub role: Role,
    /// The leader it knows, 0 if none.
    pub leader: u64,
    /// To whom it hands over its leadership, 0 if it does not.
    pub transfer: u64,
    /// Index of the snapshot that it has taken in and not on its disk yet, 0 if there is none.
    pub snapshot: u64,
    /// First index of its log.
    pub first: u64,
    /// Highest applied index.
    pub applied: u64,
    /// Highest committed index.
    pub commit: u64,
    /// Highest index on its disk.
    pub persisted: u64,
    /// Last index of its log.
    pub last: u64,
    /// Term of the last entry.
    pub last_term: u64,
}

impl Marks {
    /// The marks of `raft` in its life number `life`.
    pub fn of(life: u64, raft: &Raft<MemStorage>) -> Self {
        let last = raft.last_index();
        Marks {
            life,
            term: raft.term(),
            vote: raft.vote(),
            role: raft.role(),
            leader: raft.leader_id(),
            transfer: raft.transfer_target().unwrap_or(0),
            snapshot: raft.pending_snapshot().map_or(0, |(index, _)| index),
            first: raft.first_index(),
            applied: raft.applied(),
            commit: raft.committed(),
            persisted: raft.persisted(),
            last,
            last_term: raft.log_term(last).unwrap_or(0),
        }
    }

    /// True if the node led the same term in the same life at both moments.
    pub fn same_reign(&self, other: &Marks) -> bool {
        self.role == Role::Leader && other.role == Role::Leader && (self.life, self.term) == (other.life, other.term)
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Marks { role, term, vote, first, last, last_term, commit, applied, persisted, .. } = self;
        write!(
            f,
            "{role:?} @{term} vote n{vote} log [{first}, {last}@{last_term}] disk {persisted} commit {commit} applied {applied}"
        )
    }
}

/// One entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Its term.
    pub term: u64,
    /// A digest of everything in it.
    pub digest: u64,
    /// Whether it carries a change of membership.
    pub is_change: bool,
}

impl Position {
    fn of(entry: &Entry) -> Self {
        let digest = digest_of(&(entry.index, entry.term, entry.entry_type, &entry.data, &entry.context));
        Position { term: entry.term, digest, is_change: is_conf_change(entry) }
    }
}

/// A copy of a node's log: of each entry its term and a digest.
#[derive(Clone, Debug, Default, Hash)]
pub struct LogMirror {
    /// Index of the first entry.
    first: u64,
    /// Term of the entry in front of the first one, if it is known.
    base_term: Option<u64>,
    entries: VecDeque<Position>,
}

/// How a log differs from what it was.
#[derive(Clone, Debug, Default)]
pub struct LogChange {
    /// The first index at which the log differs; `None` if it does not. Compaction is no difference.
    pub from: Option<u64>,
    /// What stood there before, and at all indices after.
    pub replaced: Vec<Position>,
}

impl LogMirror {
    /// Index of the first entry.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Indices in `[low, high]` of entries that carry a change of membership.
    pub fn changes(&self, low: u64, high: u64) -> impl Iterator<Item = u64> + '_ {
        (low.max(self.first)..=high).filter(|index| self.get(*index).is_some_and(|position| position.is_change))
    }

    /// What stands at `index`.
    pub fn get(&self, index: u64) -> Option<Position> {
        index.checked_sub(self.first).and_then(|offset| self.entries.get(offset as usize)).copied()
    }

    /// The term at `index`, from one before the first entry on.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index + 1 == self.first { self.base_term } else { self.get(index).map(|position| position.term) }
    }

    /// Takes over the log of `raft`. Entries before `suspect` are compared by their terms only: nothing but a message that carries an
    /// entry with an index can change what stands there without changing the term.
    pub fn update(&mut self, raft: &Raft<MemStorage>, suspect: u64) -> LogChange {
        let (first, last) = (raft.first_index(), raft.last_index());
        self.compact(first);
        self.base_term = raft.log_term(first - 1);
        let end = self.last().min(last);
        let differs = |index: &u64| *index >= suspect || raft.log_term(*index) != self.term(*index);
        let from = (first..=end).find(differs).unwrap_or(end + 1);
        let replaced: Vec<Position> = self.entries.drain((from - first) as usize..).collect();
        if from <= last {
            let entries = raft.log_entries(from, last + 1, u64::MAX).unwrap_or_default();
            self.entries.extend(entries.iter().map(Position::of));
        }
        self.change(from, replaced)
    }

    fn change(&self, from: u64, replaced: Vec<Position>) -> LogChange {
        let same = replaced.iter().zip(self.entries.range((from - self.first) as usize..)).take_while(|(a, b)| a == b);
        let same = same.count();
        let from = from + same as u64;
        if from > self.last() && same == replaced.len() {
            return LogChange::default();
        }
        LogChange { from: Some(from), replaced: replaced[same..].to_vec() }
    }

    /// Forgets what stands before `first`, and starts there if nothing remains.
    fn compact(&mut self, first: u64) {
        let gone = first.saturating_sub(self.first).min(self.entries.len() as u64);
        self.entries.drain(..gone as usize);
        if self.first > first {
            self.entries.clear();
        }
        self.first = first;
    }
}

/// Marks and log of one node.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The marks.
    pub marks: Marks,
    /// The log.
    pub log: LogMirror,
}
