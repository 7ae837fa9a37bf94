//! Three stores: elections, writes, reads, crashes, and what is refused.

use crate::common::{Cluster, delete, put};
use bytes::Bytes;
use proto::{
    metapb::RegionEpoch,
    raft_cmdpb::{CmdType, CompareAndSwapRequest, DeleteRangeRequest, Request},
};
use raftstore::{Error, RequestHeader, store::Layout};
use storage::{Cf, Reader};

fn layouts() -> [Layout; 2] {
    [Layout::default(), Layout { log_writer: false, ..Layout::default() }]
}

fn elected(layout: Layout) -> (Cluster, u64) {
    let mut cluster = Cluster::new(layout);
    let leader = cluster.elect(None);
    (cluster, leader)
}

#[test]
fn what_was_written_is_read_and_reaches_every_store_2b() {
    for layout in layouts() {
        let (mut cluster, _) = elected(layout);
        cluster.must_put("k", "v");
        assert_eq!(cluster.must_get("k"), Some(Bytes::from("v")));
        assert_eq!(cluster.must_get("other"), None);
        cluster.tick(4);
        for store in &cluster.stores {
            assert_eq!(store.engines.kv.get(Cf::Raw, b"k").unwrap(), Some(Bytes::from("v")));
        }
    }
}

#[test]
fn a_read_makes_no_log_entry_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    cluster.must_put("k", "v");
    let last = |c: &mut Cluster| c.store(leader).parts.as_ref().unwrap().router.statuses()[0].last;
    cluster.tick(1);
    let before = last(&mut cluster);
    for _ in 0..5 {
        cluster.must_get("k");
    }
    cluster.tick(1);
    assert_eq!(last(&mut cluster), before);
}

#[test]
fn writes_that_wait_together_become_one_entry_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    let proposed = |c: &mut Cluster| {
        let metrics = c.store(leader).parts.as_ref().unwrap().router.metrics().clone();
        (metrics.writes_proposed.get(), metrics.entries_proposed.get(), metrics.log_syncs.get())
    };
    let before = proposed(&mut cluster);
    let answers: Vec<_> = (0..50)
        .map(|i| cluster.write(cluster.header(leader), vec![put(&format!("k{i}"), "v"), delete(&format!("k{i}x"))]))
        .collect();
    cluster.settle();
    for answer in answers {
        assert_eq!(answer.take().expect("answered").expect("accepted").len(), 2);
    }
    let after = proposed(&mut cluster);
    assert_eq!((after.0 - before.0, after.1 - before.1), (50, 1));
    assert_eq!(after.2 - before.2, 1, "one entry is one sync on the leader");
}

#[test]
fn a_new_leader_serves_what_the_old_one_acknowledged_2b() {
    for layout in layouts() {
        let (mut cluster, old) = elected(layout);
        cluster.must_put("k", "v1");
        cluster.crash(old, 0);
        let new = cluster.elect(Some(old));
        assert_eq!(cluster.must_get("k"), Some(Bytes::from("v1")));
        cluster.must_put("k", "v2");
        cluster.start(old);
        cluster.tick(40);
        assert_eq!(cluster.leader(), Some(new));
        assert_eq!(cluster.store(old).engines.kv.get(Cf::Raw, b"k").unwrap(), Some(Bytes::from("v2")));
    }
}

#[test]
fn all_stores_crash_and_lose_what_they_had_not_synced_2b() {
    for layout in layouts() {
        for surviving in [0, 1, 7] {
            let (mut cluster, _) = elected(layout);
            for i in 0..10 {
                cluster.must_put(&format!("k{i}"), "v");
            }
            for store in 1..=3 {
                cluster.crash(store, surviving);
            }
            for store in 1..=3 {
                cluster.start(store);
            }
            cluster.elect(None);
            for i in 0..10 {
                assert_eq!(cluster.must_get(&format!("k{i}")), Some(Bytes::from("v")), "k{i}, {surviving} survived");
            }
        }
    }
}

#[test]
fn an_isolated_leader_acknowledges_nothing_and_its_writes_are_refused_once_they_are_lost_2b() {
    let (mut cluster, old) = elected(Layout::default());
    cluster.isolated.insert(old);
    let lost = cluster.write(cluster.header(old), vec![put("k", "lost")]);
    let read = cluster.read(cluster.header(old));
    cluster.settle();
    assert!(lost.take().is_none() && read.take().is_none());
    cluster.elect(Some(old));
    cluster.must_put("k", "kept");
    assert!(lost.take().is_none(), "nobody has told the old leader yet");
    cluster.isolated.clear();
    cluster.tick(40);
    assert!(matches!(lost.error(), Error::StaleCommand), "another entry stands at its index");
    let refusal = read.error();
    assert!(matches!(refusal, Error::NotLeader { .. }), "{refusal}");
    assert_eq!(cluster.must_get("k"), Some(Bytes::from("kept")));
}

#[test]
fn a_lost_write_is_refused_even_if_the_log_never_grows_to_its_index_again_2b() {
    let (mut cluster, old) = elected(Layout::default());
    cluster.isolated.insert(old);
    let mut lost = Vec::new();
    for i in 0..20 {
        lost.push(cluster.write(cluster.header(old), vec![put(&format!("k{i}"), "lost")]));
        cluster.settle();
    }
    cluster.elect(Some(old));
    cluster.isolated.clear();
    cluster.tick(40); // the new leader's log has one entry more than what both had, and nobody writes
    for write in lost {
        assert!(matches!(write.error(), Error::StaleCommand));
    }
}

#[test]
fn requests_for_the_wrong_store_peer_leader_term_or_epoch_are_refused_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    let header = cluster.header(leader);
    let other = cluster.regions[0].peers.iter().find(|p| p.store_id != leader).copied().unwrap();
    let router = cluster.store(leader).parts.as_ref().unwrap().router.clone();
    let refused = |header: RequestHeader| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let callback = Box::new(move |r: raftstore::Result<_>| sender.send(r.map(|_| ())).unwrap());
        router.write(raftstore::WriteCommand { header, requests: vec![put("k", "v")], callback });
        receiver
    };
    let epoch = |version| RegionEpoch { conf_ver: 1, version };
    let mut swapped = header.peer;
    swapped.id = other.id;
    let cases = [
        refused(RequestHeader { region_id: 999, ..header.clone() }),
        refused(RequestHeader { peer: other, ..header.clone() }),
        refused(RequestHeader { peer: swapped, ..header.clone() }),
        refused(RequestHeader { term: 1, ..header.clone() }),
        refused(RequestHeader { epoch: epoch(0), ..header.clone() }),
        refused(RequestHeader { epoch: epoch(2), ..header.clone() }),
    ];
    cluster.settle();
    let errors = cases.map(|c| c.try_recv().expect("answered").expect_err("refused"));
    assert!(matches!(errors[0], Error::RegionNotFound { region_id: 999 }));
    assert!(matches!(errors[1], Error::StoreNotMatch { .. }));
    assert!(matches!(errors[2], Error::MismatchPeerId { .. }));
    assert!(matches!(errors[3], Error::StaleCommand));
    for error in &errors[4..] {
        let wire = error.to_region_error().unwrap().epoch_not_match.unwrap();
        assert_eq!(wire.current_regions, [cluster.regions[0].clone()]);
    }
    let follower = cluster.write(cluster.header(other.store_id), vec![put("k", "v")]);
    cluster.settle();
    let wire = follower.error().to_region_error().unwrap().not_leader.unwrap();
    assert_eq!(wire.leader.unwrap().store_id, leader);
}

#[test]
fn keys_outside_of_the_region_and_entries_over_the_limit_are_refused_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    let outside = String::from_utf8(vec![0x7f; 1]).unwrap();
    let beyond = Bytes::from(vec![0xff; 12]);
    let mut request = put(&outside, "v");
    request.put.as_mut().unwrap().key = beyond.clone();
    let whole = DeleteRangeRequest { cf: "raw".to_owned(), ..Default::default() };
    let clear = Request { cmd_type: CmdType::DeleteRange as i32, delete_range: Some(whole), ..Default::default() };
    let huge = "x".repeat(cluster.config.max_entry_bytes as usize + 1);
    let answers = [vec![request], vec![clear], vec![put("k", &huge)]].map(|r| cluster.write(cluster.header(leader), r));
    cluster.settle();
    let errors = answers.map(|a| a.error());
    assert!(matches!(&errors[0], Error::KeyNotInRegion { key, .. } if *key == beyond));
    assert!(matches!(&errors[1], Error::KeyNotInRegion { .. }), "the end of the range is not in this region");
    let wire = errors[2].to_region_error().unwrap().raft_entry_too_large.unwrap();
    assert!(wire.entry_size > cluster.config.max_entry_bytes);
    cluster.must_put("k", "fits");
}

#[test]
fn a_write_with_a_wrong_key_does_no_harm_to_those_that_come_with_it_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    let mut outside = put("k", "v");
    outside.put.as_mut().unwrap().key = Bytes::from(vec![0xff; 12]);
    let answers = [put("a", "1"), outside, put("b", "2")].map(|r| cluster.write(cluster.header(leader), vec![r]));
    cluster.settle();
    let outcomes = answers.map(|answer| answer.take().expect("answered"));
    assert_eq!(outcomes.each_ref().map(Result::is_ok), [true, false, true], "S-KEY-APPLY");
}

fn swap(key: &'static str, previous: Option<&'static str>, value: &'static str) -> Request {
    let request = CompareAndSwapRequest {
        cf: "raw".to_owned(),
        key: Bytes::from_static(key.as_bytes()),
        value: storage::raw::value::encode(value.as_bytes(), 0),
        previous_value: Bytes::from_static(previous.unwrap_or_default().as_bytes()),
        previous_not_exist: previous.is_none(),
        now: 1,
    };
    Request { cmd_type: CmdType::CompareAndSwap as i32, compare_and_swap: Some(request), ..Default::default() }
}

#[test]
fn of_swaps_that_wait_together_each_sees_the_one_before_2b() {
    let (mut cluster, leader) = elected(Layout::default());
    let requests = [swap("k", None, "a"), swap("k", None, "b"), swap("k", Some("a"), "b"), swap("k", Some("b"), "a")];
    let answers = requests.map(|r| cluster.write(cluster.header(leader), vec![r]));
    cluster.settle();
    let outcomes = answers.map(|a| a.take().unwrap().unwrap()[0].compare_and_swap.clone().unwrap());
    assert_eq!(outcomes.each_ref().map(|o| o.succeed), [true, false, true, true]);
    assert!(outcomes[0].previous_not_exist);
    assert_eq!(outcomes[1].previous_value, "a");
}

#[test]
fn a_swap_is_decided_once_whatever_part_of_the_data_a_crash_leaves_2b() {
    for surviving in 0..12 {
        let (mut cluster, leader) = elected(Layout::default());
        for request in [swap("k", None, "a"), swap("k", Some("a"), "b"), swap("k", Some("b"), "a")] {
            let answer = cluster.write(cluster.header(leader), vec![request]);
            cluster.settle();
            assert!(answer.take().unwrap().unwrap()[0].compare_and_swap.as_ref().unwrap().succeed);
        }
        for store in 1..=3 {
            cluster.crash(store, if store == leader { surviving } else { 100 });
        }
        for store in 1..=3 {
            cluster.start(store);
        }
        cluster.elect(None);
        cluster.must_put("other", "v");
        cluster.tick(4);
        for store in &cluster.stores {
            let stored = store.engines.kv.get(Cf::Raw, b"k").unwrap().unwrap();
            assert_eq!(storage::raw::value::live(&stored, 1).unwrap().unwrap(), "a", "{surviving} batches survived");
        }
    }
}

#[test]
fn leaders_report_their_regions_and_stores_themselves_2b() {
    let (cluster, leader) = elected(Layout::default());
    let reports = cluster.reports.regions.lock().unwrap();
    let report = reports.iter().rev().find(|r| r.region.as_ref().unwrap().id == cluster.regions[0].id).unwrap();
    assert_eq!(report.leader.unwrap().store_id, leader);
    let statuses = cluster.stores[leader as usize - 1].parts.as_ref().unwrap().router.statuses();
    let status = statuses.iter().find(|status| status.region.id == cluster.regions[0].id).unwrap();
    assert_eq!(report.term, status.term, "of two that believe that they lead, the scheduler believes the later one");
    let stores: std::collections::BTreeSet<_> =
        cluster.reports.stores.lock().unwrap().iter().map(|s| (s.store_id, s.region_count)).collect();
    assert_eq!(stores, [(1, 2), (2, 2), (3, 2)].into());
}
