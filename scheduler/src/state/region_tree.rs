//! All regions the scheduler knows, ordered by start key.
//!
//! Invariants: ranges never overlap; for no region does the epoch, or within an epoch the leader's term, go back. Ranges need not
//! touch: after a split that has been reported by halves there is a hole until the other half's heartbeat.
//!
//! Clients key their caches by epoch, so a report that is older than what is known is refused rather than merged.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::error::{Error, Result, epoch_text};
use super::region::RegionInfo;

/// What a store carries, counted over the region tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreLoad {
    /// Regions with a peer on the store.
    pub region_count: usize,
    /// Regions led from the store.
    pub leader_count: usize,
    /// Regions whose peer on the store lags behind.
    pub pending_count: usize,
    /// Sum of the regions' sizes, in mebibytes.
    pub region_size: u64,
    /// Sum of the sizes of the regions led, in mebibytes.
    pub leader_size: u64,
}

/// What accepting a report will change; from [`RegionTree::admit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Regions that the new one replaces, other than itself: parents of a split, sources of a merge.
    pub displaced: Vec<u64>,
    /// Did range, epoch or peers change, i.e. what is on disk?
    pub meta_changed: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct RegionTree {
    by_start: BTreeMap<Bytes, u64>,
    regions: BTreeMap<u64, RegionInfo>,
    loads: BTreeMap<u64, StoreLoad>,
}

impl RegionTree {
    /// Number of regions.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The region with this id.
    pub fn get(&self, region_id: u64) -> Option<&RegionInfo> {
        self.regions.get(&region_id)
    }

    /// The region that holds `key`; `None` in a hole.
    pub fn find(&self, key: &[u8]) -> Option<&RegionInfo> {
        self.at_or_before(key).filter(|region| region.contains(key))
    }

    /// The region right before the one that holds `key`; `None` if either is missing or there is a hole between them.
    pub fn find_previous(&self, key: &[u8]) -> Option<&RegionInfo> {
        let start = &self.find(key)?.meta.start_key;
        let below = (Bound::Unbounded, Bound::Excluded(start.as_ref()));
        let (_, id) = self.by_start.range::<[u8], _>(below).next_back()?;
        self.regions.get(id).filter(|previous| previous.meta.end_key == start)
    }

    /// The regions that overlap `[start, end)` in key order; an empty `end` is the end of the key space.
    pub fn scan<'a>(&'a self, start: &[u8], end: &'a [u8]) -> impl Iterator<Item = &'a RegionInfo> {
        let first =
            self.find(start).map_or_else(|| Bytes::copy_from_slice(start), |region| region.meta.start_key.clone());
        self.by_start
            .range::<[u8], _>((Bound::Included(first.as_ref()), Bound::Unbounded))
            .filter_map(|(_, id)| self.regions.get(id))
            .take_while(move |region| end.is_empty() || region.meta.start_key.as_ref() < end)
    }

    /// All regions in key order.
    pub fn iter(&self) -> impl Iterator<Item = &RegionInfo> {
        self.scan(b"", b"")
    }

    /// What a store carries.
    pub fn load_of(&self, store_id: u64) -> StoreLoad {
        self.loads.get(&store_id).copied().unwrap_or_default()
    }

    /// May this report be accepted? Changes nothing; [`RegionTree::put`] carries it out.
    ///
    /// # Errors
    /// [`Error::StaleRegion`] when the region, or one that overlaps it, is known at a newer epoch, or the region's leader at a newer
    /// term; [`Error::Overlap`] when an equally new one claims the same keys.
    pub fn admit(&self, region: &RegionInfo) -> Result<Admission> {
        let known = self.regions.get(&region.id());
        if let Some(known) = known {
            let (old, new) = (known.epoch(), region.epoch());
            let older_term = region.term > 0 && region.term < known.term;
            if new.version < old.version || new.conf_ver < old.conf_ver || older_term {
                return Err(stale(region, known));
            }
        }
        let mut displaced = Vec::new();
        for other in self.scan(&region.meta.start_key, &region.meta.end_key) {
            if other.id() == region.id() {
                continue;
            }
            let (mine, theirs) = (region.epoch().version, other.epoch().version);
            if mine < theirs {
                return Err(stale(region, other));
            }
            if mine == theirs {
                return Err(Error::Overlap { region_id: region.id(), known_id: other.id(), version: mine });
            }
            displaced.push(other.id());
        }
        let meta_changed = known.is_none_or(|known| known.meta != region.meta);
        Ok(Admission { displaced, meta_changed })
    }

    /// Takes the region in, in place of an older version of itself and of the regions it displaces.
    pub fn put(&mut self, region: RegionInfo, admission: &Admission) {
        for id in &admission.displaced {
            self.remove(*id);
        }
        self.remove(region.id());
        self.count(&region, |counter, amount| *counter += amount, |size, amount| *size += amount);
        self.by_start.insert(region.meta.start_key.clone(), region.id());
        self.regions.insert(region.id(), region);
    }

    /// Forgets a region.
    pub fn remove(&mut self, region_id: u64) -> Option<RegionInfo> {
        let region = self.regions.remove(&region_id)?;
        self.by_start.remove(&region.meta.start_key);
        self.count(&region, |counter, amount| *counter -= amount, |size, amount| *size -= amount);
        Some(region)
    }

    fn at_or_before(&self, key: &[u8]) -> Option<&RegionInfo> {
        let (_, id) = self.by_start.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        self.regions.get(id)
    }

    /// Adds the region to the loads of its stores, or takes it off again.
    fn count(&mut self, region: &RegionInfo, counter: fn(&mut usize, usize), size: fn(&mut u64, u64)) {
        for peer in &region.meta.peers {
            let load = self.loads.entry(peer.store_id).or_default();
            counter(&mut load.region_count, 1);
            size(&mut load.region_size, region.approximate_size);
        }
        if let Some(leader) = &region.leader {
            let load = self.loads.entry(leader.store_id).or_default();
            counter(&mut load.leader_count, 1);
            size(&mut load.leader_size, region.approximate_size);
        }
        for pending in &region.pending_peers {
            counter(&mut self.loads.entry(pending.store_id).or_default().pending_count, 1);
        }
        self.loads.retain(|_, load| *load != StoreLoad::default());
    }
}

fn stale(region: &RegionInfo, known: &RegionInfo) -> Error {
    Error::StaleRegion {
        region_id: region.id(),
        reported: region.standing(),
        known_id: known.id(),
        known: known.standing(),
    }
}

/// Do these regions cover the whole key space without overlap? For the regions that a bootstrap brings.
pub(crate) fn check_cover(regions: &[&RegionInfo]) -> Result<()> {
    let mut sorted = regions.to_vec();
    sorted.sort_by(|a, b| a.meta.start_key.cmp(&b.meta.start_key));
    let Some((first, last)) = sorted.first().zip(sorted.last()) else {
        return Err(Error::RangeNotCovered { reason: "there is no region".into() });
    };
    let gap = |reason: String| Err(Error::RangeNotCovered { reason });
    if !first.meta.start_key.is_empty() {
        return gap(format!("the first region, {}, does not start at the first key", first.id()));
    }
    for pair in sorted.windows(2) {
        let (left, right) = (&pair[0].meta, &pair[1].meta);
        if left.end_key.is_empty() || left.end_key > right.start_key {
            return Err(Error::invalid(format!("regions {} and {} overlap", left.id, right.id)));
        }
        if left.end_key < right.start_key {
            return gap(format!("there is a hole between regions {} and {}", left.id, right.id));
        }
    }
    if !last.meta.end_key.is_empty() {
        return gap(format!("the last region, {} ({}), is bounded", last.id(), epoch_text(last.epoch())));
    }
    Ok(())
}
