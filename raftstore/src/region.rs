//! Rules about regions, as pure functions.

use bytes::Bytes;
use proto::metapb::{Peer, Region, RegionEpoch};

use crate::error::{Error, Result};

/// Index and term at which the log of every new region starts, by bootstrap or split: nothing before it was ever written.
pub const INITIAL_INDEX: u64 = 5;
/// See [`INITIAL_INDEX`].
pub const INITIAL_TERM: u64 = 5;
/// Version and conf_ver of a region that was never split and never changed its members.
pub const INITIAL_EPOCH: RegionEpoch = RegionEpoch { conf_ver: 1, version: 1 };

/// Is `key` in `[start_key, end_key)`? An empty end is unbounded. Invariant S-KEY-APPLY.
pub fn contains_key(region: &Region, key: &[u8]) -> bool {
    key >= &region.start_key[..] && (region.end_key.is_empty() || key < &region.end_key[..])
}

/// Checks that a key lies in the region.
///
/// # Errors
/// [`Error::KeyNotInRegion`] with the key.
pub fn check_key(region: &Region, key: &Bytes) -> Result<()> {
    if contains_key(region, key) {
        return Ok(());
    }
    Err(Error::KeyNotInRegion { key: key.clone(), region: Box::new(region.clone()) })
}

/// Checks that `[start, end)` lies in the region; an empty `end` is unbounded.
///
/// # Errors
/// [`Error::KeyNotInRegion`] with the bound that sticks out.
pub fn check_range(region: &Region, start: &Bytes, end: &Bytes) -> Result<()> {
    if start < &region.start_key {
        return Err(Error::KeyNotInRegion { key: start.clone(), region: Box::new(region.clone()) });
    }
    if !region.end_key.is_empty() && (end.is_empty() || end > &region.end_key) {
        return Err(Error::KeyNotInRegion { key: end.clone(), region: Box::new(region.clone()) });
    }
    Ok(())
}

/// The peer of a region on a store.
pub fn peer_on_store(region: &Region, store_id: u64) -> Option<&Peer> {
    region.peers.iter().find(|p| p.store_id == store_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: &'static [u8], end: &'static [u8]) -> Region {
        Region {
            id: 1,
            start_key: Bytes::from_static(start),
            end_key: Bytes::from_static(end),
            region_epoch: Some(RegionEpoch { conf_ver: 1, version: 3 }),
            ..Default::default()
        }
    }

    fn b(s: &'static [u8]) -> Bytes {
        Bytes::from_static(s)
    }

    #[test]
    fn bounds_are_half_open_and_an_empty_end_is_unbounded() {
        let r = region(b"b", b"d");
        assert!(contains_key(&r, b"b") && contains_key(&r, b"c\xff"));
        assert!(!contains_key(&r, b"a\xff") && !contains_key(&r, b"d"));
        assert!(contains_key(&region(b"b", b""), b"\xff\xff"));
    }

    #[test]
    fn a_range_may_touch_the_end_but_not_pass_it() {
        let r = region(b"b", b"d");
        assert!(check_range(&r, &b(b"b"), &b(b"d")).is_ok());
        for (start, end) in [(b"a", b("c".as_bytes())), (b"b", b(b"e")), (b"b", b(b""))] {
            assert!(matches!(check_range(&r, &b(start), &end), Err(Error::KeyNotInRegion { .. })));
        }
        assert!(check_range(&region(b"", b""), &b(b""), &b(b"")).is_ok());
    }
}
