//! Project 2B: one region, its log and its data, through crashes and partitions.

use proto::metapb::Region;
use test_raftstore::cluster::{Chaos, Cluster, ELECTION, Reaction, Setup, generic, run};
use test_raftstore::verdict::FailureKind;

#[test]
fn basic_2b() {
    generic("basic_2b", Chaos::none(1));
}

#[test]
fn concurrent_2b() {
    generic("concurrent_2b", Chaos::none(5));
}

#[test]
fn unreliable_2b() {
    generic("unreliable_2b", Chaos::none(5).unreliable());
}

#[test]
fn one_partition_2b() {
    run("one_partition_2b", &Setup::new(5), |cluster| {
        // The leader is on the side of three: it goes on, and the other side learns nothing.
        let leader = cluster.leader("k1");
        let others: Vec<u64> = cluster.stores().into_iter().filter(|store| *store != leader).collect();
        let (with_leader, without) = others.split_at(2);
        cluster.partition(without);
        cluster.put("k1", "v1");
        cluster.must_get("k1", "v1");
        for store in with_leader {
            cluster.wait_stored(*store, "k1", Some("v1"));
        }
        for store in without {
            cluster.expect_eq("data behind the partition", cluster.stored(*store, "k1"), None);
        }

        // The leader is on the side of two: the three others, of which two have to catch up first, choose another one.
        let old_side = [leader, with_leader[0]];
        let new_side = [with_leader[1], without[0], without[1]];
        let region = cluster.region("k1");
        cluster.partition(&old_side);
        cluster.must_get("k1", "v1");
        cluster.put("k1", "v2");
        cluster.must_get("k1", "v2");
        assert!(new_side.contains(&cluster.leader("k1")));
        deposed_leader_does_not_answer(cluster, leader, &region);
        for store in old_side {
            cluster.expect_eq("data of the old side", cluster.stored(store, "k1").as_deref(), Some("v1"));
        }

        cluster.reconnect();
        cluster.put("k2", "v3");
        for store in cluster.stores() {
            cluster.wait_stored(store, "k1", Some("v2"));
            cluster.wait_stored(store, "k2", Some("v3"));
        }
    });
}

/// A leader without a majority may refuse a read or keep silent. It must not answer from what it has.
fn deposed_leader_does_not_answer(cluster: &mut Cluster, store: u64, region: &Region) {
    if let Reaction::Answered(Ok(value)) = cluster.read_at(store, region, "k1", 2 * ELECTION) {
        let details = format!("store {store}, which leads no more, read {value:?}; v2 was acknowledged before");
        cluster.fail(FailureKind::Safety, "LINEARIZABLE", details);
    }
}

#[test]
fn many_partitions_one_client_2b() {
    generic("many_partitions_one_client_2b", Chaos::none(1).partitions());
}

#[test]
fn many_partitions_many_clients_2b() {
    generic("many_partitions_many_clients_2b", Chaos::none(5).partitions());
}

#[test]
fn persist_one_client_2b() {
    generic("persist_one_client_2b", Chaos::none(1).crash());
}

#[test]
fn persist_concurrent_2b() {
    generic("persist_concurrent_2b", Chaos::none(5).crash());
}

#[test]
fn persist_concurrent_unreliable_2b() {
    generic("persist_concurrent_unreliable_2b", Chaos::none(5).unreliable().crash());
}

#[test]
fn persist_partition_2b() {
    generic("persist_partition_2b", Chaos::none(5).crash().partitions());
}

#[test]
fn persist_partition_unreliable_2b() {
    generic("persist_partition_unreliable_2b", Chaos::none(5).unreliable().crash().partitions());
}
