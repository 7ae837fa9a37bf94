//! Where a region that has grown too large is cut: a walk over the pairs of all its column families in key order.
//!
//! Owner: the worker that walks; the peer decides what becomes of the result. The walk reads one snapshot and changes nothing.

use bytes::Bytes;
use proto::metapb::Region;
use storage::{Cf, Cursor, Reader};

use super::bound::bound_between;
use crate::error::Result;

/// Limits on the size of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitLimits {
    /// A region with more bytes is split...
    pub max_bytes: u64,
    /// ...into parts of this many.
    pub split_bytes: u64,
    /// A region with more keys is split...
    pub max_keys: u64,
    /// ...into parts of this many.
    pub split_keys: u64,
    /// Cuts that one walk may propose. What is still too large afterwards is walked over again.
    pub max_cuts: usize,
}

impl Default for SplitLimits {
    fn default() -> Self {
        SplitLimits {
            max_bytes: 144 << 20,
            split_bytes: 96 << 20,
            max_keys: 1_440_000,
            split_keys: 960_000,
            max_cuts: 10,
        }
    }
}

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPolicy {
    /// Cut only what is over a limit.
    Limits,
    /// Cut in the middle, whatever the size.
    Half,
}

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bytes of keys and values walked over.
    pub bytes: u64,
    /// Pairs walked over.
    pub keys: u64,
    /// Where to cut, in order; empty if not at all.
    pub cuts: Vec<Bytes>,
}

/// Walks over a region.
///
/// # Errors
/// Those of the engine.
pub fn check_region<R: Reader>(
    reader: &R,
    region: &Region,
    limits: &SplitLimits,
    policy: CutPolicy,
) -> Result<Checked> {
    match policy {
        CutPolicy::Limits => cut_by_limits(reader, region, limits),
        CutPolicy::Half => cut_in_half(reader, region),
    }
}

/// How much lies between two cuts.
#[derive(Clone, Copy, Default)]
struct Part {
    bytes: u64,
    keys: u64,
}

impl Part {
    fn add(&mut self, bytes: u64, keys: u64) {
        self.bytes += bytes;
        self.keys += keys;
    }

    fn with(mut self, other: Part) -> Part {
        self.add(other.bytes, other.keys);
        self
    }

    fn is_over(self, limits: &SplitLimits) -> bool {
        self.bytes > limits.max_bytes || self.keys > limits.max_keys
    }
}

/// Cuts off a part whenever it is large enough, unless that leaves a last part that is not worth a region.
fn cut_by_limits<R: Reader>(reader: &R, region: &Region, limits: &SplitLimits) -> Result<Checked> {
    // lab:begin 3B split::cut_by_limits  hint="a bound goes between two keys; look at the last part again before you are done"
    let mut found = Checked::default();
    let (mut part, mut part_before) = (Part::default(), Part::default());
    walk(reader, region, |before, key, bytes| {
        let is_full = part.bytes >= limits.split_bytes || part.keys >= limits.split_keys;
        if is_full
            && found.cuts.len() < limits.max_cuts
            && let Some(bound) = bound_between(before, key)
        {
            found.cuts.push(bound);
            (part_before, part) = (part, Part::default());
        }
        part.add(bytes, 1);
        found.bytes += bytes;
        found.keys += 1;
        // With all cuts made, only whether the last one is to stay is still to be known.
        found.cuts.len() < limits.max_cuts || !part_before.with(part).is_over(limits)
    })?;
    if !(Part { bytes: found.bytes, keys: found.keys }).is_over(limits) {
        found.cuts.clear();
    } else if !part_before.with(part).is_over(limits) {
        found.cuts.pop(); // the last two parts together are no more than a region may hold
    }
    Ok(found)
    // lab:end
}

/// Cuts where half of the bytes are on either side, or at the nearest possible bound before.
fn cut_in_half<R: Reader>(reader: &R, region: &Region) -> Result<Checked> {
    let mut found = Checked::default();
    walk(reader, region, |_, _, bytes| {
        found.bytes += bytes;
        found.keys += 1;
        true
    })?;
    let (mut passed, mut cut) = (0, None);
    walk(reader, region, |before, key, bytes| {
        if passed > 0
            && let Some(bound) = bound_between(before, key)
        {
            cut = Some(bound);
        }
        let is_past_half = passed * 2 >= found.bytes && cut.is_some();
        passed += bytes;
        !is_past_half
    })?;
    found.cuts.extend(cut);
    Ok(found)
}

/// Shows every pair of the region to `visit`, in key order over all column families: the key before (at first: the start of the
/// region), the key, and the bytes of the pair. Ends early when `visit` says false.
fn walk<R: Reader>(reader: &R, region: &Region, mut visit: impl FnMut(&[u8], &[u8], u64) -> bool) -> Result<()> {
    let upper = (!region.end_key.is_empty()).then_some(&region.end_key[..]);
    let mut cursors = Vec::with_capacity(Cf::DATA.len());
    for cf in Cf::DATA {
        let mut cursor = reader.passing_cursor(cf, Some(&region.start_key), upper)?;
        cursor.seek_to_first();
        cursors.push(cursor);
    }
    let mut before = region.start_key.to_vec();
    while let Some(cursor) = cursors.iter_mut().filter(|c| c.valid()).min_by(|a, b| a.key().cmp(b.key())) {
        let bytes = (cursor.key().len() + cursor.value().len()) as u64;
        if !visit(&before, cursor.key(), bytes) {
            return Ok(());
        }
        before.clear();
        before.extend_from_slice(cursor.key());
        cursor.next();
    }
    for cursor in &cursors {
        cursor.status()?;
    }
    Ok(())
}
