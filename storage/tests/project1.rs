//! Project 1: the standalone store and the raw commands, ten graded tests, each over both engines.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use pollster::block_on;
use proto::kvrpcpb::Context;
use storage::raw::{Limits, RawStore, Scan, value};
use storage::{Cf, Cursor, Engine, Error, Modify, Reader, Standalone, Storage};
use support::over_both_engines;

over_both_engines!(
    raw_get_1,
    raw_get_not_found_1,
    raw_put_1,
    raw_get_after_raw_put_1,
    raw_get_after_raw_delete_1,
    raw_delete_1,
    raw_scan_1,
    raw_scan_after_raw_put_1,
    raw_scan_after_raw_delete_1,
    iter_with_raw_delete_1,
);

const CF: &str = "default";

fn raw_store<E: Engine>(engine: &E) -> RawStore<Standalone<E>> {
    RawStore::new(Standalone::new(engine.clone()), Limits::default(), Arc::new(|| 1_000))
}

/// The stored form of a value that never expires.
fn stored(value: &str) -> Bytes {
    value::encode(value.as_bytes(), value::NEVER)
}

/// Writes through the storage layer, below the raw commands.
fn write<E: Engine>(store: &RawStore<Standalone<E>>, cf: Cf, key: &'static str, value: Bytes) {
    let put = Modify::Put { cf, key: key.into(), value };
    block_on(store.storage().write(&Context::default(), vec![put])).expect("the write succeeds");
}

/// Reads through the storage layer, below the raw commands.
fn read<E: Engine>(store: &RawStore<Standalone<E>>, cf: Cf, key: &str) -> Option<Bytes> {
    let region = block_on(store.storage().reader(&Context::default())).expect("a reader");
    region.reader.get(cf, key.as_bytes()).expect("absence is not an error")
}

fn put<E: Engine>(store: &RawStore<Standalone<E>>, key: &'static str, value: &'static str) {
    block_on(store.put(&Context::default(), CF, key.into(), value.into(), 0)).expect("the put succeeds");
}

fn get<E: Engine>(store: &RawStore<Standalone<E>>, key: &str) -> Option<Bytes> {
    block_on(store.get(&Context::default(), CF, key.as_bytes())).expect("the get succeeds")
}

fn delete<E: Engine>(store: &RawStore<Standalone<E>>, key: &'static str) {
    block_on(store.delete(&Context::default(), CF, key.into())).expect("the delete succeeds");
}

fn scan<E: Engine>(store: &RawStore<Standalone<E>>, start: &'static str, limit: usize) -> Vec<(Bytes, Bytes)> {
    let scan = Scan { start_key: start.into(), limit, ..Scan::default() };
    block_on(store.scan(&Context::default(), CF, &scan)).expect("the scan succeeds")
}

fn pairs(expected: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
    expected.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(*value))).collect()
}

/// P1-01: a value written through the storage layer is returned by the raw get.
fn raw_get_1(engine: &impl Engine) {
    let store = raw_store(engine);
    write(&store, Cf::Raw, "k1", stored("42"));
    assert_eq!(get(&store, "k1").as_deref(), Some(b"42".as_slice()));
}

/// P1-02: an absent key is "not found", not an error.
fn raw_get_not_found_1(engine: &impl Engine) {
    let store = raw_store(engine);
    assert_eq!(get(&store, "k1"), None);
    put(&store, "k10", "a key that only begins like the other");
    assert_eq!(get(&store, "k1"), None);
}

/// P1-03: a raw put shows in a storage reader.
fn raw_put_1(engine: &impl Engine) {
    let store = raw_store(engine);
    put(&store, "k1", "42");
    assert_eq!(read(&store, Cf::Raw, "k1"), Some(stored("42")));
    put(&store, "k1", "43");
    assert_eq!(read(&store, Cf::Raw, "k1"), Some(stored("43")));
}

/// P1-04: one key in two column families: the values stay apart.
fn raw_get_after_raw_put_1(engine: &impl Engine) {
    let store = raw_store(engine);
    put(&store, "k1", "raw value");
    write(&store, Cf::Write, "k1", Bytes::from("commit record"));
    assert_eq!(get(&store, "k1").as_deref(), Some(b"raw value".as_slice()));
    assert_eq!(read(&store, Cf::Write, "k1").as_deref(), Some(b"commit record".as_slice()));
    assert_eq!(read(&store, Cf::Default, "k1"), None);
    let refused = block_on(store.get(&Context::default(), "write", b"k1"));
    assert_eq!(refused, Err(Error::TransactionalCf { name: "write".into() }));
}

/// P1-05: what is deleted is not found.
fn raw_get_after_raw_delete_1(engine: &impl Engine) {
    let store = raw_store(engine);
    put(&store, "k1", "42");
    put(&store, "k2", "43");
    delete(&store, "k1");
    assert_eq!(get(&store, "k1"), None);
    assert_eq!(get(&store, "k2").as_deref(), Some(b"43".as_slice()));
}

/// P1-06: after a delete the storage reader says "no value" without an error; deleting again is fine.
fn raw_delete_1(engine: &impl Engine) {
    let store = raw_store(engine);
    write(&store, Cf::Raw, "k1", stored("42"));
    delete(&store, "k1");
    assert_eq!(read(&store, Cf::Raw, "k1"), None);
    delete(&store, "k1");
    assert_eq!(read(&store, Cf::Raw, "k1"), None);
}

/// P1-07: a scan stops at its limit and is in order.
fn raw_scan_1(engine: &impl Engine) {
    let store = raw_store(engine);
    for (key, value) in [("k5", "v5"), ("k3", "v3"), ("k1", "v1"), ("k4", "v4"), ("k2", "v2")] {
        write(&store, Cf::Raw, key, stored(value));
    }
    assert_eq!(scan(&store, "k1", 3), pairs(&[("k1", "v1"), ("k2", "v2"), ("k3", "v3")]));
}

/// P1-08: a put shows in the next scan, at its place in the order.
fn raw_scan_after_raw_put_1(engine: &impl Engine) {
    let store = raw_store(engine);
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k4", "v4"), ("k5", "v5")] {
        write(&store, Cf::Raw, key, stored(value));
    }
    put(&store, "k3", "v3");
    let all = [("k1", "v1"), ("k2", "v2"), ("k3", "v3"), ("k4", "v4"), ("k5", "v5")];
    assert_eq!(scan(&store, "k1", 10), pairs(&all));
}

/// P1-09: a deleted key does not show in the next scan and does not count.
fn raw_scan_after_raw_delete_1(engine: &impl Engine) {
    let store = raw_store(engine);
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3"), ("k4", "v4")] {
        write(&store, Cf::Raw, key, stored(value));
    }
    delete(&store, "k3");
    assert_eq!(scan(&store, "k1", 3), pairs(&[("k1", "v1"), ("k2", "v2"), ("k4", "v4")]));
}

/// P1-10: a reader is a snapshot: a cursor opened before a delete still sees the key, and so does one opened later on that reader.
fn iter_with_raw_delete_1(engine: &impl Engine) {
    let store = raw_store(engine);
    let keys = ["k1", "k2", "k3", "k4"];
    for key in keys {
        write(&store, Cf::Raw, key, stored("v"));
    }
    let region = block_on(store.storage().reader(&Context::default())).expect("a reader");
    let mut before = region.reader.cursor(Cf::Raw, None, None).expect("a cursor");
    delete(&store, "k3");
    let mut after = region.reader.cursor(Cf::Raw, None, None).expect("a cursor");
    for cursor in [&mut before, &mut after] {
        cursor.seek_to_first();
        for key in keys {
            assert!(cursor.valid(), "the snapshot lost {key}");
            assert_eq!(cursor.key(), key.as_bytes());
            cursor.next();
        }
        assert!(!cursor.valid());
        assert_eq!(cursor.status(), Ok(()));
    }
    assert_eq!(get(&store, "k3"), None);
}
