//! How large a region is, as far as it can be known without walking over its data.
//!
//! Owner: the peer. The last walk gives a size; what is applied afterwards is added up. Two sums are kept: an estimate for people
//! and the scheduler, and an upper bound that decides when the next walk is due. A put may overwrite and a delete may hit nothing, so the
//! estimate drifts; the upper bound counts every put as new and no delete, so a region cannot outgrow its limit unnoticed.

use super::SplitLimits;

/// A fraction of the size at which regions are cut has to be written before a region is walked over again.
const RECHECK_FRACTION: u64 = 16;

/// What applied entries did to the size of a region, judged by the entries alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    put_bytes: u64,
    put_keys: u64,
    deleted_bytes: u64,
    deleted_keys: u64,
}

impl Growth {
    /// A pair was put.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_bytes += (key.len() + value.len()) as u64;
        self.put_keys += 1;
    }

    /// A key was deleted. The length of its value is not known.
    pub fn delete(&mut self, key: &[u8]) {
        self.deleted_bytes += key.len() as u64;
        self.deleted_keys += 1;
    }

    /// Takes in what came after.
    pub fn add(&mut self, later: Growth) {
        self.put_bytes += later.put_bytes;
        self.put_keys += later.put_keys;
        self.deleted_bytes += later.deleted_bytes;
        self.deleted_keys += later.deleted_keys;
    }
}

/// Size of a region. Invariant S-SIZE: the upper bounds hold, and nothing is ever below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionSize {
    /// Bytes and keys that the last walk found; `None` before the first.
    checked: Option<(u64, u64)>,
    since: Growth,
    /// What was applied since the walk that is under way began.
    walk: Option<Growth>,
    /// Walks begun so far; the number of the last one.
    walks: u64,
}

impl RegionSize {
    /// Adds what was applied.
    pub fn grow(&mut self, growth: Growth) {
        self.since.add(growth);
        if let Some(during) = &mut self.walk {
            during.add(growth);
        }
    }

    /// A walk over the region begins. Returns its number.
    pub fn begin_walk(&mut self) -> u64 {
        self.walk = Some(Growth::default());
        self.walks += 1;
        self.walks
    }

    /// Is this the walk that is under way? What an earlier one has found is of a region with other bounds, or with other data.
    pub fn is_current(&self, walk: u64) -> bool {
        self.is_walking() && walk == self.walks
    }

    /// Is a walk under way?
    pub fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// The walk has counted this much. What was applied while it was under way it may have seen or not: it counts as not seen, so the
    /// bound stays a bound.
    pub fn end_walk(&mut self, bytes: u64, keys: u64) {
        self.checked = Some((bytes, keys));
        self.since = self.walk.take().unwrap_or_default();
    }

    /// The walk came to nothing.
    pub fn abandon_walk(&mut self) {
        self.walk = None;
    }

    /// Nothing is known any more: the region has new bounds, or other data. A walk that is under way is of no use.
    pub fn reset(&mut self) {
        *self = RegionSize { walks: self.walks, ..RegionSize::default() };
    }

    /// Bytes, about. Before the first walk: those applied since the start.
    pub fn bytes(&self) -> u64 {
        let (checked, _) = self.checked.unwrap_or_default();
        (checked + self.since.put_bytes).saturating_sub(self.since.deleted_bytes)
    }

    /// Keys, about.
    pub fn keys(&self) -> u64 {
        let (_, checked) = self.checked.unwrap_or_default();
        (checked + self.since.put_keys).saturating_sub(self.since.deleted_keys)
    }

    /// The upper bounds of bytes and keys; `None` before the first walk.
    pub fn bound(&self) -> Option<(u64, u64)> {
        let (bytes, keys) = self.checked?;
        Some((bytes + self.since.put_bytes, keys + self.since.put_keys))
    }

    /// Is it time to walk over the region? If its size is not known, or it may be over a limit and enough was written since the last
    /// walk for that one not to be repeated.
    pub fn is_check_due(&self, limits: &SplitLimits) -> bool {
        // lab:begin 3B split::is_check_due  hint="compare upper bounds with the limits; a region that cannot be cut must not be walked over for ever"
        let Some((bytes, keys)) = self.checked else { return true };
        let may_be_large =
            bytes + self.since.put_bytes > limits.max_bytes || keys + self.since.put_keys > limits.max_keys;
        let has_grown = self.since.put_bytes >= (limits.split_bytes / RECHECK_FRACTION).max(1)
            || self.since.put_keys >= (limits.split_keys / RECHECK_FRACTION).max(1);
        may_be_large && has_grown
        // lab:end
    }
}
