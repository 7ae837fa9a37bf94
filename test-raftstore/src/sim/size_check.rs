//! Rules about how large regions are.
//!
//! | id | rule |
//! |---|---|
//! | S-SIZE | a region is no larger than the upper bound that its peer has for it: what the last walk found, and all that was put since |
//! | L-SPLIT | after healing, no region stays larger than the limits allow, unless there is no place to cut it |
//!
//! Both say what `raftstore/src/split/size.rs` promises. The estimate beside the bound promises nothing: a put may overwrite, and a delete may
//! hit nothing.

use proto::metapb::Region;
use raftstore::split::{CutPolicy, SplitLimits, check_region};
use storage::Reader;

/// Compares the bounds of a peer with the size of its region, both as bytes and keys.
///
/// # Errors
/// What is too large.
pub fn check_bound(bound: (u64, u64), size: (u64, u64)) -> Result<(), String> {
    match size.0 <= bound.0 && size.1 <= bound.1 {
        true => Ok(()),
        false => {
            Err(format!("the region has (bytes, keys) {size:?}, and its peer believes that it has at most {bound:?}"))
        }
    }
}

/// Should a region of this size have been split, and can it be? A walk that finds a region within its limits is not repeated before a
/// sixteenth of what a part holds has been written; so much may a region be over them.
pub fn is_too_large(reader: &impl Reader, region: &Region, size: (u64, u64), limits: &SplitLimits) -> bool {
    let over = |size: u64, max: u64, split: u64| size > max.saturating_add(split / 16 + 1);
    let large = over(size.0, limits.max_bytes, limits.split_bytes) || over(size.1, limits.max_keys, limits.split_keys);
    large && check_region(reader, region, limits, CutPolicy::Limits).is_ok_and(|found| !found.cuts.is_empty())
}

#[cfg(test)]
mod tests {
    use storage::{Cf, Durability, Engine, MemEngine, WriteBatch};

    use super::*;

    #[test]
    fn a_bound_that_does_not_hold_is_noticed() {
        assert_eq!(check_bound((100, 10), (100, 10)), Ok(()));
        assert!(check_bound((100, 10), (101, 10)).is_err());
        assert!(check_bound((100, 10), (100, 11)).is_err());
    }

    #[test]
    fn a_region_over_its_limits_is_noticed_if_it_can_be_cut() {
        let limits = SplitLimits { max_bytes: 1_000, split_bytes: 600, max_keys: 16, split_keys: 8, max_cuts: 3 };
        let engine = |keys: &[&[u8]]| {
            let engine = MemEngine::new();
            let mut batch = WriteBatch::new();
            keys.iter().for_each(|key| batch.put(Cf::Raw, key.to_vec(), vec![0; 90]));
            engine.write(batch, Durability::Sync).unwrap();
            engine
        };
        let check = |keys: &[&[u8]], size| is_too_large(&engine(keys), &Region::default(), size, &limits);
        let many: Vec<[u8; 2]> = (0..18).map(|number| [b'k', number]).collect();
        let many: Vec<&[u8]> = many.iter().map(|key| &key[..]).collect();
        assert!(check(&many, (18 * 92, 18)));
        assert!(!check(&many[..11], (11 * 92, 11)), "about as large as allowed");
        assert!(!check(&[b"12345678a", b"12345678b"], (2_000, 2)), "no bound fits between its keys");
    }
}
