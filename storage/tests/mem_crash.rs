//! What the in-memory engine loses in a crash, and the faults it can be given.

use bytes::Bytes;
use proptest::prelude::*;
use storage::engine::mem::MemFault;
use storage::{Cf, Durability, Engine, Error, MemEngine, Reader, TableWriter, WriteBatch};

fn put(engine: &MemEngine, key: &str, value: &str, durability: Durability) -> storage::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raw, key.to_owned(), value.to_owned());
    batch.put(Cf::Raft, key.to_owned(), value.to_owned());
    engine.write(batch, durability)
}

fn get(engine: &MemEngine, key: &str) -> Option<Bytes> {
    let raw = engine.get(Cf::Raw, key.as_bytes()).unwrap();
    assert_eq!(raw, engine.get(Cf::Raft, key.as_bytes()).unwrap(), "a batch is atomic over column families");
    raw
}

#[test]
fn a_crash_keeps_a_prefix_of_the_unsynced_batches() {
    let engine = MemEngine::new();
    put(&engine, "a", "1", Durability::Buffered).unwrap();
    put(&engine, "b", "1", Durability::Sync).unwrap();
    assert_eq!(engine.unsynced(), 0, "a sync covers the batches before it");
    for key in ["c", "d", "e"] {
        put(&engine, key, "1", Durability::Buffered).unwrap();
    }
    assert_eq!(engine.unsynced(), 3);
    for survivors in 0..=4 {
        let found = engine.crash_image(survivors);
        let kept: Vec<&str> = ["a", "b", "c", "d", "e"].into_iter().filter(|key| get(&found, key).is_some()).collect();
        assert_eq!(kept, ["a", "b", "c", "d", "e"][..2 + survivors.min(3)]);
        assert_eq!(found.unsynced(), 0, "what is found after a crash is on the disk");
    }
}

#[test]
fn what_is_durable_can_be_asked_for() {
    let engine = MemEngine::new();
    put(&engine, "a", "1", Durability::Sync).unwrap();
    put(&engine, "a", "2", Durability::Buffered).unwrap();
    assert_eq!(engine.durable(Cf::Raw, b"a"), Some(Bytes::from("1")));
    assert_eq!(engine.durable(Cf::Raw, b"b"), None);
    engine.sync().unwrap();
    assert_eq!(engine.durable(Cf::Raw, b"a"), Some(Bytes::from("2")));
}

#[test]
fn a_version_belongs_to_one_content() {
    let engine = MemEngine::new();
    let mut seen = vec![engine.version()];
    put(&engine, "a", "1", Durability::Sync).unwrap();
    seen.push(engine.version());
    put(&engine, "a", "2", Durability::Buffered).unwrap();
    seen.push(engine.version());
    engine.sync().unwrap();
    engine.write(WriteBatch::new(), Durability::Sync).unwrap();
    assert_eq!(engine.version(), seen[2], "readers see what they saw");
    let found = engine.crash(0);
    seen.push(found.version());
    put(&found, "a", "3", Durability::Buffered).unwrap();
    seen.push(found.version());
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
}

#[test]
fn sync_is_a_barrier() {
    let engine = MemEngine::new();
    put(&engine, "a", "1", Durability::Buffered).unwrap();
    engine.sync().unwrap();
    put(&engine, "a", "2", Durability::Buffered).unwrap();
    assert_eq!(get(&engine.crash_image(0), "a"), Some(Bytes::from("1")));
    assert_eq!(get(&engine.crash_image(1), "a"), Some(Bytes::from("2")));
    engine.write(WriteBatch::new(), Durability::Sync).unwrap();
    assert_eq!(get(&engine.crash_image(0), "a"), Some(Bytes::from("2")));
}

#[test]
fn a_crashed_engine_accepts_nothing_more() {
    let engine = MemEngine::new();
    let clone = engine.clone();
    put(&engine, "a", "1", Durability::Sync).unwrap();
    let found = engine.crash(0);
    assert_eq!(put(&clone, "a", "2", Durability::Sync), Err(Error::Stopped));
    assert_eq!(clone.sync(), Err(Error::Stopped));
    put(&found, "a", "3", Durability::Sync).unwrap();
    assert_eq!(get(&clone, "a"), Some(Bytes::from("1")));
    assert_eq!(get(&found, "a"), Some(Bytes::from("3")));
}

#[test]
fn old_batches_are_written_back_beyond_the_limit() {
    let engine = MemEngine::with_unsynced_limit(2);
    for (key, value) in [("a", "1"), ("b", "1"), ("c", "1")] {
        put(&engine, key, value, Durability::Buffered).unwrap();
    }
    assert_eq!(engine.unsynced(), 2);
    let found = engine.crash(0);
    assert_eq!(get(&found, "a"), Some(Bytes::from("1")));
    assert_eq!(get(&found, "b"), None);
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let engine = MemEngine::new();
    let faults = engine.faults();
    faults.fail_next(MemFault::Io, 2);
    assert!(matches!(put(&engine, "a", "1", Durability::Sync), Err(Error::Io { .. })));
    assert!(matches!(engine.sync(), Err(Error::Io { .. })));
    assert_eq!(get(&engine, "a"), None);
    put(&engine, "a", "2", Durability::Sync).unwrap();
    assert_eq!(get(&engine, "a"), Some(Bytes::from("2")));
    assert_eq!(faults.injected(), 2);
    faults.fail_next(MemFault::DiskFull, 1);
    faults.clear();
    put(&engine, "a", "3", Durability::Sync).unwrap();
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_outlives_a_crash() {
    let engine = MemEngine::new();
    engine.faults().set_free_bytes(Some(10));
    put(&engine, "a", "123", Durability::Buffered).unwrap(); // 2 x 4 bytes
    assert!(matches!(put(&engine, "b", "1", Durability::Buffered), Err(Error::DiskFull { .. })));
    let found = engine.crash(1);
    assert!(matches!(put(&found, "b", "1", Durability::Sync), Err(Error::DiskFull { .. })));
    found.faults().set_free_bytes(None);
    put(&found, "b", "1", Durability::Sync).unwrap();
    assert_eq!(get(&found, "a"), Some(Bytes::from("123")));
}

#[test]
fn approximate_size_covers_the_range() {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    for number in 0..1000u32 {
        batch.put(Cf::Raw, number.to_be_bytes().to_vec(), vec![number as u8; 1000]);
    }
    engine.write(batch, Durability::Sync).unwrap();
    let size = |lower: Option<u32>, upper: Option<u32>| {
        let (lower, upper) = (lower.map(u32::to_be_bytes), upper.map(u32::to_be_bytes));
        engine
            .approximate_size(Cf::Raw, lower.as_ref().map(|key| &key[..]), upper.as_ref().map(|key| &key[..]))
            .unwrap()
    };
    let all = size(None, None);
    assert!((500_000..2_000_000).contains(&all), "{all} bytes for 1000 pairs of about 1000 bytes");
    let half = size(Some(500), None);
    assert!((250_000..1_000_000).contains(&half), "{half} bytes for 500 pairs of about 1000 bytes");
    assert_eq!(size(Some(2000), None), 0);
    assert_eq!(engine.approximate_size(Cf::Lock, None, None), Ok(0));
}

fn make_table(engine: &MemEngine, name: &str) -> storage::Result<()> {
    let mut writer = engine.table_writer(name, Cf::Raw)?;
    writer.put(b"t", b"1")?;
    writer.finish()
}

#[test]
fn a_crash_leaves_finished_tables_and_what_was_ingested_with_all_before_it() {
    let engine = MemEngine::new();
    make_table(&engine, "t").unwrap();
    let mut unfinished = engine.table_writer("u", Cf::Raw).unwrap();
    unfinished.put(b"u", b"1").unwrap();
    put(&engine, "a", "1", Durability::Buffered).unwrap();
    let found = engine.crash_image(0);
    assert_eq!(found.table_names(), Ok(vec!["t".to_owned()]));
    assert_eq!((found.get(Cf::Raw, b"t"), get(&found, "a")), (Ok(None), None));
    found.ingest("t", &[Cf::Raw]).unwrap();
    assert_eq!(found.crash_image(0).get(Cf::Raw, b"t"), Ok(Some(Bytes::from("1"))));
    engine.ingest("t", &[Cf::Raw]).unwrap();
    assert_eq!(engine.unsynced(), 0);
    put(&engine, "b", "1", Durability::Buffered).unwrap();
    let found = engine.crash(0);
    assert_eq!(found.get(Cf::Raw, b"t"), Ok(Some(Bytes::from("1"))));
    assert_eq!((get(&found, "a"), get(&found, "b")), (Some(Bytes::from("1")), None));
    assert_eq!(engine.ingest("t", &[Cf::Raw]), Err(Error::Stopped));
    assert_eq!(unfinished.finish(), Err(Error::Stopped));
    assert_eq!(make_table(&engine, "v"), Err(Error::Stopped));
}

#[test]
fn tables_meet_the_faults_of_the_disk() {
    let engine = MemEngine::new();
    let faults = engine.faults();
    faults.set_free_bytes(Some(1));
    assert!(matches!(make_table(&engine, "t"), Err(Error::DiskFull { .. })));
    assert_eq!(engine.table_names(), Ok(vec![]));
    faults.set_free_bytes(Some(2));
    make_table(&engine, "t").unwrap();
    assert!(matches!(engine.ingest("t", &[Cf::Raw]), Err(Error::DiskFull { .. })));
    assert_eq!(engine.get(Cf::Raw, b"t"), Ok(None));
    faults.set_free_bytes(Some(1));
    engine.ingest("t", &[Cf::Raw]).expect("tables have their room already");
    faults.clear();
    faults.fail_next(MemFault::Io, 1);
    assert!(matches!(engine.ingest("t", &[Cf::Raw]), Err(Error::Io { .. })));
    engine.ingest("t", &[Cf::Raw]).unwrap();
    assert!(engine.damage_tables("t") && !engine.damage_tables("u"));
    assert!(matches!(engine.check_tables("t", Cf::Raw), Err(Error::Corrupted { .. })));
    assert!(matches!(engine.ingest("t", &[Cf::Raw]), Err(Error::Corrupted { .. })));
}

#[test]
fn equal_data_is_recognised() {
    let (one, two) = (MemEngine::new(), MemEngine::new());
    put(&one, "a", "1", Durability::Sync).unwrap();
    assert!(!one.same_data(&two, &Cf::DATA));
    assert!(one.same_data(&two, &[Cf::Lock, Cf::Write]));
    put(&two, "a", "1", Durability::Buffered).unwrap();
    assert!(one.same_data(&two, &Cf::ALL));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written and synced when, a crash finds exactly the writes up to some point that is not before the last sync.
    #[test]
    fn a_crash_finds_a_prefix(
        writes in prop::collection::vec((0u8..4, any::<u8>(), prop::bool::weighted(0.2)), 1..40),
        survivors in 0usize..40,
    ) {
        let engine = MemEngine::new();
        let mut states = vec![engine.crash_image(0)];
        let mut last_sync = 0;
        for (index, (key, value, sync)) in writes.iter().enumerate() {
            let durability = if *sync { Durability::Sync } else { Durability::Buffered };
            put(&engine, &key.to_string(), &value.to_string(), durability).unwrap();
            states.push(engine.crash_image(usize::MAX));
            if *sync {
                last_sync = index + 1;
            }
        }
        prop_assert_eq!(engine.unsynced(), writes.len() - last_sync);
        let kept = (last_sync + survivors).min(writes.len());
        prop_assert!(engine.crash(survivors).same_data(&states[kept], &Cf::ALL));
    }
}
