//! Bounds, cuts and sizes, each against a plain model.

use bytes::Bytes;
use proto::{
    metapb::{Peer, Region, RegionEpoch},
    raft_cmdpb::{BatchSplitRequest, SplitRequest},
};
use storage::{Cf, Durability, Engine, MemEngine, WriteBatch, codec::encode_bytes};

use super::*;
use crate::error::Error;

fn region(start: &[u8], end: &[u8]) -> Region {
    Region {
        id: 1,
        start_key: Bytes::copy_from_slice(start),
        end_key: Bytes::copy_from_slice(end),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
        ..Default::default()
    }
}

fn limits(max_bytes: u64, split_bytes: u64) -> SplitLimits {
    SplitLimits { max_bytes, split_bytes, max_keys: u64::MAX / 2, split_keys: u64::MAX / 4, max_cuts: 10 }
}

/// An engine with these raw keys, each with a value that makes the pair 100 bytes.
fn raw(keys: impl IntoIterator<Item = String>) -> MemEngine {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    for key in keys {
        let value = vec![b'.'; 100 - key.len()];
        batch.put(Cf::Raw, key.into_bytes(), value);
    }
    engine.write(batch, Durability::Buffered).unwrap();
    engine
}

/// The numbers of keys on the parts that cuts make.
fn parts(keys: &[String], cuts: &[Bytes]) -> Vec<usize> {
    let mut counts = vec![0; cuts.len() + 1];
    for key in keys {
        counts[cuts.partition_point(|cut| &cut[..] <= key.as_bytes())] += 1;
    }
    counts
}

#[test]
fn a_bound_is_an_encoding_between_two_raw_keys_where_they_differ_early_3b() {
    let keys: &[&[u8]] =
        &[b"a", b"a\0", b"ab", b"abc", b"abcdefgh1", b"abcdefgi", b"abcdefgi2", b"b", b"user1", b"\xff\xff"];
    for pair in keys.windows(2) {
        match bound_between(pair[0], pair[1]) {
            Some(bound) => {
                assert!(pair[0] < &bound[..] && &bound[..] <= pair[1], "{pair:?}: {bound:?}");
                assert!(storage::codec::is_encoded(&bound), "{pair:?}: {bound:?}");
            }
            None => assert!(pair[1].starts_with(pair[0]), "{pair:?}: there is a bound between them"),
        }
    }
    assert_eq!(bound_between(b"user1999", b"user2000").unwrap(), encode_bytes(b"user2"), "as short as it can be");
    assert_eq!(bound_between(b"abcdefgh1", b"abcdefgh2"), None, "one group, no bound");
    assert_eq!(bound_between(b"abcdefgh\x01", b"abcdefgi").unwrap(), encode_bytes(b"abcdefgh"));
    assert!(bound_between(b"098", b"099").is_some(), "no prefix of the key does it");
}

#[test]
fn a_bound_never_comes_between_two_versions_of_a_key() {
    let version = |key: &str, ts: u64| [encode_bytes(key.as_bytes()), ts.to_be_bytes().to_vec()].concat();
    assert_eq!(bound_between(&version("k1", 1), &version("k1", 2)), None);
    assert_eq!(bound_between(&version("k1", 2), &version("k2", 1)).unwrap(), encode_bytes(b"k2"));
    assert_eq!(bound_between(&encode_bytes(b"k1"), &version("k1", 1)), None, "its lock and its value");
    assert_eq!(bound_between(&version("k1", 2), &encode_bytes(b"k2")).unwrap(), encode_bytes(b"k2"));
}

#[test]
fn a_cut_before_a_short_raw_key_is_exact() {
    for (before, key) in [("key049", "key050"), ("l~~~", "m"), ("key04999", "key050"), ("12345677zzz", "12345678")] {
        let bound = bound_for_raw(key.as_bytes()).unwrap();
        assert!(before.as_bytes() < &bound[..] && &bound[..] <= key.as_bytes(), "{before} {key}: {bound:?}");
        assert!(storage::codec::is_encoded(&bound));
    }
    // Longer keys stay with all that share their first eight bytes.
    assert_eq!(bound_for_raw(b"12345678xyz"), bound_for_raw(b"12345678"));
    assert_eq!((bound_for_raw(b""), bound_for_raw(b"\0\0")), (None, None));
    assert_eq!(bound_for_transactional(b"m"), encode_bytes(b"m"));
}

#[test]
fn split_keys_must_cut_into_parts_that_are_not_empty_3b() {
    let key = |text: &str| Bytes::from(encode_bytes(text.as_bytes()));
    let bounded = region(&key("b"), &key("y"));
    assert!(check_split_keys(&bounded, &[key("c"), key("m")]).is_ok());
    assert!(check_split_keys(&region(b"", b""), &[key("a"), key("z")]).is_ok());
    let wrong: &[&[Bytes]] = &[
        &[],
        &[key("b")],
        &[key("a")],
        &[key("y")],
        &[key("m"), key("z")],
        &[key("m"), key("m")],
        &[key("m"), key("c")],
        &[Bytes::from_static(b"plain")],
    ];
    for keys in wrong {
        assert!(matches!(check_split_keys(&bounded, *keys), Err(Error::AdminRefused { region_id: 1, .. })), "{keys:?}");
    }
}

fn split_at(cuts: &[(&str, u64, &[u64])], right_derive: bool) -> BatchSplitRequest {
    let request = |(key, id, peers): &(&str, u64, &[u64])| SplitRequest {
        split_key: encode_bytes(key.as_bytes()).into(),
        new_region_id: *id,
        new_peer_ids: peers.to_vec(),
        ..Default::default()
    };
    BatchSplitRequest { requests: cuts.iter().map(request).collect(), right_derive, ..Default::default() }
}

#[test]
fn the_parts_of_a_region_cover_it_and_share_an_epoch_3b() {
    let peer = |id, store_id| Peer { id, store_id, ..Default::default() };
    let key = |text: &str| Bytes::from(encode_bytes(text.as_bytes()));
    let parent = Region { peers: vec![peer(11, 1), peer(12, 2)], ..region(b"", &key("y")) };
    for right_derive in [true, false] {
        let parts = parts_of(&parent, &split_at(&[("c", 5, &[51, 52]), ("m", 6, &[61, 62])], right_derive)).unwrap();
        let ids: Vec<u64> = parts.iter().map(|part| part.id).collect();
        assert_eq!(ids, if right_derive { [5, 6, 1] } else { [1, 5, 6] });
        let bounds: Vec<_> = parts.iter().map(|part| (part.start_key.clone(), part.end_key.clone())).collect();
        assert_eq!(bounds, [(Bytes::new(), key("c")), (key("c"), key("m")), (key("m"), key("y"))]);
        assert!(parts.iter().all(|part| part.region_epoch == Some(RegionEpoch { conf_ver: 1, version: 3 })));
        for part in &parts {
            let expected = match part.id {
                1 => parent.peers.clone(),
                id => vec![peer(id * 10 + 1, 1), peer(id * 10 + 2, 2)],
            };
            assert_eq!(part.peers, expected);
        }
    }
}

#[test]
fn ids_that_do_not_fit_are_refused() {
    let peer = |id, store_id| Peer { id, store_id, ..Default::default() };
    let parent = Region { peers: vec![peer(11, 1), peer(12, 2)], ..region(b"", b"") };
    let wrong: &[&[(&str, u64, &[u64])]] = &[
        &[("c", 5, &[51])],
        &[("c", 5, &[51, 52, 53])],
        &[("c", 1, &[51, 52])],
        &[("c", 0, &[51, 52])],
        &[("c", 5, &[51, 0])],
        &[("c", 5, &[51, 12])],
        &[("c", 5, &[51, 52]), ("m", 5, &[61, 62])],
        &[("c", 5, &[51, 52]), ("m", 6, &[52, 62])],
    ];
    for cuts in wrong {
        assert!(matches!(parts_of(&parent, &split_at(cuts, true)), Err(Error::AdminRefused { .. })), "{cuts:?}");
    }
}

#[test]
fn a_region_within_its_limits_is_left_alone_and_counted() {
    let engine = raw((0..90).map(|n| format!("{n:03}")));
    let found = check_region(&engine, &region(b"", b""), &limits(9_000, 3_000), CutPolicy::Limits).unwrap();
    assert_eq!(found, Checked { bytes: 9_000, keys: 90, cuts: vec![] });
    // Only what lies in the region counts.
    let found = check_region(&engine, &region(b"010", b"020"), &limits(9_000, 3_000), CutPolicy::Limits).unwrap();
    assert_eq!((found.bytes, found.keys), (1_000, 10));
}

#[test]
fn a_large_region_is_cut_into_parts_of_the_split_size_3b() {
    let keys: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let engine = raw(keys.clone());
    let found = check_region(&engine, &region(b"", b""), &limits(4_500, 3_000), CutPolicy::Limits).unwrap();
    // The fourth part would have a third of the split size: it stays with the third.
    assert_eq!(parts(&keys, &found.cuts), [30, 30, 40]);
    check_split_keys(&region(b"", b""), &found.cuts).unwrap();
    let found = check_region(&engine, &region(b"", b""), &limits(9_900, 9_900), CutPolicy::Limits).unwrap();
    assert_eq!(parts(&keys, &found.cuts), [99, 1], "over the limit means cut, even if little is left");

    let by_keys = SplitLimits { max_keys: 60, split_keys: 40, ..limits(1 << 40, 1 << 40) };
    let found = check_region(&engine, &region(b"", b""), &by_keys, CutPolicy::Limits).unwrap();
    assert_eq!(parts(&keys, &found.cuts), [40, 60]);

    let few_cuts = SplitLimits { max_cuts: 2, ..limits(1_500, 1_000) };
    let found = check_region(&engine, &region(b"", b""), &few_cuts, CutPolicy::Limits).unwrap();
    assert_eq!(parts(&keys, &found.cuts), [10, 10, 80], "the rest waits for the next walk");
    assert!(found.keys < 100, "and is not walked over now");
}

#[test]
fn keys_without_a_bound_between_them_stay_together() {
    let keys: Vec<String> =
        (0..50).map(|n| format!("prefix-1/{n:03}")).chain((0..50).map(|n| format!("prefix-2/{n:03}"))).collect();
    let found = check_region(&raw(keys.clone()), &region(b"", b""), &limits(4_500, 3_000), CutPolicy::Limits).unwrap();
    assert_eq!(parts(&keys, &found.cuts), [50, 50]);
    let same: Vec<String> = (0..100).map(|n| format!("prefix-1/{n:03}")).collect();
    let found = check_region(&raw(same), &region(b"", b""), &limits(4_500, 3_000), CutPolicy::Limits).unwrap();
    assert_eq!(found, Checked { bytes: 10_000, keys: 100, cuts: vec![] });
}

#[test]
fn the_middle_is_where_half_of_the_bytes_are() {
    let keys: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let engine = raw(keys.clone());
    let mut batch = WriteBatch::new();
    batch.put(Cf::Write, encode_bytes(b"zzz"), vec![0; 10_000 - 9]);
    engine.write(batch, Durability::Buffered).unwrap();
    let found = check_region(&engine, &region(b"", b""), &limits(1, 1), CutPolicy::Half).unwrap();
    assert_eq!((found.bytes, found.keys), (20_000, 101), "all column families count");
    assert_eq!(parts(&keys, &found.cuts), [100, 0], "one pair of another family is as large as all of them");
    let found = check_region(&engine, &region(b"", b"100"), &limits(1, 1), CutPolicy::Half).unwrap();
    assert_eq!(parts(&keys, &found.cuts), [50, 50]);

    let uneven: Vec<String> = ["a".to_owned()].into_iter().chain((0..50).map(|n| format!("prefix-1/{n:03}"))).collect();
    let found = check_region(&raw(uneven.clone()), &region(b"", b""), &limits(1, 1), CutPolicy::Half).unwrap();
    assert_eq!(parts(&uneven, &found.cuts), [1, 50], "the nearest bound there is");
    for few in [vec![], vec!["a".to_owned()]] {
        let found = check_region(&raw(few), &region(b"", b""), &limits(1, 1), CutPolicy::Half).unwrap();
        assert!(found.cuts.is_empty());
    }
}

#[test]
fn sizes_follow_what_is_applied_and_are_never_below_zero() {
    let mut size = RegionSize::default();
    assert!(size.is_check_due(&limits(1_000, 500)), "nothing is known yet");
    size.end_walk(100, 2);
    let mut growth = Growth::default();
    growth.put(b"key", b"value");
    growth.put(b"key", b"value");
    growth.delete(b"key");
    size.grow(growth);
    assert_eq!((size.bytes(), size.keys()), (113, 3));
    let mut deletes = Growth::default();
    (0..1_000).for_each(|_| deletes.delete(b"key"));
    size.grow(deletes);
    assert_eq!((size.bytes(), size.keys()), (0, 0));
    size.reset();
    assert!(size.is_check_due(&limits(1_000, 500)));
}

/// A region that is split, or replaced by a snapshot, is another one: what a walk finds in the old one says nothing about it.
#[test]
fn a_walk_that_the_region_has_outlived_tells_nothing() {
    let mut size = RegionSize::default();
    let first = size.begin_walk();
    assert!(size.is_current(first));
    size.reset();
    assert!(!size.is_current(first));
    let second = size.begin_walk();
    assert!(size.is_current(second) && !size.is_current(first));
    size.end_walk(100, 2);
    assert!(!size.is_current(second), "it has been heard");
    assert_eq!(size.bound(), Some((100, 2)));
}

#[test]
fn a_walk_is_due_when_the_region_may_be_too_large_and_has_grown_since_the_last_3b() {
    let limits = limits(1_000, 640);
    let grown = |bytes: usize| {
        let mut growth = Growth::default();
        growth.put(b"", &vec![0; bytes]);
        growth
    };
    let mut size = RegionSize::default();
    size.end_walk(900, 9);
    size.grow(grown(100));
    assert!(!size.is_check_due(&limits), "it can be at the limit, not over it");
    // Deletes that may have hit nothing do not put the walk off.
    let mut deletes = Growth::default();
    (0..1_000).for_each(|_| deletes.delete(b"key"));
    size.grow(deletes);
    size.grow(grown(1));
    assert!(size.is_check_due(&limits));
    // A region that is too large and cannot be cut is not walked over again for nothing.
    size.end_walk(5_000, 50);
    assert!(!size.is_check_due(&limits));
    size.grow(grown(39));
    assert!(!size.is_check_due(&limits));
    size.grow(grown(1));
    assert!(size.is_check_due(&limits));
    // What was applied during the walk counts for the next one.
    size.begin_walk();
    size.grow(grown(60));
    assert!(size.is_walking());
    size.end_walk(990, 9);
    assert!(!size.is_walking() && size.is_check_due(&limits));

    let by_keys = SplitLimits { max_keys: 10, split_keys: 16, ..limits };
    size.end_walk(1, 9);
    size.grow(grown(0));
    assert!(!size.is_check_due(&by_keys));
    size.grow(grown(0));
    assert!(size.is_check_due(&by_keys));
}
