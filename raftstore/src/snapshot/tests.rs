//! Snapshots are whole or not there at all, whatever breaks when.

use std::sync::Arc;

use proto::metapb::Region;
use storage::{Cf, Cursor, Engine, MemEngine, Reader, TableWriter};

use super::{MemDir, Origin, SnapshotDir, SnapshotId, SnapshotSink, SnapshotStore};
use crate::error::Error;

const ID: SnapshotId = SnapshotId { region_id: 7, term: 3, index: 42 };
const TABLES: &str = "rev_7_3_42";

/// What a store has: a folder and an engine.
#[derive(Clone, Default)]
struct Disk {
    dir: MemDir,
    kv: MemEngine,
}

impl Disk {
    fn store(&self) -> SnapshotStore {
        SnapshotStore::new(Arc::new(self.dir.clone()), self.kv.clone())
    }

    /// What is found after a crash.
    fn crash(&self, survivors: usize) -> Disk {
        Disk { dir: self.dir.crash(survivors), kv: self.kv.crash(survivors) }
    }
}

fn region() -> Region {
    Region { id: ID.region_id, start_key: "k".into(), end_key: "x".into(), ..Default::default() }
}

fn receive(from: &SnapshotStore, to: &SnapshotStore) -> crate::Result<SnapshotSink> {
    Ok(to.receive(ID, region(), from.meta(Origin::Generated, ID)?))
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
    let mut sink = receive(from, to)?;
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
    let (from, to) = (Disk::default().store(), Disk::default());
    let meta = build(&from).unwrap();
    assert_eq!(meta.cf_files.iter().map(|file| file.cf.as_str()).collect::<Vec<_>>(), ["default", "write"]);
    send(&from, &to.store(), |_, _| ()).unwrap();
    let (tables, cfs) = to.store().verify(ID).unwrap();
    assert_eq!((tables.as_str(), &cfs[..]), (TABLES, &[Cf::Default, Cf::Write][..]));
    to.kv.ingest(&tables, &cfs).unwrap();
    let counts = cfs.iter().map(|cf| {
        let mut cursor = to.kv.cursor(*cf, None, None).unwrap();
        cursor.seek_to_first();
        let mut count = 0;
        while cursor.valid() {
            assert_eq!(
                (*cf, cursor.value().len()),
                if cursor.key()[0] == b'k' { (Cf::Default, 100) } else { (Cf::Write, 0) }
            );
            count += 1;
            cursor.next();
        }
        count
    });
    assert_eq!(counts.collect::<Vec<_>>(), [200, 1]);
}

#[test]
fn an_empty_snapshot_is_one_too() {
    let (from, to) = (Disk::default().store(), Disk::default().store());
    assert!(from.build(ID).finish().unwrap().cf_files.is_empty());
    send(&from, &to, |_, _| ()).unwrap();
    assert!(to.verify(ID).unwrap().1.is_empty());
}

#[test]
fn pairs_that_are_not_of_the_region_or_not_in_order_make_no_snapshot() {
    for keys in [["k", "x"], ["j", "k"], ["l", "k"], ["k", "k"]] {
        let (from, to) = (Disk::default().store(), Disk::default());
        let mut builder = from.build(ID);
        keys.iter().for_each(|key| builder.add(Cf::Raw, key.as_bytes(), b"v").unwrap());
        builder.finish().unwrap();
        assert!(matches!(send(&from, &to.store(), |_, _| ()), Err(Error::Snapshot(_))), "{keys:?}");
        assert_eq!(to.kv.table_names(), Ok(vec![]), "{keys:?}: nothing is left behind");
    }
}

#[test]
fn a_damaged_short_or_long_stream_makes_no_snapshot() {
    let from = Disk::default().store();
    build(&from).unwrap();
    let changes: [fn(usize, &mut Vec<u8>); 4] = [
        |number, chunk| chunk[0] ^= u8::from(number == 3),
        |number, chunk| chunk.truncate(if number == 5 { 10 } else { chunk.len() }),
        |number, chunk| chunk.truncate(if number > 4 { 0 } else { chunk.len() }),
        |_, chunk| chunk.extend_from_slice(b"more"),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let to = Disk::default().store();
        assert!(matches!(send(&from, &to, change), Err(Error::Snapshot(_))), "case {case}");
        assert!(to.meta(Origin::Received, ID).is_err(), "case {case}");
    }
}

#[test]
fn a_crash_leaves_a_whole_snapshot_or_none() {
    let from = Disk::default().store();
    build(&from).unwrap();
    let full = Disk::default();
    send(&from, &full.store(), |_, _| ()).unwrap();
    assert!(full.crash(0).store().verify(ID).is_ok(), "a finished one survives");
    let mut seen = [0, 0];
    for stop in 0..22 {
        for survivors in 0..4 {
            let disk = Disk::default();
            let to = disk.store();
            let mut sink = receive(&from, &to).unwrap();
            let mut source = from.source(ID).unwrap();
            for _ in 0..stop {
                if let Some(chunk) = source.next_chunk(1000).unwrap() {
                    sink.write(&chunk).unwrap();
                }
            }
            let found = disk.crash(survivors).store();
            assert!(found.meta(Origin::Received, ID).is_err(), "nobody has finished it");
            seen[0] += 1;
        }
    }
    for survivors in 0..4 {
        // The last sync of the folder is lost: the name of the meta file may be there or not.
        let disk = Disk::default();
        send(&from, &disk.store(), |_, _| ()).unwrap();
        let unsynced = disk.dir.unsynced();
        let found = disk.crash(survivors.min(unsynced)).store();
        if found.meta(Origin::Received, ID).is_ok() {
            found.verify(ID).unwrap();
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn what_rots_on_disk_is_found_out() {
    let from = Disk::default().store();
    build(&from).unwrap();
    let arrived = || {
        let disk = Disk::default();
        send(&from, &disk.store(), |_, _| ()).unwrap();
        disk
    };
    let disk = arrived();
    disk.dir.damage("rev_7_3_42.meta", 6).unwrap();
    assert!(matches!(disk.store().verify(ID), Err(Error::Snapshot(_))));
    let disk = arrived();
    assert!(disk.kv.damage_tables(TABLES));
    assert!(matches!(disk.store().verify(ID), Err(Error::Snapshot(_))));
    let disk = arrived();
    disk.kv.remove_tables(TABLES).unwrap();
    assert!(matches!(disk.store().verify(ID), Err(Error::Snapshot(_))));
    let disk = arrived();
    disk.dir.remove("rev_7_3_42.meta").unwrap();
    assert!(matches!(disk.store().verify(ID), Err(Error::SnapshotIo(_))));
}

#[test]
fn what_comes_twice_leaves_the_first_alone() {
    let (from, disk) = (Disk::default().store(), Disk::default());
    build(&from).unwrap();
    let to = disk.store();
    send(&from, &to, |_, _| ()).unwrap();
    let mut again = receive(&from, &to).unwrap();
    let mut source = from.source(ID).unwrap();
    while let Some(chunk) = source.next_chunk(1000).unwrap() {
        again.write(&chunk).unwrap();
        to.verify(ID).expect("a restore may begin at any time");
    }
    again.finish().unwrap();
    assert!(send(&from, &to, |_, chunk| chunk[0] ^= 1).is_err(), "it is verified all the same");
    // What nobody wants any more is replaced.
    assert!(disk.kv.damage_tables(TABLES));
    to.done(Origin::Received, ID);
    send(&from, &to, |_, _| ()).unwrap();
    to.verify(ID).unwrap();
}

#[test]
fn files_go_when_nobody_needs_them() {
    let disk = Disk::default();
    let (dir, store) = (&disk.dir, disk.store());
    build(&store).unwrap();
    let in_use = store.hold(Origin::Generated, ID);
    store.done(Origin::Generated, ID);
    assert_eq!(store.collect(0).unwrap(), 0, "it is in use");
    store.discard(Origin::Generated, ID).unwrap();
    assert!(store.meta(Origin::Generated, ID).is_ok(), "it is in use");
    drop(in_use);
    assert_eq!(store.collect(100).unwrap(), 3);
    assert!(dir.list().unwrap().is_empty());
    build(&store).unwrap();
    assert_eq!(store.collect(1).unwrap(), 0);
    assert_eq!(store.collect(1).unwrap(), 3, "nobody has touched it for a while");
    build(&store).unwrap();
    store.discard(Origin::Generated, ID).unwrap();
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn a_start_keeps_only_what_is_still_to_be_restored() {
    let disk = Disk::default();
    let from = disk.store();
    build(&from).unwrap();
    send(&from, &from, |_, _| ()).unwrap();
    disk.dir.create("rev_8_1_1.meta.tmp").unwrap();
    let mut unfinished = disk.kv.table_writer("rev_9_1_1", Cf::Raw).unwrap();
    unfinished.put(b"k", b"v").unwrap();
    unfinished.finish().unwrap();
    let found = disk.store();
    assert_eq!(found.collect_at_start(|id| id == ID).unwrap(), 5);
    found.verify(ID).unwrap();
    assert_eq!(found.collect_at_start(|_| false).unwrap(), 2);
    assert!(disk.dir.list().unwrap().is_empty() && disk.kv.table_names().unwrap().is_empty());
}
