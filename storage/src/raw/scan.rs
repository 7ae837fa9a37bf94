//! Scans, forward and reverse, over one range or several.
//!
//! A range is cut to the region of the reader instead of being refused: the official Rust client sends a reverse scan over several
//! regions to the region of its lower bound. Limits count live pairs only. A scan never returns fewer pairs than it found because
//! they are large: clients take a short answer for the end of the region, so that is an error.

use bytes::Bytes;
use proto::kvrpcpb;

use super::limits::{ResponseBudget, check_range};
use super::{Pair, RawStore, raw_cf, value};
use crate::{Cf, Cursor, Reader, RegionReader, Result, Storage};

/// One range to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Forward: the inclusive lower bound. Reverse: the *exclusive upper* bound, "" for the end of all keys.
    pub start_key: Bytes,
    /// Forward: the exclusive upper bound, "" for the end of all keys. Reverse: the *inclusive lower* bound.
    pub end_key: Bytes,
    /// Most pairs to return.
    pub limit: usize,
    /// Leave the values empty.
    pub key_only: bool,
    /// From the upper bound down.
    pub reverse: bool,
}

impl Scan {
    /// The range as `[lower, upper)`, "" for an unbounded side.
    fn bounds(&self) -> (&[u8], &[u8]) {
        if self.reverse { (&self.end_key, &self.start_key) } else { (&self.start_key, &self.end_key) }
    }
}

impl<S: Storage> RawStore<S> {
    /// The first `limit` live pairs of the part of the range that lies in the region, in the order of the scan. An empty range or a
    /// limit of 0 gives no pairs; a range whose bounds are the wrong way round is an error.
    pub async fn scan(&self, ctx: &kvrpcpb::Context, cf: &str, scan: &Scan) -> Result<Vec<Pair>> {
        // lab:begin 1 raw::scan  hint="validate, take a reader, then see scan_region"
        let cf = raw_cf(cf)?;
        self.check_scan(scan)?;
        if scan.limit == 0 {
            return Ok(Vec::new());
        }
        let region = self.storage.reader(ctx).await?;
        scan_region(&region, cf, scan, self.now(), &mut self.limits.response_budget())
        // lab:end
    }

    /// Runs several scans on the same view and returns their pairs one after the other. Each has its own limit.
    pub async fn batch_scan(&self, ctx: &kvrpcpb::Context, cf: &str, scans: &[Scan]) -> Result<Vec<Pair>> {
        let cf = raw_cf(cf)?;
        scans.iter().try_for_each(|scan| self.check_scan(scan))?;
        if scans.iter().all(|scan| scan.limit == 0) {
            return Ok(Vec::new());
        }
        let region = self.storage.reader(ctx).await?;
        let now = self.now();
        let mut budget = self.limits.response_budget();
        let mut pairs = Vec::new();
        for scan in scans {
            pairs.append(&mut scan_region(&region, cf, scan, now, &mut budget)?);
        }
        Ok(pairs)
    }

    fn check_scan(&self, scan: &Scan) -> Result<()> {
        self.limits.check_scan_limit(scan.limit)?;
        let (lower, upper) = scan.bounds();
        check_range(lower, upper)
    }
}

/// Scans the part of the range that lies in the region.
fn scan_region<R: Reader>(
    region: &RegionReader<R>,
    cf: Cf,
    scan: &Scan,
    now: u64,
    budget: &mut ResponseBudget,
) -> Result<Vec<Pair>> {
    // lab:begin 1 raw::scan_region  hint="clamp the range, walk a cursor from its near end, skip what has expired, ask for status at the end"
    let mut pairs = Vec::new();
    let (lower, upper) = scan.bounds();
    let Some((lower, upper)) = region.clamp(lower, upper) else { return Ok(pairs) };
    let mut cursor = region.reader.cursor(cf, Some(lower), (!upper.is_empty()).then_some(upper))?;
    if scan.reverse {
        cursor.seek_to_last();
    } else {
        cursor.seek_to_first();
    }
    while cursor.valid() && pairs.len() < scan.limit {
        let (value, expiry) = value::decode(cursor.value())?;
        if !value::is_expired(expiry, now) {
            let value = if scan.key_only { &[] } else { value };
            budget.take(cursor.key().len() + value.len())?;
            pairs.push((Bytes::copy_from_slice(cursor.key()), Bytes::copy_from_slice(value)));
        }
        if scan.reverse {
            cursor.prev();
        } else {
            cursor.next();
        }
    }
    cursor.status()?;
    Ok(pairs)
    // lab:end
}
