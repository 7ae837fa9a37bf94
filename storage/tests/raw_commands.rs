//! The raw commands: bad input, ranges, time to live, compare-and-swap and checksum, over a region with bounds.

#[path = "support/raw_fixture.rs"]
mod raw_fixture;
mod support;

use bytes::Bytes;
use pollster::block_on;
use proto::kvrpcpb::Context;
use raw_fixture::Fixture;
use storage::raw::{Checksum, Limits, Scan};
use storage::{Cf, Durability, Engine, Error, WriteBatch};
use support::over_both_engines;

over_both_engines!(
    column_families_are_checked,
    keys_and_values_are_checked,
    batches_keep_order_and_the_last_put_wins,
    ranges_are_removed,
    scans_forward,
    scans_backward,
    scans_are_cut_to_the_region,
    scan_limits_and_reversed_ranges,
    a_response_is_never_cut_short,
    batch_scans,
    pairs_expire,
    scans_count_live_pairs_only,
    compare_and_swap_decides_on_the_value,
    compare_and_swap_sees_expired_values_as_absent,
    checksums_add_up_over_ranges,
    keys_outside_the_region_are_refused,
    damaged_values_are_reported,
);

fn forward(start: &'static str, end: &'static str, limit: usize) -> Scan {
    Scan { start_key: start.into(), end_key: end.into(), limit, ..Scan::default() }
}

fn backward(upper: &'static str, lower: &'static str, limit: usize) -> Scan {
    Scan { start_key: upper.into(), end_key: lower.into(), limit, reverse: true, ..Scan::default() }
}

fn column_families_are_checked(engine: &impl Engine) {
    let raw = Fixture::new(engine).raw;
    let ctx = Context::default();
    for name in ["", "default"] {
        block_on(raw.put(&ctx, name, "k".into(), "v".into(), 0)).unwrap();
        assert_eq!(block_on(raw.get(&ctx, name, b"k")), Ok(Some(Bytes::from("v"))));
    }
    assert_eq!(engine.get(Cf::Default, b"k"), Ok(None), "raw data has a column family of its own");
    for name in ["lock", "write"] {
        let refused = Error::TransactionalCf { name: name.into() };
        assert_eq!(block_on(raw.put(&ctx, name, "k".into(), "v".into(), 0)), Err(refused.clone()));
        assert_eq!(block_on(raw.scan(&ctx, name, &forward("", "", 1))), Err(refused.clone()));
        assert_eq!(block_on(raw.delete_range(&ctx, name, "a".into(), "b".into())), Err(refused));
    }
    let unknown = block_on(raw.get(&ctx, "nosuch", b"k")).unwrap_err();
    assert_eq!(unknown, Error::UnknownCf { name: "nosuch".into() });
    assert!(unknown.to_string().contains("use \"default\""), "the message says what to do: {unknown}");
}

fn keys_and_values_are_checked(engine: &impl Engine) {
    let limits = Limits { max_key_len: 4, max_value_len: 3, ..Limits::default() };
    let raw = Fixture::with(engine, "", "", limits).raw;
    let ctx = Context::default();
    let long = Error::KeyTooLarge { len: 5, limit: 4 };
    block_on(raw.put(&ctx, "", "4444".into(), "333".into(), 0)).unwrap();
    block_on(raw.put(&ctx, "", "4444".into(), Bytes::new(), 0)).unwrap();
    assert_eq!(block_on(raw.get(&ctx, "", b"4444")), Ok(Some(Bytes::new())), "an empty value is a value");
    for (key, error) in [("", Error::KeyEmpty), ("55555", long)] {
        let key = Bytes::from(key);
        assert_eq!(block_on(raw.put(&ctx, "", key.clone(), "v".into(), 0)), Err(error.clone()));
        let pairs = vec![("ok".into(), "v".into()), (key.clone(), "v".into())];
        assert_eq!(block_on(raw.batch_put(&ctx, "", pairs, &[])), Err(error.clone()));
        assert_eq!(block_on(raw.get(&ctx, "", &key)), Err(error.clone()));
        assert_eq!(block_on(raw.batch_get(&ctx, "", std::slice::from_ref(&key))), Err(error.clone()));
        assert_eq!(block_on(raw.get_key_ttl(&ctx, "", &key)), Err(error.clone()));
        assert_eq!(block_on(raw.delete(&ctx, "", key.clone())), Err(error.clone()));
        assert_eq!(block_on(raw.batch_delete(&ctx, "", vec!["ok".into(), key.clone()])), Err(error.clone()));
        assert_eq!(block_on(raw.compare_and_swap(&ctx, "", key, "v".into(), None, 0)), Err(error));
    }
    let large = Error::ValueTooLarge { len: 4, limit: 3 };
    assert_eq!(block_on(raw.put(&ctx, "", "k".into(), "4444".into(), 0)), Err(large.clone()));
    assert_eq!(block_on(raw.compare_and_swap(&ctx, "", "k".into(), "4444".into(), None, 0)), Err(large));
    assert_eq!(block_on(raw.get(&ctx, "", b"ok")), Ok(None), "a refused batch changes nothing");
}

fn batches_keep_order_and_the_last_put_wins(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    let ctx = Context::default();
    let pairs = vec![("b".into(), "1".into()), ("a".into(), "2".into()), ("b".into(), "3".into())];
    block_on(fixture.raw.batch_put(&ctx, "", pairs, &[])).unwrap();
    let keys = ["b", "x", "a"].map(Bytes::from);
    let found = block_on(fixture.raw.batch_get(&ctx, "", &keys)).unwrap();
    assert_eq!(found, [("b".into(), "3".into()), ("a".into(), "2".into())], "absent keys are left out");
    block_on(fixture.raw.batch_delete(&ctx, "", vec!["b".into(), "x".into()])).unwrap();
    assert_eq!(block_on(fixture.raw.batch_get(&ctx, "", &keys)), Ok(vec![("a".into(), "2".into())]));
    block_on(fixture.raw.batch_put(&ctx, "", Vec::new(), &[])).unwrap();
    block_on(fixture.raw.batch_delete(&ctx, "", Vec::new())).unwrap();
    assert_eq!(block_on(fixture.raw.batch_get(&ctx, "", &[])), Ok(Vec::new()));
    let pairs = vec![("c".into(), "1".into()), ("d".into(), "1".into()), ("e".into(), "1".into())];
    let refused = block_on(fixture.raw.batch_put(&ctx, "", pairs, &[1, 2]));
    assert_eq!(refused, Err(Error::TtlCount { ttls: 2, pairs: 3 }));
}

fn ranges_are_removed(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    let remove = |start: &'static str, end: &'static str| {
        block_on(fixture.raw.delete_range(&Context::default(), "", start.into(), end.into()))
    };
    fixture.put_all(&["a", "b", "c", "d", "e"]);
    remove("b", "d").unwrap();
    assert_eq!(fixture.scan(&forward("", "", 10)).unwrap(), ["a", "d", "e"]);
    remove("d", "d").unwrap();
    assert!(matches!(remove("e", "a"), Err(Error::ReversedRange { .. })));
    assert_eq!(fixture.scan(&forward("", "", 10)).unwrap(), ["a", "d", "e"]);
    remove("d", "").unwrap();
    assert_eq!(fixture.scan(&forward("", "", 10)).unwrap(), ["a"]);
    remove("", "").unwrap();
    assert_eq!(fixture.scan(&forward("", "", 10)).unwrap(), Vec::<String>::new());
}

fn scans_forward(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    fixture.put_all(&["a", "b", "bb", "c", "d"]);
    let table: [(Scan, &[&str]); 8] = [
        (forward("", "", 10), &["a", "b", "bb", "c", "d"]),
        (forward("b", "", 10), &["b", "bb", "c", "d"]),
        (forward("ba", "d", 10), &["bb", "c"]),
        (forward("", "", 2), &["a", "b"]),
        (forward("b", "b", 10), &[]),
        (forward("x", "", 10), &[]),
        (forward("", "a", 10), &[]),
        (forward("", "", 0), &[]),
    ];
    for (scan, expected) in table {
        assert_eq!(fixture.scan(&scan).unwrap(), expected, "{scan:?}");
    }
    let keys_only = Scan { key_only: true, ..forward("a", "b", 10) };
    let found = block_on(fixture.raw.scan(&Context::default(), "", &keys_only)).unwrap();
    assert_eq!(found, [("a".into(), Bytes::new())]);
}

fn scans_backward(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    fixture.put_all(&["a", "b", "bb", "c", "d"]);
    let table: [(Scan, &[&str]); 7] = [
        (backward("", "", 10), &["d", "c", "bb", "b", "a"]),
        (backward("c", "", 10), &["bb", "b", "a"]),
        (backward("c", "b", 10), &["bb", "b"]),
        (backward("", "bb", 10), &["d", "c", "bb"]),
        (backward("", "", 2), &["d", "c"]),
        (backward("b", "b", 10), &[]),
        (backward("a", "", 10), &[]),
    ];
    for (scan, expected) in table {
        assert_eq!(fixture.scan(&scan).unwrap(), expected, "{scan:?}");
    }
}

fn scans_are_cut_to_the_region(engine: &impl Engine) {
    Fixture::new(engine).put_all(&["a", "b", "c", "d", "e"]);
    let fixture = Fixture::with(engine, "b", "d", Limits::default());
    let table: [(Scan, &[&str]); 8] = [
        (forward("", "", 10), &["b", "c"]),
        (forward("c", "", 10), &["c"]),
        (forward("a", "c", 10), &["b"]),
        (forward("d", "", 10), &[]),
        (backward("", "", 10), &["c", "b"]),
        (backward("e", "a", 10), &["c", "b"]),
        (backward("c", "a", 10), &["b"]),
        (backward("b", "a", 10), &[]),
    ];
    for (scan, expected) in table {
        assert_eq!(fixture.scan(&scan).unwrap(), expected, "{scan:?}");
    }
    let ranges = [(Bytes::new(), Bytes::new())];
    let checksum = block_on(fixture.raw.checksum(&Context::default(), "", &ranges)).unwrap();
    assert_eq!(checksum.total_kvs, 2);
}

fn scan_limits_and_reversed_ranges(engine: &impl Engine) {
    let fixture = Fixture::with(engine, "", "", Limits { max_scan_limit: 5, ..Limits::default() });
    fixture.put_all(&["a"]);
    assert_eq!(fixture.scan(&forward("", "", 5)).unwrap(), ["a"]);
    assert_eq!(fixture.scan(&forward("", "", 6)), Err(Error::ScanLimit { limit: 6, max: 5 }));
    let reversed = Error::ReversedRange { lower: b"b".to_vec(), upper: b"a".to_vec() };
    assert_eq!(fixture.scan(&forward("b", "a", 1)), Err(reversed.clone()));
    assert_eq!(fixture.scan(&backward("a", "b", 1)), Err(reversed.clone()));
    assert_eq!(fixture.scan(&forward("b", "a", 0)), Err(reversed.clone()));
    let ranges = [("b".into(), "a".into())];
    assert_eq!(block_on(fixture.raw.checksum(&Context::default(), "", &ranges)), Err(reversed));
}

fn a_response_is_never_cut_short(engine: &impl Engine) {
    let fixture = Fixture::with(engine, "", "", Limits { max_response_bytes: 6, ..Limits::default() });
    fixture.put_all(&["a", "b", "c", "d"]);
    assert_eq!(fixture.scan(&forward("", "", 3)).unwrap(), ["a", "b", "c"]);
    assert_eq!(fixture.scan(&forward("", "", 4)), Err(Error::ResponseTooLarge { max: 6 }));
    let keys_only = Scan { key_only: true, ..forward("", "", 4) };
    assert_eq!(fixture.scan(&keys_only).unwrap().len(), 4);
    let keys = ["a", "b", "c", "d"].map(Bytes::from);
    let found = block_on(fixture.raw.batch_get(&Context::default(), "", &keys));
    assert_eq!(found, Err(Error::ResponseTooLarge { max: 6 }));
}

fn batch_scans(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    fixture.put_all(&["a", "b", "c", "d"]);
    let scans = [forward("a", "c", 1), forward("b", "", 2), backward("c", "", 9), forward("", "", 0)];
    let pairs = block_on(fixture.raw.batch_scan(&Context::default(), "", &scans)).unwrap();
    let keys: Vec<Bytes> = pairs.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b", "c", "b", "a"]);
    let scans = [forward("a", "c", 1), forward("c", "a", 1)];
    let refused = block_on(fixture.raw.batch_scan(&Context::default(), "", &scans));
    assert!(matches!(refused, Err(Error::ReversedRange { .. })));
}

fn pairs_expire(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    fixture.put_for("k", "v", 10);
    fixture.put_for("for ever", "v", 0);
    fixture.put_for("long", "v", u64::MAX);
    assert_eq!((fixture.ttl("k"), fixture.ttl("for ever"), fixture.ttl("none")), (Some(10), Some(0), None));
    fixture.set_time(1_009);
    assert_eq!(fixture.get("k"), Some(Bytes::from("v")));
    assert_eq!(fixture.ttl("k"), Some(1));
    fixture.set_time(1_010);
    assert_eq!(fixture.get("k"), None);
    assert_eq!(fixture.ttl("k"), None);
    assert_eq!(fixture.get("long"), Some(Bytes::from("v")));
    assert_eq!(fixture.get("for ever"), Some(Bytes::from("v")));
    fixture.put_for("k", "again", 0);
    assert_eq!(fixture.ttl("k"), Some(0), "a new value has its own time");
    let ctx = Context::default();
    let pairs = || vec![("a".into(), "v".into()), ("b".into(), "v".into())];
    for (ttls, expected) in
        [(&[][..], [Some(0), Some(0)]), (&[5][..], [Some(5), Some(5)]), (&[5, 0][..], [Some(5), Some(0)])]
    {
        block_on(fixture.raw.batch_put(&ctx, "", pairs(), ttls)).unwrap();
        assert_eq!([fixture.ttl("a"), fixture.ttl("b")], expected);
    }
}

fn scans_count_live_pairs_only(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    for (key, ttl) in [("a", 5), ("b", 0), ("c", 5), ("d", 0), ("e", 100)] {
        fixture.put_for(key, "v", ttl);
    }
    fixture.set_time(1_005);
    assert_eq!(fixture.scan(&forward("", "", 2)).unwrap(), ["b", "d"]);
    assert_eq!(fixture.scan(&backward("", "", 2)).unwrap(), ["e", "d"]);
    let keys = ["a", "b", "e"].map(Bytes::from);
    assert_eq!(block_on(fixture.raw.batch_get(&Context::default(), "", &keys)).unwrap().len(), 2);
    let all = [(Bytes::new(), Bytes::new())];
    assert_eq!(block_on(fixture.raw.checksum(&Context::default(), "", &all)).unwrap().total_kvs, 3);
}

fn compare_and_swap_decides_on_the_value(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    assert_eq!(fixture.cas("1", Some("0"), 0), (false, None));
    assert_eq!(fixture.get("k"), None);
    assert_eq!(fixture.cas("1", None, 0), (true, None));
    assert_eq!(fixture.cas("2", None, 0), (false, Some("1".into())));
    assert_eq!(fixture.cas("2", Some("0"), 0), (false, Some("1".into())));
    assert_eq!(fixture.get("k"), Some("1".into()));
    assert_eq!(fixture.cas("", Some("1"), 0), (true, Some("1".into())));
    assert_eq!(fixture.cas("3", None, 0), (false, Some("".into())), "an empty value is not an absent one");
    assert_eq!(fixture.cas("3", Some(""), 0), (true, Some("".into())));
    assert_eq!(fixture.get("k"), Some("3".into()));
}

fn compare_and_swap_sees_expired_values_as_absent(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    fixture.put_for("k", "1", 5);
    assert_eq!(fixture.cas("2", None, 0), (false, Some("1".into())));
    fixture.set_time(1_005);
    assert_eq!(fixture.cas("2", Some("1"), 0), (false, None));
    assert_eq!(fixture.cas("2", None, 7), (true, None));
    assert_eq!(fixture.ttl("k"), Some(7));
}

fn checksums_add_up_over_ranges(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    for (key, value) in [("a", "1"), ("b", "22"), ("c", "333")] {
        fixture.put_for(key, value, 0);
    }
    let checksum = |ranges: &[(&'static str, &'static str)]| {
        let ranges: Vec<(Bytes, Bytes)> = ranges.iter().map(|(start, end)| ((*start).into(), (*end).into())).collect();
        block_on(fixture.raw.checksum(&Context::default(), "", &ranges)).unwrap()
    };
    assert_eq!(checksum(&[]), Checksum::default());
    let all = checksum(&[("", "")]);
    assert_eq!((all.total_kvs, all.total_bytes), (3, 9));
    assert_eq!(checksum(&[("", "b"), ("b", "")]), all);
    let (left, right) = (checksum(&[("", "b")]), checksum(&[("b", "")]));
    assert_eq!(left.crc64_xor ^ right.crc64_xor, all.crc64_xor);
    // The check value of CRC-64/XZ: the digest of "123456789".
    let mut known = Checksum::default();
    known.add(b"1234", b"56789");
    assert_eq!(known, Checksum { crc64_xor: 0x995D_C9BB_DF19_39FA, total_kvs: 1, total_bytes: 9 });
}

fn keys_outside_the_region_are_refused(engine: &impl Engine) {
    let fixture = Fixture::with(engine, "b", "d", Limits::default());
    let ctx = Context { region_id: 3, ..Context::default() };
    for key in ["a", "d"] {
        let errors = [
            block_on(fixture.raw.get(&ctx, "", key.as_bytes())).unwrap_err(),
            block_on(fixture.raw.get_key_ttl(&ctx, "", key.as_bytes())).unwrap_err(),
            block_on(fixture.raw.batch_get(&ctx, "", &["b".into(), key.into()])).unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_retryable());
            let Error::Region(error) = error else { panic!("{error}") };
            assert_eq!(error.key_not_in_region.expect("the details").region_id, 3);
        }
    }
}

fn damaged_values_are_reported(engine: &impl Engine) {
    let fixture = Fixture::new(engine);
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raw, "k", "short");
    engine.write(batch, Durability::Sync).unwrap();
    let get = block_on(fixture.raw.get(&Context::default(), "", b"k"));
    assert!(matches!(get, Err(Error::Corrupted { .. })));
    assert!(matches!(fixture.scan(&forward("", "", 1)), Err(Error::Corrupted { .. })));
}
