//! New peers on stores that have none of the region, and stores that get a peer again.

use std::sync::{Arc, Mutex};

use proto::{
    metapb::{Peer, PeerRole, Region, RegionEpoch},
    raft_serverpb::{PeerState, RaftMessage},
};
use raftstore::{Config, keys, store::region_states};
use storage::{Cf, Reader};

use crate::{
    common::Cluster,
    conf_change::{ADD, LEARN, REMOVE, change, changes, must_change, region},
    split::{cluster, on_disk, with_config},
};

fn peer(id: u64, store_id: u64) -> Peer {
    Peer { id, store_id, ..Default::default() }
}

fn value(cluster: &mut Cluster, store: u64, key: &str) -> Option<Vec<u8>> {
    let kv = cluster.store(store).engines.kv.clone();
    kv.get(Cf::Raw, key.as_bytes()).unwrap().map(|value| value.to_vec())
}

fn state(cluster: &mut Cluster, store: u64) -> Option<PeerState> {
    let id = cluster.regions[0].id;
    let states = region_states(&cluster.store(store).engines.kv).unwrap();
    states.into_iter().find(|state| state.region.as_ref().is_some_and(|region| region.id == id)).map(|s| s.state())
}

/// Everything that `store` has of the first region is as its leader has it.
fn assert_caught_up(cluster: &mut Cluster, store: u64, keys: &[&str]) {
    let leader = cluster.leader().unwrap();
    let expected = region(cluster);
    assert!(on_disk(cluster, store).contains(&expected), "store {store}: {:?}", on_disk(cluster, store));
    for key in keys {
        let wanted = value(cluster, leader, key);
        assert!(wanted.is_some() && value(cluster, store, key) == wanted, "{key} on store {store}");
    }
}

#[test]
fn a_peer_on_an_empty_store_gets_a_snapshot_and_then_votes_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    must_change(&mut cluster, change(LEARN, peer(700, fourth)));
    cluster.tick(5);
    assert_caught_up(&mut cluster, fourth, &["a"]);
    let after = must_change(&mut cluster, change(ADD, peer(700, fourth)));
    assert!(after.peers.iter().all(|peer| peer.role() == PeerRole::Voter) && after.peers.len() == 4);
    // Three of four voters are a majority; without the new one there are two.
    cluster.isolated.insert(leader % 3 + 1);
    cluster.must_put("b", "2");
    cluster.tick(3);
    assert_caught_up(&mut cluster, fourth, &["a", "b"]);
    cluster.crash(fourth, 0);
    cluster.start(fourth);
    cluster.tick(3);
    assert_caught_up(&mut cluster, fourth, &["a", "b"]);
}

/// The new member counts for the quorum at once, and has nothing yet: until it is initialised, nothing is committed.
#[test]
fn a_region_of_one_grows_although_its_first_messages_are_lost_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    for store in (1..=3).filter(|store| *store != leader) {
        let gone = cluster.header(store).peer;
        must_change(&mut cluster, change(REMOVE, gone));
    }
    let fourth = cluster.add_store();
    let lost = Arc::new(Mutex::new(0));
    let counted = lost.clone();
    cluster.lost = Box::new(move |message| {
        let mut lost = counted.lock().unwrap();
        *lost += 1;
        message.to_peer.is_some_and(|to| to.store_id == fourth) && *lost < 10
    });
    must_change(&mut cluster, change(ADD, peer(700, fourth)));
    cluster.tick(20);
    assert!(*lost.lock().unwrap() >= 10);
    cluster.must_put("b", "2");
    cluster.tick(3);
    assert_caught_up(&mut cluster, fourth, &["a", "b"]);
}

/// The first incarnation's messages come when the second one is there, and the other way round.
#[test]
fn a_store_that_gets_a_peer_again_keeps_its_incarnations_apart_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let store = leader % 3 + 1;
    let first = cluster.header(store).peer;
    let held: Arc<Mutex<Vec<RaftMessage>>> = Arc::default();
    let kept = held.clone();
    cluster.lost = Box::new(move |message| {
        if message.to_peer.is_some_and(|to| to.id == first.id)
            || message.from_peer.is_some_and(|from| from.id == first.id)
        {
            kept.lock().unwrap().push(message.clone());
        }
        false
    });
    cluster.must_put("b", "2");
    cluster.tick(10);
    must_change(&mut cluster, change(REMOVE, first));
    cluster.tick(5);
    assert_eq!(state(&mut cluster, store), Some(PeerState::Tombstone));
    cluster.lost = Box::new(|_| false);
    let late: Vec<RaftMessage> = std::mem::take(&mut *held.lock().unwrap());
    assert!(late.len() > 10);
    let deliver_late = |cluster: &mut Cluster| {
        for message in &late {
            let to = message.to_peer.unwrap().store_id;
            cluster.store(to).parts.as_ref().unwrap().router.raft_message(message.clone());
        }
        cluster.settle();
    };
    deliver_late(&mut cluster);
    assert_eq!(state(&mut cluster, store), Some(PeerState::Tombstone), "it does not come back");
    must_change(&mut cluster, change(ADD, peer(700, store)));
    cluster.tick(5);
    assert_caught_up(&mut cluster, store, &["a", "b"]);
    deliver_late(&mut cluster);
    cluster.tick(30);
    assert_eq!(state(&mut cluster, store), Some(PeerState::Normal));
    let router = cluster.store(store).parts.as_ref().unwrap().router.clone();
    let id = cluster.regions[0].id;
    assert!(router.statuses().iter().any(|status| status.region.id == id && status.peer.id == 700));
    cluster.must_put("c", "3");
    cluster.tick(3);
    assert_caught_up(&mut cluster, store, &["a", "b", "c"]);
}

/// The store was away while its peer was removed and another one was added there: the older one ends, the younger one begins.
#[test]
fn a_younger_peer_takes_the_place_of_one_that_has_missed_its_removal_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let store = leader % 3 + 1;
    cluster.isolated.insert(store);
    let first = cluster.header(store).peer;
    must_change(&mut cluster, change(REMOVE, first));
    must_change(&mut cluster, change(LEARN, peer(700, store)));
    cluster.must_put("b", "2");
    cluster.isolated.clear();
    cluster.tick(30);
    assert_caught_up(&mut cluster, store, &["a", "b"]);
    let raft = cluster.store(store).engines.raft.clone();
    assert!(raft.get(Cf::Default, &keys::raft_log(cluster.regions[0].id, 6)).unwrap().is_none(), "the old log is gone");
}

#[test]
fn a_peer_moves_from_one_store_to_another_through_a_joint_configuration_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    let old = cluster.header(leader % 3 + 1).peer;
    must_change(&mut cluster, change(LEARN, peer(700, fourth)));
    cluster.tick(5);
    must_change(&mut cluster, changes(&[(ADD, peer(700, fourth)), (LEARN, old)]));
    cluster.tick(2);
    let after = must_change(&mut cluster, change(REMOVE, old));
    let mut stores: Vec<u64> = after.peers.iter().map(|peer| peer.store_id).collect();
    stores.sort_unstable();
    assert_eq!(stores, (1..=4).filter(|store| *store != old.store_id).collect::<Vec<_>>());
    assert!(after.peers.iter().all(|peer| peer.role() == PeerRole::Voter));
    cluster.tick(3);
    assert_eq!(state(&mut cluster, old.store_id), Some(PeerState::Tombstone));
    cluster.must_put("b", "2");
    cluster.tick(3);
    assert_caught_up(&mut cluster, fourth, &["a", "b"]);
}

/// A new peer that waits for its snapshot is not misled by a scheduler that has not heard of it; one whose removal the scheduler knows goes.
#[test]
fn a_peer_that_was_never_initialised_goes_only_when_it_was_removed_3b() {
    let (mut cluster, leader) = with_config(Config { max_leader_missing_ticks: 30, ..Config::default() });
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    let before = region(&mut cluster);
    cluster.lost = Box::new(move |message| {
        message.to_peer.is_some_and(|to| to.store_id == fourth)
            && message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some())
    });
    let after = must_change(&mut cluster, change(LEARN, peer(700, fourth)));
    cluster.tick(3);
    let router = cluster.store(fourth).parts.as_ref().unwrap().router.clone();
    assert_eq!(router.region_ids(), [before.id]);
    cluster.isolated.insert(leader);
    cluster.lost = Box::new(move |message| message.to_peer.is_some_and(|to| to.store_id == fourth));
    for known in [before, after.clone()] {
        cluster.reports.known.lock().unwrap().insert(known.id, known);
        cluster.tick(70);
        assert_eq!(router.region_ids(), [after.id]);
    }
    let conf_ver = after.region_epoch.unwrap().conf_ver + 1;
    let peers = after.peers.iter().filter(|peer| peer.id != 700).copied().collect();
    let removed = Region { region_epoch: Some(RegionEpoch { conf_ver, version: 1 }), peers, ..after };
    cluster.reports.known.lock().unwrap().insert(removed.id, removed);
    cluster.tick(40);
    assert_eq!(router.region_ids(), Vec::<u64>::new());
    assert_eq!(state(&mut cluster, fourth), Some(PeerState::Tombstone));
    cluster.crash(fourth, 0);
    cluster.start(fourth);
    cluster.lost = Box::new(|_| false);
    cluster.tick(50);
    assert_eq!(state(&mut cluster, fourth), Some(PeerState::Tombstone), "its id never comes back");
}
