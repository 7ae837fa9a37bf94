//! What the store as a whole knows of its regions: their ranges, and messages for regions that are about to come into being.
//!
//! Owner: shared by all pollers, behind one lock that is held for a look or a change, never over I/O. A peer changes what concerns its
//! own region when a change was applied; so the map follows the region states on disk.
//!
//! Invariants: ranges of a store's regions never overlap (S-DISJOINT), and both maps hold the same regions (S-META-AGREE). Regions are
//! values: a change takes the old one out and puts a new one in.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use proto::{metapb::Region, raft_serverpb::RaftMessage};

/// Votes that are kept for regions without a peer; past it the oldest goes, as the network may lose any.
const MAX_EARLY_VOTES: usize = 64;

/// The store's knowledge behind its lock.
#[derive(Debug, Default)]
pub struct SharedMeta(Mutex<StoreMeta>);

impl SharedMeta {
    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, StoreMeta> {
        self.0.lock().expect("invariant: nobody panics while holding the store's regions")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct StoreMeta {
    regions: BTreeMap<u64, Region>,
    by_start: BTreeMap<Bytes, u64>,
    /// Regions as snapshots say that are on their way into this store.
    reserved: BTreeMap<u64, Region>,
    /// Regions of which the store has an uninitialised peer, and the id of that. They have no range yet.
    uninitialized: BTreeMap<u64, u64>,
    early_votes: VecDeque<RaftMessage>,
}

/// Have two regions keys in common?
fn overlap(a: &Region, b: &Region) -> bool {
    let starts_before_end = |a: &Region, b: &Region| b.end_key.is_empty() || a.start_key < b.end_key;
    starts_before_end(a, b) && starts_before_end(b, a)
}

impl StoreMeta {
    /// A region of this store.
    pub fn region(&self, region_id: u64) -> Option<&Region> {
        self.regions.get(&region_id)
    }

    /// The regions of this store that overlap `[start, end)`, in key order; an empty `end` is unbounded.
    pub fn overlapping<'a>(&'a self, start: &'a [u8], end: &'a [u8]) -> impl Iterator<Item = &'a Region> {
        let before = self.by_start.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(start))).next_back();
        let from = before.into_iter().chain(self.by_start.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)));
        from.filter_map(|(_, id)| self.regions.get(id))
            .skip_while(move |region| !region.end_key.is_empty() && region.end_key <= start)
            .take_while(move |region| end.is_empty() || region.start_key < end)
    }

    /// Takes in a region, in place of what was known of it.
    ///
    /// # Panics
    /// If it overlaps another region of the store.
    pub fn put(&mut self, region: Region) {
        // lab:begin 2B store_meta::put  hint="two maps that must say the same; out with the old one first"
        self.remove(region.id);
        if let Some(other) = self.overlapping(&region.start_key, &region.end_key).next() {
            panic!("invariant S-DISJOINT: region {region:?} overlaps {other:?} on one store");
        }
        self.by_start.insert(region.start_key.clone(), region.id);
        self.regions.insert(region.id, region);
        // lab:end
    }

    /// Forgets a region.
    pub fn remove(&mut self, region_id: u64) -> Option<Region> {
        let region = self.regions.remove(&region_id)?;
        self.by_start.remove(&region.start_key);
        Some(region)
    }

    /// The peer of a region is gone, whatever it was; its tombstone is on disk.
    pub fn bury(&mut self, region_id: u64) {
        self.remove(region_id);
        self.release(region_id);
        self.uninitialized.remove(&region_id);
    }

    /// A region was split into these parts, one of which has its id. Returns the ids of those that have an uninitialised peer here.
    ///
    /// # Panics
    /// If a part overlaps another region, or a new part is known already.
    pub fn split<'a>(&mut self, parts: impl Iterator<Item = &'a Region> + Clone) -> BTreeSet<u64> {
        // lab:begin 3B store_meta::split  hint="one part was known before; the keys of the others were its; who of them was made by a message?"
        let known = parts.clone().filter_map(|part| self.remove(part.id)).count();
        assert!(known == 1, "invariant S-SPLIT-IDS: of the parts of a split {known} were known before");
        let mut uninitialized = BTreeSet::new();
        for part in parts {
            self.put(part.clone());
            if self.uninitialized.remove(&part.id).is_some() {
                uninitialized.insert(part.id);
            }
        }
        uninitialized
        // lab:end
    }

    /// Reserves the range of a snapshot's region, or says which other region has it or part of it (S-SNAP-RANGE).
    ///
    /// # Errors
    /// The id of that region.
    pub fn reserve(&mut self, region: Region) -> Result<(), u64> {
        // lab:begin 2C store_meta::reserve  hint="who has keys of that range: regions, and snapshots that are on their way"
        let regions = self.overlapping(&region.start_key, &region.end_key);
        let reserved = self.reserved.values().filter(|other| overlap(other, &region));
        let taken = regions.chain(reserved).map(|other| other.id).find(|other| *other != region.id);
        taken.map_or(Ok(()), Err)?;
        self.reserved.insert(region.id, region);
        Ok(())
        // lab:end
    }

    /// Gives up what was reserved for a region.
    pub fn release(&mut self, region_id: u64) {
        self.reserved.remove(&region_id);
    }

    /// A snapshot has made a region what it is now.
    pub fn restored(&mut self, region: Region) {
        self.reserved.remove(&region.id);
        self.uninitialized.remove(&region.id);
        self.put(region);
    }

    /// Id of the uninitialised peer of a region.
    pub fn uninitialized(&self, region_id: u64) -> Option<u64> {
        self.uninitialized.get(&region_id).copied()
    }

    /// The store has an uninitialised peer of a region from now on.
    pub fn put_uninitialized(&mut self, region_id: u64, peer_id: u64) {
        self.uninitialized.insert(region_id, peer_id);
    }

    /// Keeps a vote for a region that has no peer here: it may be the child of a split that this store has not applied yet, and the
    /// candidate asks only once in an election timeout. The newest one of a region is enough.
    pub fn keep_early_vote(&mut self, message: RaftMessage) {
        self.take_early_vote(message.region_id);
        if self.early_votes.len() >= MAX_EARLY_VOTES {
            self.early_votes.pop_front();
        }
        self.early_votes.push_back(message);
    }

    /// The vote that was kept for a region.
    pub fn take_early_vote(&mut self, region_id: u64) -> Option<RaftMessage> {
        let at = self.early_votes.iter().position(|message| message.region_id == region_id)?;
        self.early_votes.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: u64, start: &'static str, end: &'static str) -> Region {
        Region { id, start_key: start.into(), end_key: end.into(), ..Default::default() }
    }

    fn ids<'a>(regions: impl Iterator<Item = &'a Region>) -> Vec<u64> {
        regions.map(|region| region.id).collect()
    }

    #[test]
    fn a_split_leaves_every_key_in_one_region_3b() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "m"));
        meta.put(region(2, "m", ""));
        meta.put_uninitialized(4, 40);
        let uninitialized = meta.split([region(3, "", "c"), region(4, "c", "g"), region(1, "g", "m")].iter());
        assert_eq!((uninitialized, meta.uninitialized(4)), (BTreeSet::from([4]), None));
        assert_eq!(ids(meta.overlapping(b"", b"")), [3, 4, 1, 2]);
        assert_eq!(ids(meta.overlapping(b"c", b"g")), [4]);
        assert_eq!(ids(meta.overlapping(b"d", b"ga")), [4, 1]);
        assert_eq!(ids(meta.overlapping(b"z", b"")), [2]);
        assert_eq!(meta.region(1), Some(&region(1, "g", "m")));
        meta.remove(4);
        assert_eq!(ids(meta.overlapping(b"c", b"g")), Vec::<u64>::new());
        assert_eq!(ids(meta.overlapping(b"b", b"h")), [3, 1]);
    }

    #[test]
    #[should_panic(expected = "S-DISJOINT")]
    fn regions_that_overlap_are_found_out_2b() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "m"));
        meta.put(region(2, "l", ""));
    }

    #[test]
    #[should_panic(expected = "S-SPLIT-IDS")]
    fn a_new_part_that_is_known_is_found_out_3b() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "m"));
        meta.put(region(2, "m", ""));
        meta.split([region(2, "", "c"), region(1, "c", "m")].iter());
    }

    #[test]
    fn a_region_with_another_start_stands_in_the_index_once_3b() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "m"));
        meta.put(region(1, "g", "m"));
        assert_eq!(ids(meta.overlapping(b"", b"")), [1]);
        meta.split([region(2, "g", "k"), region(1, "k", "m")].iter());
        assert_eq!(ids(meta.overlapping(b"", b"")), [2, 1]);
    }

    #[test]
    fn a_snapshot_must_not_cover_the_keys_of_another_region() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "m"));
        meta.put(region(2, "m", ""));
        assert_eq!(meta.reserve(region(1, "", "m")), Ok(()));
        assert_eq!(meta.reserve(region(1, "", "n")), Err(2));
        assert_eq!(meta.reserve(region(2, "", "")), Err(1));
        assert_eq!(meta.reserve(region(3, "a", "b")), Err(1));
        assert_eq!(meta.reserve(region(3, "x", "")), Err(2));
    }

    #[test]
    fn a_reserved_range_is_taken_until_it_is_given_up_or_the_region_is_there() {
        let mut meta = StoreMeta::default();
        meta.put(region(1, "", "g"));
        assert_eq!(meta.reserve(region(1, "", "m")), Ok(()));
        assert_eq!(meta.reserve(region(2, "h", "z")), Err(1));
        meta.release(1);
        assert_eq!(meta.reserve(region(2, "h", "z")), Ok(()));
        assert_eq!(meta.reserve(region(1, "", "m")), Err(2));
        meta.restored(region(2, "n", "z"));
        assert_eq!(meta.reserve(region(1, "", "m")), Ok(()));
    }

    #[test]
    fn the_newest_vote_of_a_region_is_kept_and_old_ones_make_room() {
        let vote = |region_id: u64, start: &'static str| RaftMessage {
            region_id,
            start_key: start.into(),
            ..Default::default()
        };
        let mut meta = StoreMeta::default();
        meta.keep_early_vote(vote(0, "first"));
        meta.keep_early_vote(vote(0, "second"));
        assert_eq!(meta.take_early_vote(0), Some(vote(0, "second")));
        assert_eq!(meta.take_early_vote(0), None);
        for id in 0..=MAX_EARLY_VOTES as u64 {
            meta.keep_early_vote(vote(id, ""));
        }
        assert_eq!(meta.take_early_vote(0), None);
        assert!(meta.take_early_vote(1).is_some() && meta.take_early_vote(MAX_EARLY_VOTES as u64).is_some());
    }
}
