//! What the stores are at when one of them crashes. Each scenario comes to one or several rows of the write-order table, opens the window in
//! which changes are numbered just before that, and says in the end what must have been achieved.
//!
//! A script holds whether or not a store crashes for some ticks in the window. It runs on one seed: up to the crash everything is as it was
//! when the changes were counted.

use raftstore::Config;

use super::watch::Watch;
use crate::cluster::{Cluster, ELECTION, PATIENCE, SETTLING};
use crate::history::Operation;
use scheduler::state::OperatorKind;

/// The store whose peer leads the region of the data when the window opens. Others follow.
const LEADER: u64 = 1;
const FOLLOWER: u64 = 2;
/// The store that comes, goes, or has missed something.
const OTHER: u64 = 3;

/// See the module.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Its seed.
    pub seed: u64,
    /// How many stores.
    pub stores: u64,
    /// The stores that crash.
    pub victims: &'static [u64],
    /// Entries after which the log is compacted.
    pub log_limit: Option<u64>,
    /// What else is to be set.
    pub settings: fn(&mut Config),
    /// Whether the raft log is written in a stage of its own.
    pub log_writer: bool,
    /// The window is open from before the first start.
    pub from_birth: bool,
    /// What happens.
    pub script: fn(&mut Cluster, &Watch),
}

const PLAIN: Scenario = Scenario {
    name: "",
    seed: 1,
    stores: 3,
    victims: &[],
    log_limit: None,
    settings: |_| (),
    log_writer: true,
    from_birth: false,
    script: |_, _| (),
};

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario { name: "bootstrap", victims: &[LEADER, OTHER], from_birth: true, script: bootstrap, ..PLAIN },
    Scenario { name: "append", victims: &[LEADER, FOLLOWER], script: append, ..PLAIN },
    Scenario { name: "append-inline", victims: &[LEADER, FOLLOWER], log_writer: false, script: append, ..PLAIN },
    Scenario { name: "alone", stores: 1, victims: &[LEADER], log_limit: Some(4), script: compaction, ..PLAIN },
    Scenario { name: "conflict", victims: &[LEADER, FOLLOWER], script: conflict, ..PLAIN },
    Scenario { name: "compaction", victims: &[LEADER, FOLLOWER], log_limit: Some(4), script: compaction, ..PLAIN },
    Scenario {
        name: "snapshot",
        victims: &[LEADER, OTHER],
        log_limit: Some(5),
        settings: collected_soon,
        script: snapshot,
        ..PLAIN
    },
    Scenario {
        name: "snapshot-of-a-part",
        victims: &[OTHER],
        log_limit: Some(5),
        settings: collected_soon,
        script: snapshot_of_a_part,
        ..PLAIN
    },
    Scenario { name: "split", victims: &[LEADER, FOLLOWER], script: split, ..PLAIN },
    // Where nobody else has the new region, it comes from this store's disk or not at all.
    Scenario { name: "split-alone", stores: 1, victims: &[LEADER], script: split, ..PLAIN },
    Scenario { name: "late-split", victims: &[OTHER], script: late_split, ..PLAIN },
    Scenario {
        name: "add-peer",
        victims: &[LEADER, FOLLOWER, OTHER],
        settings: collected_soon,
        script: add_peer,
        ..PLAIN
    },
    Scenario { name: "adopted-split", seed: 3, victims: &[OTHER], script: adopted_split, ..PLAIN },
    Scenario { name: "remove-peer", victims: &[LEADER, FOLLOWER, OTHER], script: remove_peer, ..PLAIN },
    Scenario { name: "remove-leader", victims: &[LEADER, FOLLOWER], script: remove_leader, ..PLAIN },
    Scenario { name: "missed-removal", victims: &[OTHER], script: missed_removal, ..PLAIN },
];

/// Files and tables of snapshots that nobody needs are collected soon.
fn collected_soon(config: &mut Config) {
    config.snapshot_gc_ticks = 5;
    config.snapshot_gc_patience = 2;
}

/// The leader leads, and everything else is at rest.
fn begin(cluster: &mut Cluster) {
    cluster.leader("k");
    if cluster.stores().len() > 1 && cluster.leader("k") != LEADER {
        cluster.transfer_leader("k", LEADER);
    }
    cluster.put("k", "first");
    cluster.settle();
}

/// Nothing is under way any more, so that the last changes have numbers, too.
fn end(cluster: &mut Cluster, watch: &Watch) {
    cluster.advance(3);
    watch.close();
    cluster.settle();
}

/// The identities of the stores, the first peers, the first leader; and a first split, after which nobody makes the first peers again.
fn bootstrap(cluster: &mut Cluster, watch: &Watch) {
    // Without a word about a region: no store has one yet.
    cluster.advance(ELECTION);
    cluster.put("k", "first");
    cluster.split("m");
    cluster.put("z", "second");
    end(cluster, watch);
    cluster.must_get("k", "first");
    cluster.must_get("z", "second");
    cluster.expect_eq("regions", cluster.known_regions().len(), 3);
}

fn append(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    watch.open();
    cluster.put("a", "1");
    let swap = Operation::CompareAndSwap { key: "a".into(), expected: Some("1".into()), value: "2".into() };
    cluster.ask(swap, PATIENCE);
    cluster.put("b", "3");
    cluster.delete("k");
    end(cluster, watch);
    let found = cluster.get("a").unwrap_or_default();
    // A swap whose answer got lost may have been made, and is not made again.
    cluster.expect_eq("a swap took place", found.as_str(), "2");
    cluster.must_get("b", "3");
    let deleted = cluster.get("k");
    cluster.expect_eq("what was deleted", deleted, None);
}

/// A leader that is cut off appends what nobody will commit; its successor's entries take their place.
fn conflict(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.isolate(LEADER);
    watch.open();
    let region = cluster.region("k");
    for value in ["lost", "lost as well"] {
        cluster.write_at(LEADER, &region, "k", value, 1);
    }
    cluster.leader_among("k", &[FOLLOWER, OTHER]);
    cluster.put("k", "won");
    cluster.reconnect();
    cluster.wait_stored(LEADER, "k", Some("won"));
    end(cluster, watch);
    cluster.must_get("k", "won");
}

fn compaction(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    watch.open();
    for number in 0..5 {
        cluster.put(&format!("k{}", number % 3), &number.to_string());
    }
    let region = cluster.region("k").id;
    cluster.wait("L-LOG-GC", "logs are not compacted", SETTLING, |cluster| {
        let truncated = |store| cluster.truncated_and_applied(store, region).map_or(0, |(truncated, _)| truncated);
        cluster.stores().into_iter().all(|store| truncated(store) > 7)
    });
    end(cluster, watch);
    for (key, value) in [("k0", "3"), ("k1", "4"), ("k2", "2")] {
        cluster.must_get(key, value);
    }
}

/// A store that was away gets a snapshot in the place of what it has.
fn snapshot(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("gone", "before the snapshot");
    cluster.wait_stored(OTHER, "gone", Some("before the snapshot"));
    cluster.isolate(OTHER);
    cluster.delete("gone");
    for key in ["a", "b", "c"] {
        cluster.put(key, "in the snapshot");
    }
    cluster.leave_behind(OTHER, "k");
    let before = cluster.snapshots();
    watch.open();
    cluster.reconnect();
    cluster.wait_stored(OTHER, "c", Some("in the snapshot"));
    cluster.put("d", "behind the snapshot");
    cluster.wait_stored(OTHER, "d", Some("behind the snapshot"));
    cluster.advance(ELECTION);
    end(cluster, watch);
    if cluster.snapshots() == before {
        cluster.fail(crate::verdict::FailureKind::Contract, "TEST", "there was no snapshot".to_owned());
    }
    cluster.wait_stored(OTHER, "gone", None);
    cluster.must_get("a", "in the snapshot");
    cluster.must_get("d", "behind the snapshot");
}

/// A store that has missed a split gets a snapshot of what is left of the region. The other part comes to it as a new region.
fn snapshot_of_a_part(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("a", "left");
    cluster.put("z", "right");
    cluster.settle();
    cluster.isolate(OTHER);
    let parent = cluster.region("z").id;
    let behind = cluster.truncated_and_applied(OTHER, parent).map_or(0, |(_, applied)| applied);
    cluster.split("m");
    cluster.expect_eq("the region that keeps its id", cluster.region("z").id, parent);
    cluster.put("b", "left");
    for number in 0..8 {
        cluster.put("y", &number.to_string());
    }
    let what = "the log still reaches back to what the store that is away has";
    cluster.wait("L-LOG-GC", what, PATIENCE, |cluster| {
        let leader = cluster.leader("z");
        cluster.truncated_and_applied(leader, parent).is_some_and(|(truncated, _)| truncated > behind)
    });
    watch.open();
    cluster.reconnect();
    cluster.put("y", "right");
    for (key, value) in [("a", "left"), ("b", "left"), ("y", "right"), ("z", "right")] {
        cluster.wait_stored(OTHER, key, Some(value));
    }
    end(cluster, watch);
    check_split(cluster);
}

fn split(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("a", "left");
    cluster.put("z", "right");
    watch.open();
    cluster.split("m");
    cluster.put("b", "left");
    cluster.put("y", "right");
    end(cluster, watch);
    check_split(cluster);
}

/// The split has been carried out once, and both parts serve.
fn check_split(cluster: &mut Cluster) {
    cluster.expect_eq("regions", cluster.known_regions().len(), 3);
    for store in cluster.stores() {
        cluster.expect_eq("regions of a store", cluster.regions_on(store).len(), 3);
    }
    for (key, value) in [("a", "left"), ("b", "left"), ("y", "right"), ("z", "right")] {
        cluster.must_get(key, value);
    }
    let left = cluster.region("a");
    cluster.expect_eq("version", left.region_epoch.unwrap_or_default().version, 2);
}

/// A store that was away applies the split when the new region has long been at work.
fn late_split(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("a", "left");
    cluster.put("z", "right");
    cluster.isolate(OTHER);
    cluster.split("m");
    cluster.put("b", "left");
    cluster.put("y", "right");
    watch.open();
    cluster.reconnect();
    cluster.wait_stored(OTHER, "b", Some("left"));
    cluster.wait_stored(OTHER, "y", Some("right"));
    end(cluster, watch);
    check_split(cluster);
}

fn add_peer(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("a", "before");
    cluster.put("b", "before");
    cluster.remove_peer("k", OTHER);
    cluster.put("c", "between");
    watch.open();
    cluster.add_peer("k", OTHER);
    cluster.put("d", "after");
    cluster.wait_stored(OTHER, "d", Some("after"));
    end(cluster, watch);
    cluster.expect_eq("members", cluster.members("k"), vec![LEADER, FOLLOWER, OTHER]);
    for (key, value) in [("a", "before"), ("b", "before"), ("c", "between"), ("d", "after")] {
        cluster.must_get(key, value);
        cluster.wait_stored(OTHER, key, Some(value));
    }
}

/// The region is split while a new peer of it waits for its snapshot, from before the split. So a new peer of the new region comes by message
/// first, uninitialised, and the split comes to it later.
fn adopted_split(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.put("a", "left");
    cluster.put("z", "right");
    cluster.remove_peer("k", OTHER);
    watch.open();
    let region = cluster.region("k").id;
    cluster.order(region, OperatorKind::AddPeer { store_id: OTHER, learner: false });
    cluster.wait("L-CONF", "the region has no new peer", SETTLING, |cluster| cluster.region("k").peers.len() == 3);
    cluster.split("m");
    cluster.add_peer("a", OTHER);
    cluster.add_peer("z", OTHER);
    cluster.put("b", "left");
    cluster.put("y", "right");
    for (key, value) in [("a", "left"), ("b", "left"), ("y", "right"), ("z", "right")] {
        cluster.wait_stored(OTHER, key, Some(value));
    }
    end(cluster, watch);
    check_split(cluster);
}

fn remove_peer(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    watch.open();
    cluster.remove_peer("k", OTHER);
    cluster.put("a", "after");
    end(cluster, watch);
    check_removed(cluster, OTHER, &[LEADER, FOLLOWER]);
    cluster.must_get("a", "after");
}

/// A leader hands over before it goes.
fn remove_leader(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    watch.open();
    cluster.remove_peer("k", LEADER);
    cluster.put("a", "after");
    end(cluster, watch);
    check_removed(cluster, LEADER, &[FOLLOWER, OTHER]);
    cluster.must_get("a", "after");
}

/// A store that was away is told that its peer is not wanted any more.
fn missed_removal(cluster: &mut Cluster, watch: &Watch) {
    begin(cluster);
    cluster.isolate(OTHER);
    let region = cluster.region("k").id;
    cluster.order(region, OperatorKind::RemovePeer { store_id: OTHER });
    cluster.wait("L-CONF", "the peer of a store that is away is not removed", SETTLING, |cluster| {
        cluster.members("k") == [LEADER, FOLLOWER]
    });
    watch.open();
    cluster.reconnect();
    cluster.wait("L-ORPHAN", "the peer does not go", SETTLING, |cluster| {
        cluster.regions_on(OTHER).iter().all(|on| on.id != region)
    });
    cluster.put("a", "after");
    end(cluster, watch);
    check_removed(cluster, OTHER, &[LEADER, FOLLOWER]);
    cluster.must_get("a", "after");
}

/// A store has nothing of the region but a tombstone, and the others go on without it.
fn check_removed(cluster: &mut Cluster, store: u64, members: &[u64]) {
    cluster.expect_eq("members", cluster.members("k"), members.to_vec());
    let region = cluster.region("k");
    cluster.expect_eq("bytes of a removed peer", cluster.bytes_in(store, &region), 0);
    cluster.expect_eq("regions of a store", cluster.regions_on(store).len(), 1);
}
