//! Project 3B: regions that are split.

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
