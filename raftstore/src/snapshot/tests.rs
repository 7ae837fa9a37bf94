//! The files of snapshots: whole or not there at all, whatever breaks when.

use std::sync::Arc;

use storage::Cf;

use super::{MemDir, Origin, SnapshotDir, SnapshotId, SnapshotStore};
use crate::error::Error;

const ID: SnapshotId = SnapshotId { region_id: 7, term: 3, index: 42 };

fn store(dir: &MemDir) -> SnapshotStore {
    SnapshotStore::new(Arc::new(dir.clone()))
}

fn build(store: &SnapshotStore) -> crate::Result<proto::raft_serverpb::SnapshotMeta> {
    let mut builder = store.build(ID);
    for i in 0..200_u32 {
        builder.add(Cf::Default, format!("k{i:03}").as_bytes(), &[1; 100])?;
    }
    builder.add(Cf::Write, b"w", b"")?;
    builder.finish()
}

/// Sends a snapshot from one store to another in pieces; `change` may change one.
fn send(from: &SnapshotStore, to: &SnapshotStore, mut change: impl FnMut(usize, &mut Vec<u8>)) -> crate::Result<()> {
    let mut sink = to.receive(ID, from.meta(Origin::Generated, ID)?);
    let mut source = from.source(ID)?;
    let mut number = 0;
    while let Some(chunk) = source.next_chunk(1000)? {
        let mut chunk = chunk.to_vec();
        change(number, &mut chunk);
        sink.write(&chunk)?;
        number += 1;
    }
    sink.finish()
}

#[test]
fn what_was_built_arrives_pair_by_pair() {
    let (from, to) = (store(&MemDir::new()), store(&MemDir::new()));
    let meta = build(&from).unwrap();
    assert_eq!(meta.cf_files.iter().map(|file| file.cf.as_str()).collect::<Vec<_>>(), ["default", "write"]);
    send(&from, &to, |_, _| ()).unwrap();
    to.verify(ID).unwrap();
    let mut counts = Vec::new();
    for (cf, mut file) in to.pairs(ID).unwrap() {
        let mut count = 0;
        while let Some((key, value)) = file.next_pair().unwrap() {
            assert_eq!((cf, value.len()), if key[0] == b'k' { (Cf::Default, 100) } else { (Cf::Write, 0) });
            count += 1;
        }
        counts.push(count);
    }
    assert_eq!(counts, [200, 1]);
}

#[test]
fn an_empty_snapshot_is_one_too() {
    let (from, to) = (store(&MemDir::new()), store(&MemDir::new()));
    assert!(from.build(ID).finish().unwrap().cf_files.is_empty());
    send(&from, &to, |_, _| ()).unwrap();
    assert!(to.pairs(ID).unwrap().is_empty());
}

#[test]
fn a_damaged_short_or_long_stream_makes_no_snapshot() {
    let from = store(&MemDir::new());
    build(&from).unwrap();
    let changes: [fn(usize, &mut Vec<u8>); 4] = [
        |number, chunk| chunk[0] ^= u8::from(number == 3),
        |number, chunk| chunk.truncate(if number == 5 { 10 } else { chunk.len() }),
        |number, chunk| chunk.truncate(if number > 4 { 0 } else { chunk.len() }),
        |_, chunk| chunk.extend_from_slice(b"more"),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let to = store(&MemDir::new());
        assert!(matches!(send(&from, &to, change), Err(Error::Snapshot(_))), "case {case}");
        assert!(to.meta(Origin::Received, ID).is_err(), "case {case}");
    }
}

#[test]
fn a_crash_leaves_a_whole_snapshot_or_none() {
    let from = store(&MemDir::new());
    build(&from).unwrap();
    let full = MemDir::new();
    send(&from, &store(&full), |_, _| ()).unwrap();
    assert!(store(&full.crash(0)).verify(ID).is_ok(), "a finished one survives");
    let mut seen = [0, 0];
    for stop in 0..22 {
        for survivors in 0..12 {
            let dir = MemDir::new();
            let to = store(&dir);
            let mut sink = to.receive(ID, from.meta(Origin::Generated, ID).unwrap());
            let mut source = from.source(ID).unwrap();
            for _ in 0..stop {
                if let Some(chunk) = source.next_chunk(1000).unwrap() {
                    sink.write(&chunk).unwrap();
                }
            }
            let found = store(&dir.crash(survivors));
            let there = found.meta(Origin::Received, ID).is_ok();
            assert!(!there, "nobody has finished it");
            seen[0] += 1;
        }
    }
    for survivors in 0..12 {
        // The last sync of the folder is lost: names survive in order, and the meta file comes last.
        let dir = MemDir::new();
        send(&from, &store(&dir), |_, _| ()).unwrap();
        let unsynced = dir.unsynced();
        let found = store(&dir.crash(survivors.min(unsynced)));
        if found.meta(Origin::Received, ID).is_ok() {
            found.verify(ID).unwrap();
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn bytes_that_rot_on_disk_are_found_out() {
    let from = store(&MemDir::new());
    build(&from).unwrap();
    for (name, byte) in [("rev_7_3_42_default.data", 500), ("rev_7_3_42_default.data", 0), ("rev_7_3_42.meta", 6)] {
        let dir = MemDir::new();
        let to = store(&dir);
        send(&from, &to, |_, _| ()).unwrap();
        dir.damage(name, byte).unwrap();
        assert!(matches!(to.verify(ID), Err(Error::Snapshot(_))), "{name} {byte}");
        let mut pairs = to.pairs(ID).unwrap_or_default();
        let read = pairs.iter_mut().try_for_each(|(_, file)| {
            while file.next_pair()?.is_some() {}
            Ok::<(), Error>(())
        });
        assert!(pairs.is_empty() || read.is_err(), "{name} {byte}");
    }
    let dir = MemDir::new();
    send(&from, &store(&dir), |_, _| ()).unwrap();
    dir.remove("rev_7_3_42_write.data").unwrap();
    assert!(matches!(store(&dir).verify(ID), Err(Error::SnapshotIo(_))));
}

#[test]
fn files_go_when_nobody_needs_them() {
    let dir = MemDir::new();
    let store = store(&dir);
    build(&store).unwrap();
    let in_use = store.hold(Origin::Generated, ID);
    store.done(Origin::Generated, ID);
    assert_eq!(store.collect(0).unwrap(), 0, "it is in use");
    drop(in_use);
    assert_eq!(store.collect(100).unwrap(), 3);
    assert!(dir.list().unwrap().is_empty());
    build(&store).unwrap();
    assert_eq!(store.collect(1).unwrap(), 0);
    assert_eq!(store.collect(1).unwrap(), 3, "nobody has touched it for a while");
}

#[test]
fn a_start_keeps_only_what_is_still_to_be_restored() {
    let dir = MemDir::new();
    let from = store(&dir);
    build(&from).unwrap();
    send(&from, &from, |_, _| ()).unwrap();
    dir.create("rev_8_1_1_default.data.tmp").unwrap();
    let found = store(&dir);
    assert_eq!(found.collect_at_start(|id| id == ID).unwrap(), 4);
    found.verify(ID).unwrap();
    assert_eq!(found.collect_at_start(|_| false).unwrap(), 3);
    assert!(dir.list().unwrap().is_empty());
}
