//! What only the RocksDB engine does: survive a reopening, refuse a folder in use, report damage, drop expired pairs, bound memory.

#![cfg(feature = "rocksdb")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use storage::engine::rocks::Expiry;
use storage::raw::value;
use storage::{Cf, Cursor, Durability, Engine, Error, Reader, RocksEngine, RocksOptions, TableWriter, WriteBatch};

fn open(path: &Path) -> RocksEngine {
    RocksEngine::open(path, RocksOptions::kv()).expect("the database opens")
}

fn put(engine: &RocksEngine, cf: Cf, key: &str, value: impl Into<Bytes>) {
    let mut batch = WriteBatch::new();
    batch.put(cf, key.to_owned(), value);
    engine.write(batch, Durability::Buffered).expect("the write succeeds");
}

fn files_with(path: &Path, suffix: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).expect("the folder can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

#[test]
fn data_survives_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("kv");
    {
        let engine = open(&path);
        for cf in Cf::ALL {
            put(&engine, cf, "key", format!("in {cf}"));
        }
        engine.flush().unwrap();
        put(&engine, Cf::Raw, "later", "in the log only");
    }
    let engine = open(&path);
    for cf in Cf::ALL {
        assert_eq!(engine.get(cf, b"key"), Ok(Some(Bytes::from(format!("in {cf}")))));
    }
    assert_eq!(engine.get(Cf::Raw, b"later"), Ok(Some(Bytes::from("in the log only"))));
    assert_eq!(engine.path(), path);
}

#[test]
fn a_raft_log_survives_reopenings_with_recycled_files() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions { write_buffer_bytes: 1 << 20, primed_wal_files: 2, ..RocksOptions::raft_log() };
    for round in 0u64..4 {
        let engine = RocksEngine::open(folder.path(), options.clone()).unwrap();
        let mut cursor = engine.cursor(Cf::Default, None, None).unwrap();
        cursor.seek_to_first();
        for expected in 0..round * 300 {
            assert!(cursor.valid(), "round {round} lost entry {expected}");
            assert_eq!(cursor.key(), expected.to_be_bytes());
            cursor.next();
        }
        assert!(!cursor.valid(), "nothing else is in the log, the filler least of all");
        for index in round * 300..(round + 1) * 300 {
            let mut batch = WriteBatch::new();
            batch.put(Cf::Default, index.to_be_bytes().to_vec(), vec![round as u8; 5000]);
            let durability = if index % 50 == 0 { Durability::Sync } else { Durability::Buffered };
            engine.write(batch, durability).unwrap();
        }
    }
}

/// A file that does not grow is the whole point: its size on disk is settled when the database opens.
#[test]
fn a_primed_log_file_is_overwritten_not_extended() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions { write_buffer_bytes: 1 << 20, primed_wal_files: 2, ..RocksOptions::raft_log() };
    for _ in 0..2 {
        let engine = RocksEngine::open(folder.path(), options.clone()).unwrap();
        let log = files_with(folder.path(), ".log").pop().expect("a log file");
        let len = || std::fs::metadata(&log).unwrap().len();
        let before = len();
        assert!(before >= (1 << 20) / 8 * 7, "the file in use has only {before} bytes");
        for index in 0u64..1000 {
            let mut batch = WriteBatch::new();
            batch.put(Cf::Default, index.to_be_bytes().to_vec(), vec![1; 300]);
            engine.write(batch, Durability::Buffered).unwrap();
        }
        engine.sync().unwrap();
        assert_eq!(len(), before);
        assert_eq!(files_with(folder.path(), ".log").pop(), Some(log.clone()), "the log was not switched");
    }
}

#[test]
fn a_folder_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let Err(error) = RocksEngine::open(folder.path(), RocksOptions::kv()) else { panic!("the folder is in use") };
    assert_eq!(error, Error::Busy { path: folder.path().to_owned() });
    assert!(error.to_string().contains(&folder.path().display().to_string()));
    drop(engine);
    open(folder.path());
}

#[test]
fn snapshots_keep_the_database_open() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, Cf::Raw, "k", "old");
    let snapshot = engine.snapshot();
    put(&engine, Cf::Raw, "k", "new");
    engine.flush().unwrap();
    engine.compact(Cf::Raw).unwrap();
    drop(engine);
    let reader = std::thread::spawn(move || {
        let value = snapshot.clone().get(Cf::Raw, b"k");
        let later = snapshot.engine().get(Cf::Raw, b"k");
        (value, later)
    });
    let (value, later) = reader.join().unwrap();
    assert_eq!((value, later), (Ok(Some(Bytes::from("old"))), Ok(Some(Bytes::from("new")))));
    open(folder.path());
}

#[test]
fn damage_is_told_apart_from_other_errors() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = open(folder.path());
        for number in 0..1000 {
            put(&engine, Cf::Raw, &format!("key {number}"), vec![number as u8; 100]);
        }
        engine.flush().unwrap();
    }
    let table = files_with(folder.path(), ".sst").pop().expect("a table file");
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[100..300].fill(0xAA);
    std::fs::write(&table, bytes).unwrap();
    let engine = open(folder.path());
    let mut cursor = engine.cursor(Cf::Raw, None, None).unwrap();
    cursor.seek_to_first();
    while cursor.valid() {
        cursor.next();
    }
    assert!(matches!(cursor.status(), Err(Error::Corrupted { .. })), "{:?}", cursor.status());
    drop(cursor);
    drop(engine);
    std::fs::write(files_with(folder.path(), "CURRENT").pop().expect("the file CURRENT"), "garbage").unwrap();
    let Err(error) = RocksEngine::open(folder.path(), RocksOptions::kv()) else { panic!("the database is damaged") };
    assert!(matches!(error, Error::Corrupted { .. }), "{error:?}");
}

#[test]
fn a_path_that_is_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "not a folder").unwrap();
    let Err(error) = RocksEngine::open(&path, RocksOptions::kv()) else { panic!("it is a file") };
    assert!(matches!(&error, Error::Io { message } if message.contains("file")), "{error:?}");
}

#[test]
fn a_column_family_that_was_not_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions { primed_wal_files: 0, ..RocksOptions::raft_log() };
    let engine = RocksEngine::open(folder.path(), options).unwrap();
    assert!(matches!(engine.get(Cf::Write, b"k"), Err(Error::Engine { .. })));
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raft, "k", "v");
    batch.put(Cf::Write, "k", "v");
    assert!(matches!(engine.write(batch, Durability::Sync), Err(Error::Engine { .. })));
    assert_eq!(engine.get(Cf::Raft, b"k"), Ok(None), "nothing of the batch was written");
}

/// Pairs of 100 kB in each of `numbers`.
fn make_tables(engine: &RocksEngine, name: &str, numbers: std::ops::Range<u32>) {
    let mut writer = engine.table_writer(name, Cf::Raw).unwrap();
    let mut random = 1_u64;
    for number in numbers {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .take(100_000)
        .collect();
        writer.put(&number.to_be_bytes(), &value).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn finished_tables_outlive_the_engine_and_are_several_files() {
    let folder = tempfile::tempdir().unwrap();
    make_tables(&open(folder.path()), "t", 0..1000);
    let tables = folder.path().join("tables");
    let files = files_with(&tables, ".sst");
    assert!(files.len() > 1 && files.len() < 10, "{files:?}");
    let engine = open(folder.path());
    put(&engine, Cf::Raw, "unsynced", "v");
    engine.ingest("t", &[Cf::Raw]).unwrap();
    assert_eq!(files_with(&tables, ".sst"), files, "they can be ingested again");
    assert!(files_with(&tables, ".link").is_empty());
    assert!(engine.table_bytes(Cf::Raw).unwrap() > 90_000_000);
    let link_count = |path: &Path| std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(path).unwrap());
    assert_eq!(link_count(&files[0]), 2, "nothing was copied");
    engine.remove_tables("t").unwrap();
    assert!(files_with(&tables, "").is_empty());
    drop(engine);
    let engine = open(folder.path());
    for number in [0_u32, 500, 999] {
        assert_eq!(engine.get(Cf::Raw, &number.to_be_bytes()).unwrap().map(|value| value.len()), Some(100_000));
    }
    assert_eq!(engine.get(Cf::Raw, b"unsynced"), Ok(Some(Bytes::from("v"))));
}

#[test]
fn tables_that_are_cut_short_or_gone_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let tables = folder.path().join("tables");
    for case in 0..3 {
        make_tables(&engine, "t", 0..700);
        engine.check_tables("t", Cf::Raw).unwrap();
        let files = files_with(&tables, ".sst");
        match case {
            0 => std::fs::remove_file(&files[1]).unwrap(),
            1 => std::fs::OpenOptions::new().write(true).open(&files[0]).unwrap().set_len(1000).unwrap(),
            _ => std::fs::remove_file(tables.join("t.raw.list")).unwrap(),
        }
        assert!(matches!(engine.check_tables("t", Cf::Raw), Err(Error::Corrupted { .. })), "case {case}");
        assert!(matches!(engine.ingest("t", &[Cf::Raw]), Err(Error::Corrupted { .. })), "case {case}");
        assert_eq!(engine.get(Cf::Raw, &0_u32.to_be_bytes()), Ok(None), "case {case}");
    }
    // A file that is garbage, and as long as it should be.
    make_tables(&engine, "t", 0..10);
    let file = files_with(&tables, ".sst").remove(0);
    let len = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0xAA; len as usize]).unwrap();
    assert!(matches!(engine.ingest("t", &[Cf::Raw]), Err(Error::Corrupted { .. })));
    make_tables(&engine, "t", 0..10);
    engine.ingest("t", &[Cf::Raw]).unwrap();
}

#[test]
fn compactions_drop_pairs_long_expired() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1_000));
    let time = Arc::clone(&clock);
    let expiry = Expiry { now: Arc::new(move || time.load(Ordering::Relaxed)), margin: 100 };
    let options = RocksOptions { expiry: Some(expiry), ..RocksOptions::kv() };
    let engine = RocksEngine::open(folder.path(), options).unwrap();
    put(&engine, Cf::Raw, "for ever", value::encode(b"v", value::NEVER));
    put(&engine, Cf::Raw, "k", value::encode(b"v", 1_010));
    put(&engine, Cf::Raw, "not ours", "short");
    put(&engine, Cf::Default, "k", value::encode(b"v", 1_010));
    let stored = |now: u64| {
        clock.store(now, Ordering::Relaxed);
        engine.flush().unwrap();
        engine.compact(Cf::Raw).unwrap();
        engine.compact(Cf::Default).unwrap();
        engine.get(Cf::Raw, b"k").unwrap().is_some()
    };
    assert!(stored(1_010), "expired, but within the margin");
    // Something new, so that there is something to compact.
    put(&engine, Cf::Raw, "another", value::encode(b"v", value::NEVER));
    assert!(!stored(1_110), "the margin is over");
    for (cf, key) in [(Cf::Raw, "for ever"), (Cf::Raw, "not ours"), (Cf::Raw, "another"), (Cf::Default, "k")] {
        assert!(engine.get(cf, key.as_bytes()).unwrap().is_some(), "{key} in {cf} stays");
    }
}

#[test]
fn approximate_size_covers_the_range_once_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions { compression: false, ..RocksOptions::kv() };
    let engine = RocksEngine::open(folder.path(), options).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..1000u32 {
        batch.put(Cf::Raw, number.to_be_bytes().to_vec(), vec![number as u8; 1000]);
    }
    engine.write(batch, Durability::Buffered).unwrap();
    engine.flush().unwrap();
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

#[test]
fn memory_stays_within_the_configured_sizes() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        block_cache_bytes: 2 * MIB,
        write_buffer_bytes: MIB,
        total_write_buffer_bytes: 3 * MIB,
        ..RocksOptions::kv()
    };
    let engine = RocksEngine::open(folder.path(), options).unwrap();
    for number in 0..30_000u32 {
        let mut batch = WriteBatch::new();
        let key = number.wrapping_mul(2_654_435_761).to_be_bytes();
        batch.put(Cf::Raw, key.to_vec(), vec![number as u8; 1000]);
        engine.write(batch, Durability::Buffered).unwrap();
    }
    engine.flush().unwrap();
    let mut cursor = engine.cursor(Cf::Raw, None, None).unwrap();
    cursor.seek_to_first();
    let mut pairs = 0;
    while cursor.valid() {
        pairs += 1;
        cursor.next();
    }
    assert_eq!(pairs, 30_000);
    let usage = engine.memory_usage().unwrap();
    assert!(usage.total() < 8 * MIB as u64, "{usage:?} after reading 30 MB");
    assert!(engine.table_bytes(Cf::Raw).unwrap() > 0);
    assert_eq!(engine.property(Cf::Raw, "rocksdb.no-such-property"), Ok(0));
}

#[test]
fn a_passing_cursor_leaves_the_cache_as_it_is() {
    const BYTES: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for number in 0..BYTES / 1024 {
        put(&engine, Cf::Raw, &format!("{number:08}"), vec![number as u8; 1024]);
    }
    engine.flush().unwrap();
    let cached = || engine.memory_usage().unwrap().block_cache;
    let before = cached();
    let snapshot = engine.snapshot();
    let read = |mut cursor: storage::engine::rocks::RocksCursor<'_>| {
        cursor.seek_to_first();
        let mut bytes = 0;
        while cursor.valid() {
            bytes += cursor.value().len() as u64;
            cursor.next();
        }
        cursor.status().unwrap();
        bytes
    };
    assert_eq!(read(engine.passing_cursor(Cf::Raw, None, None).unwrap()), BYTES);
    assert_eq!(read(snapshot.passing_cursor(Cf::Raw, None, None).unwrap()), BYTES);
    assert!(cached() - before < BYTES / 8, "{} bytes were cached", cached() - before);
    assert_eq!(read(snapshot.cursor(Cf::Raw, None, None).unwrap()), BYTES);
    assert!(cached() - before >= BYTES, "only {} bytes were cached", cached() - before);
}
