//! Bulk loading: both engines take in finished tables in the same way.

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use storage::{Cf, Cursor, Durability, Engine, Error, Reader, TableWriter, WriteBatch};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn number(number: u32, value: &str) -> (Vec<u8>, Vec<u8>) {
    (number.to_be_bytes().to_vec(), value.into())
}

/// Writes finished tables.
fn make(engine: &impl Engine, name: &str, cf: Cf, pairs: &[(Vec<u8>, Vec<u8>)]) -> storage::Result<()> {
    let mut writer = engine.table_writer(name, cf)?;
    for (key, value) in pairs {
        writer.put(key, value)?;
    }
    writer.finish()
}

fn put(engine: &impl Engine, cf: Cf, pairs: &[(Vec<u8>, Vec<u8>)]) {
    let mut batch = WriteBatch::new();
    pairs.iter().for_each(|(key, value)| batch.put(cf, key.clone(), value.clone()));
    engine.write(batch, Durability::Buffered).unwrap();
}

fn all(reader: &impl Reader, cf: Cf) -> Pairs {
    let mut cursor = reader.cursor(cf, None, None).unwrap();
    cursor.seek_to_first();
    let mut pairs = Vec::new();
    while cursor.valid() {
        pairs.push((cursor.key().to_vec(), cursor.value().to_vec()));
        cursor.next();
    }
    cursor.status().unwrap();
    pairs
}

support::over_both_engines!(
    ingested_pairs_are_seen_by_later_readers_only,
    ingestion_replaces_a_removed_range,
    later_writes_win_over_ingested_pairs,
    tables_can_be_ingested_again,
    keys_have_to_ascend,
    tables_that_were_not_finished_are_none,
    tables_are_replaced_and_removed_by_name,
    what_is_missing_is_told_before_anything_is_added,
    names_have_to_be_plain,
);

fn ingested_pairs_are_seen_by_later_readers_only(engine: &impl Engine) {
    put(engine, Cf::Raw, &[number(1, "old"), number(2, "old")]);
    let before = engine.snapshot();
    let mut cursor = engine.cursor(Cf::Raw, None, None).unwrap();
    make(engine, "t", Cf::Raw, &[number(2, "new"), number(3, "new")]).unwrap();
    make(engine, "t", Cf::Write, &[number(9, "new")]).unwrap();
    assert_eq!(all(engine, Cf::Raw), [number(1, "old"), number(2, "old")], "finished tables are seen by nobody");
    engine.ingest("t", &[Cf::Raw, Cf::Write]).unwrap();
    assert_eq!(all(engine, Cf::Raw), [number(1, "old"), number(2, "new"), number(3, "new")]);
    assert_eq!(engine.get(Cf::Raw, &2_u32.to_be_bytes()), Ok(Some(Bytes::from("new"))));
    assert_eq!(all(engine, Cf::Write), [number(9, "new")]);
    assert_eq!(all(&before, Cf::Raw), [number(1, "old"), number(2, "old")]);
    assert!(all(&before, Cf::Write).is_empty());
    cursor.seek_to_last();
    assert_eq!(cursor.key(), 2_u32.to_be_bytes());
}

fn ingestion_replaces_a_removed_range(engine: &impl Engine) {
    let old: Pairs = (0..100).map(|i| number(i, "old")).collect();
    put(engine, Cf::Raw, &old);
    let mut batch = WriteBatch::new();
    batch.delete_range(Cf::Raw, 10_u32.to_be_bytes().to_vec(), 90_u32.to_be_bytes().to_vec());
    engine.write(batch, Durability::Buffered).unwrap();
    let new: Pairs = (10..45).map(|i| number(i * 2 - 10, "new")).collect();
    make(engine, "t", Cf::Raw, &new).unwrap();
    engine.ingest("t", &[Cf::Raw]).unwrap();
    let expected: Pairs = old[..10].iter().chain(&new).chain(&old[90..]).cloned().collect();
    assert_eq!(all(engine, Cf::Raw), expected);
}

fn later_writes_win_over_ingested_pairs(engine: &impl Engine) {
    make(engine, "t", Cf::Default, &[number(1, "table"), number(2, "table"), number(3, "table")]).unwrap();
    engine.ingest("t", &[Cf::Default]).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Default, 1_u32.to_be_bytes().to_vec(), "later");
    batch.delete(Cf::Default, 2_u32.to_be_bytes().to_vec());
    engine.write(batch, Durability::Sync).unwrap();
    assert_eq!(all(engine, Cf::Default), [number(1, "later"), number(3, "table")]);
}

fn tables_can_be_ingested_again(engine: &impl Engine) {
    make(engine, "t", Cf::Lock, &[number(1, "table")]).unwrap();
    for _ in 0..3 {
        put(engine, Cf::Lock, &[number(1, "between"), number(2, "between")]);
        let mut batch = WriteBatch::new();
        batch.delete_range(Cf::Lock, "", "");
        engine.write(batch, Durability::Buffered).unwrap();
        engine.ingest("t", &[Cf::Lock]).unwrap();
        assert_eq!(all(engine, Cf::Lock), [number(1, "table")]);
    }
    engine.remove_tables("t").unwrap();
    assert_eq!(all(engine, Cf::Lock), [number(1, "table")], "what was ingested stays");
}

fn keys_have_to_ascend(engine: &impl Engine) {
    for (first, second) in [(2, 1), (2, 2)] {
        let mut writer = engine.table_writer("t", Cf::Raw).unwrap();
        writer.put(&u32::to_be_bytes(first), b"v").unwrap();
        let error = writer.put(&u32::to_be_bytes(second), b"v").unwrap_err();
        assert!(matches!(error, Error::Unsorted { cf: Cf::Raw, .. }), "{error:?}");
        assert!(error.to_string().contains("\\x02"), "{error}");
    }
    assert_eq!(engine.table_names(), Ok(vec![]));
}

fn tables_that_were_not_finished_are_none(engine: &impl Engine) {
    let mut writer = engine.table_writer("t", Cf::Raw).unwrap();
    writer.put(b"k", b"v").unwrap();
    assert!(matches!(engine.check_tables("t", Cf::Raw), Err(Error::Corrupted { .. })));
    drop(writer);
    assert_eq!(engine.table_names(), Ok(vec![]));
    assert!(all(engine, Cf::Raw).is_empty());
    // Finished without a pair they are there, and empty.
    engine.table_writer("t", Cf::Raw).unwrap().finish().unwrap();
    engine.check_tables("t", Cf::Raw).unwrap();
    engine.ingest("t", &[Cf::Raw]).unwrap();
    assert!(all(engine, Cf::Raw).is_empty());
}

fn tables_are_replaced_and_removed_by_name(engine: &impl Engine) {
    make(engine, "one", Cf::Raw, &[number(1, "a"), number(2, "a")]).unwrap();
    make(engine, "one-more", Cf::Raw, &[number(5, "a")]).unwrap();
    make(engine, "one", Cf::Raw, &[number(3, "b")]).unwrap();
    assert_eq!(engine.table_names(), Ok(vec!["one".to_owned(), "one-more".to_owned()]));
    engine.ingest("one", &[Cf::Raw]).unwrap();
    assert_eq!(all(engine, Cf::Raw), [number(3, "b")]);
    engine.remove_tables("one").unwrap();
    engine.remove_tables("never-there").unwrap();
    assert_eq!(engine.table_names(), Ok(vec!["one-more".to_owned()]));
    engine.check_tables("one-more", Cf::Raw).unwrap();
}

fn what_is_missing_is_told_before_anything_is_added(engine: &impl Engine) {
    make(engine, "t", Cf::Raw, &[number(1, "a")]).unwrap();
    engine.check_tables("t", Cf::Raw).unwrap();
    let error = engine.ingest("t", &[Cf::Raw, Cf::Write]).unwrap_err();
    assert!(matches!(&error, Error::Corrupted { message } if message.contains("write")), "{error:?}");
    assert!(all(engine, Cf::Raw).is_empty());
    engine.ingest("other", &[]).unwrap();
}

fn names_have_to_be_plain(engine: &impl Engine) {
    for name in ["", "a.b", "../t", "a b"] {
        assert!(engine.table_writer(name, Cf::Raw).is_err(), "{name:?}");
        assert!(engine.ingest(name, &[Cf::Raw]).is_err(), "{name:?}");
        assert!(engine.remove_tables(name).is_err(), "{name:?}");
    }
}

/// Writes, removals of ranges and ingestions in any order leave what a map would hold.
fn run(engine: &impl Engine, rounds: &[(u8, u8, Vec<u8>)]) {
    let mut model = std::collections::BTreeMap::new();
    for (round, (kind, from, keys)) in rounds.iter().enumerate() {
        let value = round.to_be_bytes().to_vec();
        let mut sorted: Vec<u8> = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let pairs: Pairs = sorted.iter().map(|key| (vec![*key], value.clone())).collect();
        match kind % 3 {
            0 => put(engine, Cf::Write, &pairs),
            _ => {
                if kind % 3 == 1 {
                    let mut batch = WriteBatch::new();
                    batch.delete_range(Cf::Write, vec![*from], vec![from.saturating_add(100)]);
                    engine.write(batch, Durability::Buffered).unwrap();
                    model.retain(|key: &Vec<u8>, _| key[0] < *from || key[0] >= from.saturating_add(100));
                }
                make(engine, "t", Cf::Write, &pairs).unwrap();
                engine.ingest("t", &[Cf::Write]).unwrap();
            }
        }
        model.extend(pairs);
        assert_eq!(all(engine, Cf::Write), model.clone().into_iter().collect::<Pairs>());
    }
}

fn rounds() -> impl Strategy<Value = Vec<(u8, u8, Vec<u8>)>> {
    prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..8)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_mem_engine_ingests_like_a_map(rounds in rounds()) {
        run(&*support::mem_engine(), &rounds);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rocks_engine_ingests_like_a_map(rounds in rounds()) {
        run(&*support::rocks_engine(), &rounds);
    }
}
