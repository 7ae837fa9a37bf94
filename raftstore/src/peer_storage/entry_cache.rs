//! The newest entries of one region's log, in memory.
//!
//! Followers that keep up are served from here and the raft engine is not read at all. Bounded by bytes; the oldest go first.

use std::collections::VecDeque;

use proto::eraftpb::Entry;
use raft_core::entry_size;

/// A gapless run of entries that ends with the last one of the log.
pub(super) struct EntryCache {
    entries: VecDeque<Entry>,
    bytes: u64,
    limit: u64,
    /// Nothing was appended since the last tick.
    idle: bool,
}

impl EntryCache {
    pub(super) fn new(limit: usize) -> Self {
        EntryCache { entries: VecDeque::new(), bytes: 0, limit: limit as u64, idle: true }
    }

    /// Index of the oldest entry in the cache.
    pub(super) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|e| e.index)
    }

    fn position(&self, index: u64) -> Option<usize> {
        let position = index.checked_sub(self.first_index()?)? as usize;
        (position < self.entries.len()).then_some(position)
    }

    /// Adds entries; they replace what stands at their indexes and after.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        self.idle = false;
        while self.entries.back().is_some_and(|e| e.index >= first.index) {
            let replaced = self.entries.pop_back().expect("invariant: the back was just seen");
            self.bytes -= entry_size(&replaced);
        }
        if self.entries.back().is_some_and(|e| e.index + 1 != first.index) {
            self.entries.clear();
            self.bytes = 0;
        }
        for entry in entries {
            self.bytes += entry_size(entry);
            self.entries.push_back(entry.clone());
        }
        while self.bytes > self.limit {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        let evicted = self.entries.pop_front().expect("invariant: a cache with bytes has entries");
        self.bytes -= entry_size(&evicted);
    }

    /// The entries in `[low, high)` up to `max_bytes`, at least one; `None` if the first of them is not here.
    pub(super) fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Option<Vec<Entry>> {
        let start = self.position(low)?;
        let mut bytes = 0;
        let wanted = self.entries.range(start..).take_while(|e| e.index < high);
        let fitting = wanted.enumerate().take_while(|(i, e)| {
            bytes += entry_size(e);
            *i == 0 || bytes <= max_bytes
        });
        Some(fitting.map(|(_, e)| e.clone()).collect())
    }

    /// Term of a cached entry.
    pub(super) fn term(&self, index: u64) -> Option<u64> {
        self.position(index).map(|p| self.entries[p].term)
    }

    /// Drops the entries up to `applied` if nothing was appended since the last call.
    pub(super) fn evict_idle(&mut self, applied: u64) {
        if !std::mem::replace(&mut self.idle, true) {
            return;
        }
        self.evict_to(applied);
        self.entries.shrink_to_fit();
    }

    /// Drops all entries.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Drops the entries up to `index`.
    pub(super) fn evict_to(&mut self, index: u64) {
        while self.first_index().is_some_and(|first| first <= index) {
            self.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: vec![0; 100].into(), ..Default::default() }
    }

    fn run(range: std::ops::Range<u64>, term: u64) -> Vec<Entry> {
        range.map(|i| entry(i, term)).collect()
    }

    #[test]
    fn entries_of_a_new_leader_replace_the_tail() {
        let mut cache = EntryCache::new(1 << 20);
        cache.append(&run(5..10, 1));
        cache.append(&run(7..9, 2));
        assert_eq!(cache.entries(5, 20, u64::MAX).unwrap(), [run(5..7, 1), run(7..9, 2)].concat());
        assert_eq!((cache.term(6), cache.term(7), cache.term(9), cache.term(4)), (Some(1), Some(2), None, None));
    }

    #[test]
    fn a_gap_starts_the_cache_anew() {
        let mut cache = EntryCache::new(1 << 20);
        cache.append(&run(5..7, 1));
        cache.append(&run(20..22, 1));
        assert_eq!(cache.first_index(), Some(20));
        assert!(cache.entries(6, 21, u64::MAX).is_none());
    }

    #[test]
    fn the_oldest_go_when_the_limit_is_reached_and_one_entry_is_always_given() {
        let size = entry_size(&entry(1, 1));
        let mut cache = EntryCache::new(3 * size as usize);
        cache.append(&run(1..6, 1));
        assert_eq!(cache.first_index(), Some(3));
        assert_eq!(cache.entries(3, 6, 1).unwrap().len(), 1);
        assert_eq!(cache.entries(3, 6, 2 * size).unwrap().len(), 2);
        assert_eq!(cache.bytes, 3 * size);
    }

    #[test]
    fn an_idle_region_keeps_only_what_is_not_applied() {
        let mut cache = EntryCache::new(1 << 20);
        cache.append(&run(1..6, 1));
        cache.evict_idle(4);
        assert_eq!(cache.first_index(), Some(1), "it was busy until now");
        cache.evict_idle(4);
        assert_eq!(cache.first_index(), Some(5));
        cache.evict_idle(5);
        assert_eq!((cache.first_index(), cache.bytes), (None, 0));
    }
}
