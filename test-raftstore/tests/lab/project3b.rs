//! Project 3B: leaders that are moved, members that come and go, regions that are split.

use bytes::Bytes;
use raftstore::Error;
use test_raftstore::cluster::{Chaos, Cluster, ELECTION, PATIENCE, Reaction, SETTLING, Setup, generic, run};
use test_raftstore::verdict::FailureKind;

/// Bytes of a region that is too large, in `one_split_3b`.
const MAX_BYTES: u64 = 800;
/// Bytes of its parts.
const SPLIT_BYTES: u64 = 500;

#[test]
fn one_split_3b() {
    let setup = Setup { split: Some((MAX_BYTES, SPLIT_BYTES)), ..Setup::new(5) };
    run("one_split_3b", &setup, |cluster| {
        cluster.put("k000", "first");
        cluster.put("k099", "last");
        let parent = cluster.region("k000");
        cluster.expect_eq("the region of both keys", cluster.region("k099"), parent.clone());

        // A store that is away learns of the split later, from its log.
        let leader = cluster.leader("k000");
        let away = cluster.stores().into_iter().find(|store| *store != leader).unwrap_or_default();
        cluster.isolate(away);
        for number in 0..100 {
            cluster.put(&format!("k{number:03}"), &format!("v{number:03}"));
        }
        cluster.wait("L-SPLIT", "both keys are still in one region", PATIENCE, |cluster| {
            cluster.region("k000").id != cluster.region("k099").id
        });
        wrong_region_is_refused(cluster);
        cluster.expect_eq("regions of the store that is away", cluster.regions_on(away).len(), 2);

        cluster.reconnect();
        let region = cluster.region("k050");
        assert!(parent.start_key <= region.start_key && region.end_key <= parent.end_key);
        for number in 0..100 {
            let (key, value) = (format!("k{number:03}"), format!("v{number:03}"));
            cluster.wait_stored(away, &key, Some(&value));
            cluster.must_get(&key, &value);
        }
        cluster.wait("L-SPLIT", "a region is larger than it may be", SETTLING, all_regions_are_small);
        cluster.settle();
        let parts = cluster.known_regions().into_iter().filter(|part| part.end_key <= parent.end_key).count();
        // 100 keys of 16 bytes each.
        assert!(parts as u64 >= 1600 / MAX_BYTES, "{parts} regions");
    });
}

/// A key of the right part is refused by the left one.
fn wrong_region_is_refused(cluster: &mut Cluster) {
    let (leader, left) = (cluster.leader("k000"), cluster.region("k000"));
    match cluster.write_at(leader, &left, "k099", "lost", PATIENCE) {
        Reaction::Answered(Err(
            Error::KeyNotInRegion { .. } | Error::EpochNotMatch { .. } | Error::NotLeader { .. },
        )) => {}
        other => {
            let details = format!("a write of k099 to the region of k000 was answered with {other:?}");
            cluster.fail(FailureKind::Safety, "S-KEY-APPLY", details);
        }
    }
}

fn all_regions_are_small(cluster: &mut Cluster) -> bool {
    let regions = cluster.known_regions();
    regions.iter().all(|region| {
        cluster.known_leader(region.id).is_some_and(|leader| cluster.bytes_in(leader.store_id, region) <= MAX_BYTES)
    })
}

#[test]
fn split_recover_3b() {
    generic("split_recover_3b", Chaos::none(1).crash().split());
}

#[test]
fn split_recover_many_clients_3b() {
    generic("split_recover_many_clients_3b", Chaos::none(20).crash().split());
}

#[test]
fn split_unreliable_3b() {
    generic("split_unreliable_3b", Chaos::none(5).unreliable().split());
}

#[test]
fn split_unreliable_recover_3b() {
    generic("split_unreliable_recover_3b", Chaos::none(5).unreliable().crash().split());
}

#[test]
fn split_under_way_3b() {
    // A write and a scan that were made for a region before it was split must not take effect in the wrong part, nor get lost.
    run("split_under_way_3b", &Setup::new(3), |cluster| {
        for key in ["a", "h", "m", "t"] {
            cluster.put(key, "before");
        }
        let (old, leader) = (cluster.region("a"), cluster.leader("a"));
        cluster.split("h");
        cluster.split("m");
        for key in ["a", "h", "t"] {
            // What was made for the old region is told what the regions are now.
            match cluster.write_at(leader, &old, key, "lost", ELECTION) {
                Reaction::Answered(Err(Error::EpochNotMatch { current })) => {
                    let known = current.iter().any(|region| region.id == cluster.region("a").id || region.id == old.id);
                    assert!(known, "{current:?}");
                }
                Reaction::Answered(Err(Error::NotLeader { .. } | Error::RegionNotFound { .. })) => {}
                other => {
                    let details = format!("a write with the epoch of {old:?} was answered with {other:?}");
                    cluster.fail(FailureKind::Safety, "S-EPOCH-APPLY", details);
                }
            }
        }
        let pairs = cluster.scan("a", "z");
        let expected = ["a", "h", "m", "t"].map(|key| (key.to_owned(), "before".to_owned()));
        cluster.expect_eq("all keys", pairs, expected.to_vec());
        cluster.put("h", "after");
        cluster.crash_all();
        cluster.start_all();
        cluster.must_get("h", "after");
        let bounds: Vec<Bytes> = cluster.known_regions().into_iter().map(|region| region.start_key).collect();
        assert_eq!(bounds.len(), 4, "{bounds:?}");
    });
}

#[test]
fn transfer_leader_3b() {
    run("transfer_leader_3b", &Setup::new(5), |cluster| {
        cluster.put("k0", "v");
        for store in cluster.stores() {
            cluster.transfer_leader("k0", store);
            cluster.put(&format!("k{store}"), "v");
            cluster.must_get("k0", "v");
        }
        // A transfer to a store that cannot be reached is given up, and the region goes on.
        let away = cluster.leader("k0") % 5 + 1;
        cluster.isolate(away);
        cluster.ask_transfer("k0", away);
        cluster.put("k6", "v");
        cluster.reconnect();
        cluster.transfer_leader("k0", away);
        cluster.must_get("k6", "v");
    });
}

#[test]
fn basic_conf_change_3b() {
    run("basic_conf_change_3b", &Setup::new(5), |cluster| {
        cluster.put("k0", "v0");
        for store in [5, 4, 3, 2] {
            cluster.remove_peer("k0", store);
        }
        cluster.expect_eq("members", cluster.members("k0"), vec![1]);
        cluster.put("k1", "v1");
        for store in [2, 3, 4, 5] {
            cluster.expect_eq("data of a store that is no member", cluster.stored(store, "k0"), None);
            cluster.expect_eq("data of a store that is no member", cluster.stored(store, "k1"), None);
        }

        // A new member gets what was there before it, and what comes.
        cluster.add_peer("k0", 2);
        cluster.wait_stored(2, "k1", Some("v1"));
        cluster.put("k2", "v2");
        cluster.wait_stored(2, "k2", Some("v2"));
        let epoch = cluster.region("k0").region_epoch.unwrap_or_default();
        assert!(epoch.conf_ver > 5, "{epoch:?}");

        // A member that goes leaves nothing behind.
        cluster.add_peer("k0", 3);
        cluster.remove_peer("k0", 2);
        cluster.put("k3", "v3");
        holds(cluster, 3, &[("k0", Some("v0")), ("k1", Some("v1")), ("k2", Some("v2")), ("k3", Some("v3"))]);
        holds(cluster, 2, &[("k0", None), ("k1", None), ("k2", None), ("k3", None)]);

        // The same store again and again, each time with another peer.
        let mut last = 0;
        for round in 0..3 {
            cluster.add_peer("k0", 2);
            let peer = cluster.region("k0").peers.into_iter().find(|peer| peer.store_id == 2).unwrap_or_default();
            assert!(peer.id > last, "peer {} comes after {last}", peer.id);
            last = peer.id;
            cluster.put("k4", &format!("round {round}"));
            cluster.wait_stored(2, "k4", Some(&format!("round {round}")));
            if round < 2 {
                cluster.remove_peer("k0", 2);
                holds(cluster, 2, &[("k0", None), ("k4", None)]);
            }
        }
        cluster.remove_peer("k0", 3);
        cluster.put("k5", "v5");
        holds(cluster, 2, &[("k0", Some("v0")), ("k3", Some("v3")), ("k4", Some("round 2")), ("k5", Some("v5"))]);
        holds(cluster, 3, &[("k0", None), ("k5", None)]);
        cluster.expect_eq("members", cluster.members("k0"), vec![1, 2]);
    });
}

fn holds(cluster: &mut Cluster, store: u64, pairs: &[(&str, Option<&str>)]) {
    for (key, value) in pairs {
        cluster.wait_stored(store, key, *value);
    }
}

#[test]
fn conf_change_remove_leader_3b() {
    run("conf_change_remove_leader_3b", &Setup::new(5), |cluster| {
        cluster.put("k0", "v0");
        cluster.transfer_leader("k0", 1);
        cluster.remove_peer("k0", 1);
        cluster.put("k1", "v1");
        cluster.expect_eq("data of the leader that went", cluster.stored(1, "k0"), None);
        cluster.add_peer("k0", 1);
        cluster.transfer_leader("k0", 1);
        cluster.put("k2", "v2");
        cluster.wait_stored(1, "k2", Some("v2"));

        // Of two members the leader goes, while the network loses what it can: the other one must not wait for the votes of both.
        for store in [2, 3, 4] {
            cluster.remove_peer("k0", store);
        }
        cluster.expect_eq("members", cluster.members("k0"), vec![1, 5]);
        cluster.lose_messages(200);
        let leader = cluster.leader("k0");
        cluster.remove_peer("k0", leader);
        cluster.heal();
        cluster.put("k3", "v3");
        let last = cluster.leader("k0");
        cluster.expect_eq("members", cluster.members("k0"), vec![last]);
        cluster.add_peer("k0", leader);
        cluster.put("k4", "v4");
        cluster.wait_stored(leader, "k4", Some("v4"));
        cluster.expect_eq("data of a store that went long ago", cluster.stored(3, "k0"), None);
    });
}

#[test]
fn conf_change_recover_3b() {
    generic("conf_change_recover_3b", Chaos::none(1).crash().conf_change());
}

#[test]
fn conf_change_recover_many_clients_3b() {
    generic("conf_change_recover_many_clients_3b", Chaos::none(20).crash().conf_change());
}

#[test]
fn conf_change_unreliable_3b() {
    generic("conf_change_unreliable_3b", Chaos::none(5).unreliable().conf_change());
}

#[test]
fn conf_change_unreliable_recover_3b() {
    generic("conf_change_unreliable_recover_3b", Chaos::none(5).unreliable().crash().conf_change());
}

#[test]
fn conf_change_snapshot_unreliable_recover_3b() {
    let chaos = Chaos::none(5).unreliable().crash().log_limit(20).conf_change();
    generic("conf_change_snapshot_unreliable_recover_3b", chaos);
}

#[test]
fn conf_change_snapshot_unreliable_recover_concurrent_partition_3b() {
    let chaos = Chaos::none(5).unreliable().crash().partitions().log_limit(20).conf_change();
    generic("conf_change_snapshot_unreliable_recover_concurrent_partition_3b", chaos);
}

#[test]
fn split_conf_change_snapshot_unreliable_recover_3b() {
    let chaos = Chaos::none(5).unreliable().crash().log_limit(20).conf_change().split();
    generic("split_conf_change_snapshot_unreliable_recover_3b", chaos);
}

#[test]
fn split_conf_change_snapshot_unreliable_recover_concurrent_partition_3b() {
    let chaos = Chaos::none(5).unreliable().crash().partitions().log_limit(20).conf_change().split();
    generic("split_conf_change_snapshot_unreliable_recover_concurrent_partition_3b", chaos);
}
