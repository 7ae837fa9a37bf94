//! Log compaction: where logs are cut, what is deleted on disk, and what a restart makes of it.

use proto::raft_cmdpb::{AdminCmdType, AdminRequest, CompactLogRequest};
use raftstore::{Config, Error, keys, store::Layout};
use storage::{Cf, Cursor, Reader};

use crate::common::Cluster;

fn cluster() -> (Cluster, u64) {
    let never = u64::MAX >> 1;
    let config = Config { log_gc_ticks: 5, log_gc_threshold: 10, split_check_ticks: never, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    let leader = cluster.elect(None);
    (cluster, leader)
}

fn put_many(cluster: &mut Cluster, count: u64) {
    for i in 0..count {
        cluster.must_put(&format!("k{i}"), "v");
    }
}

/// (truncated, last) of the first region's log as the store says.
fn bounds(cluster: &mut Cluster, store: u64) -> (u64, u64) {
    let status = cluster.store(store).parts.as_ref().unwrap().router.statuses()[0].clone();
    (status.truncated, status.last)
}

/// First index and number of the first region's entries on disk.
fn on_disk(cluster: &mut Cluster, store: u64) -> (u64, u64) {
    let region = cluster.regions[0].id;
    let raft = cluster.store(store).engines.raft.clone();
    let (start, end) = (keys::raft_log(region, 0), keys::raft_log(region, u64::MAX));
    let mut cursor = raft.cursor(Cf::Default, Some(&start), Some(&end)).unwrap();
    cursor.seek_to_first();
    let (mut first, mut count) = (0, 0);
    while cursor.valid() {
        if count == 0 {
            first = u64::from_be_bytes(cursor.key()[9..].try_into().unwrap());
        }
        count += 1;
        cursor.next();
    }
    (first, count)
}

pub(crate) fn compact_log(compact_index: u64) -> AdminRequest {
    let compact_log = Some(CompactLogRequest { compact_index, ..Default::default() });
    AdminRequest { cmd_type: AdminCmdType::CompactLog as i32, compact_log, ..Default::default() }
}

#[test]
fn every_replica_cuts_its_log_at_the_same_place_and_deletes_what_is_cut_off_2c() {
    let (mut cluster, leader) = cluster();
    put_many(&mut cluster, 40);
    cluster.tick(20);
    let (truncated, last) = bounds(&mut cluster, leader);
    assert!(truncated >= 40, "{truncated}");
    for store in 1..=3 {
        assert_eq!(bounds(&mut cluster, store), (truncated, last));
        assert_eq!(on_disk(&mut cluster, store), (truncated + 1, last - truncated));
    }
    cluster.tick(200);
    assert!(bounds(&mut cluster, leader).1 < last + 5, "an idle region comes to rest");
}

#[test]
fn nothing_is_cut_off_that_a_member_lacks_2c() {
    let (mut cluster, leader) = cluster();
    let away = leader % 3 + 1;
    put_many(&mut cluster, 10);
    cluster.tick(1);
    let reached = bounds(&mut cluster, away).1;
    cluster.isolated.insert(away);
    put_many(&mut cluster, 40);
    cluster.tick(20);
    assert!(bounds(&mut cluster, leader).0 < reached);
    cluster.isolated.clear();
    cluster.tick(40);
    assert_eq!(bounds(&mut cluster, away), bounds(&mut cluster, leader));
    assert!(bounds(&mut cluster, away).0 > reached);
}

#[test]
fn a_store_comes_back_with_its_short_log_2c() {
    let (mut cluster, leader) = cluster();
    put_many(&mut cluster, 40);
    cluster.tick(20);
    let before = bounds(&mut cluster, leader);
    for store in 1..=3 {
        cluster.crash(store, 0);
    }
    for store in 1..=3 {
        cluster.start(store);
    }
    let leader = cluster.elect(None);
    assert_eq!(bounds(&mut cluster, leader).0, before.0);
    assert_eq!(cluster.must_get("k39"), Some("v".into()));
    put_many(&mut cluster, 40);
    cluster.tick(20);
    let (truncated, last) = bounds(&mut cluster, leader);
    assert!(truncated > before.1);
    assert_eq!(on_disk(&mut cluster, leader), (truncated + 1, last - truncated));
}

#[test]
fn an_operator_may_compact_what_is_applied_and_nothing_else_2c() {
    let (mut cluster, leader) = cluster();
    put_many(&mut cluster, 8);
    cluster.tick(1);
    let applied = bounds(&mut cluster, leader).1;
    for index in [0, 5, applied + 1, u64::MAX] {
        let answer = cluster.admin(cluster.header(leader), compact_log(index));
        cluster.settle();
        assert!(matches!(answer.error(), Error::AdminRefused { .. }), "{index}");
    }
    let answer = cluster.admin(cluster.header(leader), compact_log(8));
    cluster.settle();
    assert_eq!(answer.take().unwrap().unwrap().cmd_type, AdminCmdType::CompactLog as i32);
    cluster.tick(1);
    assert_eq!(bounds(&mut cluster, leader).0, 8);
    // A follower does not compact by itself.
    let follower = leader % 3 + 1;
    let answer = cluster.admin(cluster.header(follower), compact_log(9));
    cluster.settle();
    assert!(matches!(answer.error(), Error::NotLeader { .. }));
}

#[test]
fn commands_that_this_version_does_not_know_are_refused_before_they_reach_the_log() {
    let (mut cluster, leader) = cluster();
    cluster.tick(1);
    let last = bounds(&mut cluster, leader).1;
    for cmd_type in [AdminCmdType::InvalidAdmin, AdminCmdType::PrepareMerge, AdminCmdType::CompactLog] {
        let request = AdminRequest { cmd_type: cmd_type as i32, ..Default::default() };
        let answer = cluster.admin(cluster.header(leader), request);
        cluster.settle();
        assert!(matches!(answer.error(), Error::AdminRefused { .. }), "{cmd_type:?}");
    }
    cluster.tick(1);
    assert_eq!(bounds(&mut cluster, leader).1, last);
}
