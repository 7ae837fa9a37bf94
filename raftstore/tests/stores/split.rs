//! Splits: who decides, what is written, who learns of it, and what a crash leaves.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use proto::{
    metapb::{Region, RegionEpoch},
    raft_cmdpb::{AdminCmdType, AdminRequest, AdminResponse, BatchSplitRequest, SplitRequest},
};
use raftstore::{
    Config, Error, RequestHeader, keys,
    split::bound_for_raw,
    store::{Layout, region_states},
};
use storage::{Cf, Reader};

use crate::common::{Answer, Cluster, put};

pub(crate) fn cluster() -> (Cluster, u64) {
    with_config(Config::default())
}

pub(crate) fn with_config(config: Config) -> (Cluster, u64) {
    let mut cluster = Cluster::with_config(Layout::default(), config);
    let leader = cluster.elect(None);
    (cluster, leader)
}

fn bound(key: &str) -> Bytes {
    bound_for_raw(key.as_bytes()).unwrap()
}

pub(crate) fn split_at(keys: &[&str]) -> AdminRequest {
    let request = |key: &&str| SplitRequest { split_key: bound(key), ..Default::default() };
    let splits = BatchSplitRequest { requests: keys.iter().map(request).collect(), ..Default::default() };
    AdminRequest { cmd_type: AdminCmdType::BatchSplit as i32, splits: Some(splits), ..Default::default() }
}

pub(crate) fn header_of(region: &Region, store: u64) -> RequestHeader {
    let peer = *region.peers.iter().find(|peer| peer.store_id == store).unwrap();
    RequestHeader { region_id: region.id, epoch: region.region_epoch.unwrap(), peer, term: 0 }
}

fn split(cluster: &mut Cluster, leader: u64, keys: &[&str]) -> Vec<Region> {
    let answer = cluster.admin(cluster.header(leader), split_at(keys));
    cluster.settle();
    parts(&answer)
}

pub(crate) fn parts(answer: &Answer<AdminResponse>) -> Vec<Region> {
    answer.take().expect("answered").expect("accepted").splits.expect("the answer to a split").regions
}

/// The regions that a store has on disk, in key order.
pub(crate) fn on_disk(cluster: &mut Cluster, store: u64) -> Vec<Region> {
    let states = region_states(&cluster.store(store).engines.kv).unwrap();
    let mut regions: Vec<Region> = states.into_iter().filter_map(|state| state.region).collect();
    regions.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    regions
}

/// The regions of a store as its router, its peers and its map know them.
fn in_memory(cluster: &mut Cluster, store: u64) -> Vec<Region> {
    let router = cluster.store(store).parts.as_ref().unwrap().router.clone();
    let meta = router.meta().lock();
    let regions: Vec<Region> = meta.overlapping(b"", b"").cloned().collect();
    let mut ids: Vec<u64> = regions.iter().map(|region| region.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, router.region_ids(), "S-META-AGREE: the router and the map");
    for status in router.statuses() {
        assert_eq!(meta.region(status.region.id), Some(&status.region), "S-META-AGREE: a peer and the map");
    }
    regions
}

pub(crate) fn write(cluster: &mut Cluster, region: &Region, key: &str, value: &str) -> Result<(), Error> {
    let leader = cluster.leader_of(region.id).expect("the region has a leader");
    let answer = cluster.write(header_of(region, leader), vec![put(key, value)]);
    cluster.settle();
    answer.take().expect("answered").map(drop)
}

fn read(cluster: &mut Cluster, region: &Region, key: &str) -> Result<Option<Bytes>, Error> {
    let leader = cluster.leader_of(region.id).expect("the region has a leader");
    let answer = cluster.read(header_of(region, leader));
    cluster.settle();
    let view = answer.take().expect("answered")?;
    assert_eq!(*view.region, *region, "S-READ-REGION");
    Ok(view.snapshot.get(Cf::Raw, key.as_bytes()).unwrap().map(|value| value.slice(..)))
}

#[test]
fn a_split_makes_regions_that_serve_at_once_on_every_store_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.must_put("m", "2");
    cluster.must_put("x", "3");
    let parent = cluster.regions[0].clone();
    let found = split(&mut cluster, leader, &["g", "t"]);

    let bounds: Vec<_> = found.iter().map(|part| (part.start_key.clone(), part.end_key.clone())).collect();
    let expected = [(Bytes::new(), bound("g")), (bound("g"), bound("t")), (bound("t"), parent.end_key.clone())];
    assert_eq!(bounds, expected);
    assert_eq!(found[2].id, parent.id, "the last part keeps the id");
    assert!(found.iter().all(|part| part.region_epoch == Some(RegionEpoch { conf_ver: 1, version: 3 })));
    let sentinel = cluster.regions[1].clone();
    let all: Vec<Region> = found.iter().cloned().chain([sentinel]).collect();
    for store in 1..=3 {
        assert_eq!(on_disk(&mut cluster, store), all);
        assert_eq!(in_memory(&mut cluster, store), all);
    }
    // Without a tick: the parent's leader has let the new peers campaign.
    for (part, key, value) in [(0, "a", "1"), (1, "m", "2"), (2, "x", "3")] {
        assert_eq!(cluster.leader_of(found[part].id), Some(leader));
        assert!(read(&mut cluster, &found[part], key).unwrap().unwrap().starts_with(value.as_bytes()));
        write(&mut cluster, &found[part], key, "new").unwrap();
        assert!(read(&mut cluster, &found[part], key).unwrap().unwrap().starts_with(b"new"));
    }
    assert!(matches!(write(&mut cluster, &found[0], "m", "lost"), Err(Error::KeyNotInRegion { .. })));
}

#[test]
fn the_scheduler_hears_of_all_parts_at_once_and_of_their_leaders_without_a_tick_3b() {
    let (mut cluster, leader) = cluster();
    cluster.reports.regions.lock().unwrap().clear();
    let found = split(&mut cluster, leader, &["g"]);
    assert_eq!(cluster.reports.splits.lock().unwrap()[..], *std::slice::from_ref(&found), "one report, by the leader");
    let heartbeats = cluster.reports.regions.lock().unwrap();
    for part in &found {
        let heartbeat = heartbeats.iter().rfind(|heartbeat| heartbeat.region.as_ref() == Some(part));
        assert_eq!(heartbeat.and_then(|heartbeat| heartbeat.leader).unwrap().store_id, leader, "{part:?}");
    }
}

#[test]
fn who_comes_with_the_old_epoch_is_told_all_parts_3b() {
    let (mut cluster, leader) = cluster();
    let old = cluster.regions[0].clone();
    let found = split(&mut cluster, leader, &["g", "t"]);
    let same = |mut told: Vec<Region>| {
        told.sort_by(|a, b| a.start_key.cmp(&b.start_key));
        assert_eq!(told, found);
    };
    match write(&mut cluster, &old, "x", "1") {
        Err(Error::EpochNotMatch { current }) => same(current),
        other => panic!("{other:?}"),
    }
    match read(&mut cluster, &old, "x") {
        Err(Error::EpochNotMatch { current }) => same(current),
        other => panic!("{other:?}"),
    }
    // Of a part that was split again, the newest is told.
    let answer = cluster.admin(header_of(&found[0], leader), split_at(&["c"]));
    cluster.settle();
    let again = parts(&answer);
    match write(&mut cluster, &old, "x", "1") {
        Err(Error::EpochNotMatch { current }) => assert!(current.contains(&again[1]), "{current:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_that_was_proposed_before_the_split_keeps_its_place_and_one_behind_it_changes_nothing_3b() {
    let (mut cluster, leader) = cluster();
    let header = cluster.header(leader);
    let before = cluster.write(header.clone(), vec![put("a", "before")]);
    let splitting = cluster.admin(header.clone(), split_at(&["g"]));
    let behind = cluster.write(header.clone(), vec![put("a", "behind")]);
    let reading = cluster.read(header);
    cluster.settle();
    assert!(before.take().unwrap().is_ok());
    let found = parts(&splitting);
    // Depending on when the ids came, it went before the split or was refused; in no case did it land in the wrong region.
    let expected: &[u8] = match behind.take().unwrap() {
        Ok(_) => b"behind",
        Err(Error::EpochNotMatch { .. }) => b"before",
        Err(other) => panic!("{other}"),
    };
    assert!(read(&mut cluster, &found[0], "a").unwrap().unwrap().starts_with(expected));
    assert!(reading.take().is_some());
}

#[test]
fn an_entry_with_the_epoch_before_a_split_is_refused_when_it_is_applied_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.lazy.extend((1..=3).filter(|store| *store != leader));
    let found = split(&mut cluster, leader, &["g"]);
    cluster.isolated.insert(leader);
    // The new leader has the split in its log, but has not applied it: what it proposes now has the epoch from before.
    let slow = cluster.elect(Some(leader));
    let answer = cluster.write(cluster.header(slow), vec![put("a", "wrong"), put("x", "wrong")]);
    cluster.settle();
    assert!(answer.take().is_none(), "it is proposed");
    cluster.lazy.clear();
    cluster.settle();
    match answer.error() {
        Error::EpochNotMatch { mut current } => {
            current.sort_by(|a, b| a.start_key.cmp(&b.start_key));
            assert_eq!(current, found, "both halves are told");
        }
        other => panic!("{other}"),
    }
    for store in 1..=3 {
        let kv = cluster.store(store).engines.kv.clone();
        assert!(kv.get(Cf::Raw, b"x").unwrap().is_none());
        assert_eq!(kv.get(Cf::Raw, b"a").unwrap().unwrap(), b"1"[..]);
    }
}

#[test]
fn keys_that_cut_nothing_and_requests_for_another_epoch_are_refused_3b() {
    let (mut cluster, leader) = cluster();
    let found = split(&mut cluster, leader, &["g"]);
    let right = header_of(&found[1], leader);
    for keys in [&["g"][..], &["c"], &["t", "k"], &["t", "t"]] {
        let answer = cluster.admin(right.clone(), split_at(keys));
        cluster.settle();
        assert!(matches!(answer.error(), Error::AdminRefused { .. }), "{keys:?}");
    }
    // A bound that transactional clients cannot read, and the end of the region.
    for split_key in [Bytes::from_static(b"t"), found[1].end_key.clone()] {
        let request = SplitRequest { split_key: split_key.clone(), ..Default::default() };
        let splits = Some(BatchSplitRequest { requests: vec![request], ..Default::default() });
        let answer = cluster.admin(right.clone(), AdminRequest { splits, ..split_at(&[]) });
        cluster.settle();
        assert!(matches!(answer.error(), Error::AdminRefused { .. }), "{split_key:?}");
    }
    for epoch in [RegionEpoch { conf_ver: 2, version: 2 }, RegionEpoch { conf_ver: 1, version: 1 }] {
        let answer = cluster.admin(RequestHeader { epoch, ..right.clone() }, split_at(&["t"]));
        cluster.settle();
        assert!(matches!(answer.error(), Error::EpochNotMatch { .. }));
    }
    let follower = leader % 3 + 1;
    let answer = cluster.admin(header_of(&found[1], follower), split_at(&["t"]));
    cluster.settle();
    assert!(matches!(answer.error(), Error::NotLeader { .. }));
    assert_eq!(cluster.reports.splits.lock().unwrap().len(), 1, "nothing was split");
}

#[test]
fn one_split_at_a_time_and_none_waits_for_ever_for_its_ids_3b() {
    let (mut cluster, leader) = with_config(Config { split_check_ticks: 5, split_wait_ticks: 20, ..Config::default() });
    cluster.reports.silent.store(true, Ordering::Relaxed);
    let header = cluster.header(leader);
    let first = cluster.admin(header.clone(), split_at(&["g"]));
    cluster.settle();
    let second = cluster.admin(header.clone(), split_at(&["t"]));
    cluster.settle();
    assert!(matches!(second.error(), Error::ServerIsBusy { .. }));
    assert!(first.take().is_none());
    cluster.must_put("a", "served meanwhile");
    cluster.tick(30);
    assert!(matches!(first.error(), Error::ServerIsBusy { .. }));
    // Ids that come too late are for nobody.
    assert_eq!(cluster.reports.answer_questions(), 1);
    cluster.settle();
    assert_eq!(on_disk(&mut cluster, leader), cluster.regions);
    let third = cluster.admin(header, split_at(&["t"]));
    cluster.settle();
    cluster.reports.answer_questions();
    cluster.settle();
    assert_eq!(parts(&third).len(), 2);
}

#[test]
fn a_leader_that_is_deposed_while_it_waits_for_ids_splits_nothing_3b() {
    let (mut cluster, leader) = with_config(Config { split_wait_ticks: 10_000, ..Config::default() });
    cluster.reports.silent.store(true, Ordering::Relaxed);
    let answer = cluster.admin(cluster.header(leader), split_at(&["g"]));
    cluster.settle();
    cluster.isolated.insert(leader);
    cluster.elect(Some(leader));
    cluster.isolated.clear();
    cluster.tick(50);
    assert!(matches!(answer.error(), Error::NotLeader { .. }));
    cluster.reports.answer_questions();
    cluster.settle();
    assert_eq!(on_disk(&mut cluster, leader), cluster.regions);
}

#[test]
fn a_crash_right_after_the_split_is_applied_loses_no_region_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let found = split(&mut cluster, leader, &["g"]);
    for store in 1..=3 {
        // Nothing survives but what was synced.
        cluster.crash(store, 0);
    }
    for store in 1..=3 {
        let regions = on_disk(&mut cluster, store);
        assert_eq!(regions[..2], found[..], "S-RESTART-EQ");
        cluster.start(store);
        assert_eq!(in_memory(&mut cluster, store), regions);
    }
    cluster.elect(None);
    for _ in 0..100 {
        cluster.tick(1);
    }
    assert!(read(&mut cluster, &found[0], "a").unwrap().is_some());
    write(&mut cluster, &found[0], "b", "2").unwrap();
    write(&mut cluster, &found[1], "x", "3").unwrap();
}

#[test]
fn a_new_region_begins_with_its_own_log_3b() {
    let (mut cluster, leader) = with_config(Config { log_gc_ticks: 5, log_gc_threshold: 10, ..Config::default() });
    for i in 0..50 {
        cluster.must_put(&format!("a{i}"), "v");
    }
    cluster.tick(20);
    let found = split(&mut cluster, leader, &["g"]);
    let child = found[0].id;
    let raft = cluster.store(leader).engines.raft.clone();
    assert!(raft.get(Cf::Default, &keys::raft_log(child, 6)).unwrap().is_some(), "its log begins behind index 5");
    for i in 0..50 {
        write(&mut cluster, &found[0], &format!("b{i}"), "v").unwrap();
    }
    cluster.tick(20);
    let statuses = cluster.store(leader).parts.as_ref().unwrap().router.statuses();
    let status = statuses.iter().find(|status| status.region.id == child).unwrap();
    assert!(status.truncated > 40 && status.truncated < status.last, "its log is compacted like any other: {status:?}");
}

#[test]
fn a_store_that_was_away_splits_when_it_is_back_3b() {
    let (mut cluster, leader) = cluster();
    let away = leader % 3 + 1;
    cluster.isolated.insert(away);
    cluster.must_put("a", "1");
    let found = split(&mut cluster, leader, &["g"]);
    write(&mut cluster, &found[0], "b", "2").unwrap();
    assert_eq!(on_disk(&mut cluster, away), cluster.regions);
    cluster.isolated.clear();
    cluster.tick(10);
    assert_eq!(on_disk(&mut cluster, away)[..2], found[..]);
    let kv = cluster.store(away).engines.kv.clone();
    assert!(kv.get(Cf::Raw, b"b").unwrap().is_some(), "the new region caught up");
}

#[test]
fn a_vote_that_comes_before_the_split_is_kept_until_it_is_applied_3b() {
    let (mut cluster, leader) = cluster();
    let slow = leader % 3 + 1;
    let other = slow % 3 + 1;
    // The third store is away, so that the new region needs the vote of the slow one; and that one applies nothing for now.
    let other = if other == leader { other % 3 + 1 } else { other };
    cluster.isolated.insert(other);
    cluster.lazy.insert(slow);
    let answer = cluster.admin(cluster.header(leader), split_at(&["g"]));
    cluster.settle();
    let found = parts(&answer);
    assert_eq!(cluster.leader_of(found[0].id), None);
    assert_eq!(on_disk(&mut cluster, slow), cluster.regions);
    cluster.lazy.clear();
    cluster.settle();
    // Without a tick.
    assert_eq!(cluster.leader_of(found[0].id), Some(leader));
}
