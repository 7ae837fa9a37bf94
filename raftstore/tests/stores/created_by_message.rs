//! Peers that come into being because a message came for them.

use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{PeerState, RaftLocalState},
};
use raftstore::{
    Config, Error, keys,
    metrics::Metrics,
    store::{Layout, region_states},
};
use storage::{Cf, Durability, Engine, Reader, WriteBatch};

use crate::{
    common::{Cluster, put},
    conf_change::{REMOVE, change},
    split::{header_of, parts, split_at, write},
};

/// The store that the tests are about.
const AWAY: u64 = 3;

/// Three stores; store 3 has lost its disks before it was ever asked for a vote, and is down.
fn with_an_empty_store(config: Config) -> Cluster {
    let mut cluster = Cluster::with_config(Layout::default(), config);
    cluster.crash(AWAY, 0);
    cluster.wipe(AWAY);
    cluster.elect(None);
    for i in 0..5 {
        cluster.must_put(&format!("a{i}"), "v");
        cluster.must_put(&format!("x{i}"), "v");
    }
    cluster
}

fn metrics(cluster: &mut Cluster) -> &Metrics {
    cluster.store(AWAY).parts.as_ref().unwrap().router.metrics()
}

fn split(cluster: &mut Cluster) -> Vec<Region> {
    let leader = cluster.leader().unwrap();
    let answer = cluster.admin(cluster.header(leader), split_at(&["m"]));
    cluster.settle();
    parts(&answer)
}

/// Ticks until store 3 has everything that the others have.
fn catch_up(cluster: &mut Cluster) {
    let other = cluster.leader().unwrap_or(1);
    for _ in 0..300 {
        cluster.tick(1);
        let states = region_states(&cluster.store(AWAY).engines.kv).unwrap();
        let (theirs, ours) = (cluster.store(other).engines.kv.clone(), cluster.store(AWAY).engines.kv.clone());
        if states == region_states(&theirs).unwrap() && ours.same_data(&theirs, &Cf::DATA) {
            assert!(states.iter().all(|state| state.state() == PeerState::Normal));
            return;
        }
    }
    panic!("store {AWAY} does not catch up");
}

#[test]
fn an_empty_store_gets_its_peers_by_snapshots_3b() {
    let mut cluster = with_an_empty_store(Config::default());
    cluster.start(AWAY);
    catch_up(&mut cluster);
    let counted = metrics(&mut cluster);
    assert_eq!((counted.peers_created.get(), counted.snapshots_restored.get()), (2, 2));
    // They are full members: each of the others can go.
    for gone in [1, 2] {
        cluster.crash(gone, 0);
        cluster.elect(Some(gone));
        cluster.must_put("k", "v");
        cluster.start(gone);
        cluster.tick(30);
    }
    // And a restart finds them as they are.
    cluster.crash(AWAY, 0);
    cluster.start(AWAY);
    cluster.tick(30);
    assert_eq!(metrics(&mut cluster).peers_created.get(), 0);
}

#[test]
fn a_store_that_missed_a_split_gets_all_parts_by_snapshots_3b() {
    let config = Config { log_gc_ticks: 5, log_gc_threshold: 10, log_gc_count_limit: 20, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    cluster.elect(None);
    for i in 0..5 {
        cluster.must_put(&format!("a{i}"), "v");
        cluster.must_put(&format!("x{i}"), "v");
    }
    cluster.tick(5);
    cluster.isolated.insert(AWAY);
    cluster.elect(Some(AWAY));
    let parts = split(&mut cluster);
    for i in 0..60 {
        for (part, key) in [(0, format!("a{i}")), (1, format!("x{i}"))] {
            write(&mut cluster, &parts[part], &key, "new").unwrap();
        }
        cluster.tick(1);
    }
    assert_eq!(region_states(&cluster.store(AWAY).engines.kv).unwrap().len(), 2, "the split did not reach it");
    cluster.isolated.clear();
    catch_up(&mut cluster);
    let counted = metrics(&mut cluster);
    assert_eq!((counted.peers_created.get(), counted.snapshots_restored.get()), (1, 2));
    assert_eq!(counted.regions_split.get(), 0);
}

/// The region that missed the split is made smaller by a snapshot; the other part has no peer on the store any more.
#[test]
fn a_region_that_a_snapshot_makes_smaller_leaves_no_data_behind_3b() {
    let config = Config { log_gc_ticks: 5, log_gc_threshold: 10, log_gc_count_limit: 20, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    cluster.elect(None);
    cluster.must_put("a", "v");
    cluster.must_put("x", "v");
    cluster.tick(5);
    cluster.isolated.insert(AWAY);
    cluster.elect(Some(AWAY));
    let parts = split(&mut cluster);
    let leader = cluster.leader_of(parts[0].id).unwrap();
    let peer = *parts[0].peers.iter().find(|peer| peer.store_id == AWAY).unwrap();
    let removal = cluster.admin(header_of(&parts[0], leader), change(REMOVE, peer));
    for _ in 0..60 {
        write(&mut cluster, &parts[1], "x", "new").unwrap();
        cluster.tick(1);
    }
    assert!(removal.take().unwrap().is_ok());
    assert!(cluster.store(AWAY).engines.kv.get(Cf::Raw, b"a").unwrap().is_some());
    cluster.isolated.clear();
    cluster.tick(100);
    assert_eq!(metrics(&mut cluster).snapshots_restored.get(), 1);
    let kv = cluster.store(AWAY).engines.kv.clone();
    assert!(kv.get(Cf::Raw, b"x").unwrap().is_some());
    assert!(kv.get(Cf::Raw, b"a").unwrap().is_none(), "it belongs to no region here");
}

#[test]
fn no_peer_is_made_for_keys_that_another_region_still_has_3b() {
    let mut cluster = Cluster::with_config(Layout::default(), Config::default());
    cluster.elect(None);
    cluster.lazy.insert(AWAY);
    let parts = split(&mut cluster);
    let new = parts.iter().find(|part| cluster.regions.iter().all(|region| region.id != part.id)).unwrap().id;
    cluster.tick(20);
    assert_eq!(metrics(&mut cluster).peers_created.get(), 0);
    assert!(!cluster.store(AWAY).parts.as_ref().unwrap().router.has_peer(new));
    cluster.lazy.clear();
    catch_up(&mut cluster);
    assert_eq!(metrics(&mut cluster).regions_split.get(), 1);
}

/// The new part of a split has an uninitialised peer on a store before its parent comes to the split there.
fn an_uninitialized_peer_waits_for_the_split() -> (Cluster, u64) {
    let mut cluster = with_an_empty_store(Config::default());
    cluster.resting.insert(AWAY);
    cluster.start(AWAY);
    // The snapshot of the parent, from before the split, lies there unread.
    cluster.tick(6);
    let parts = split(&mut cluster);
    let new = parts.iter().find(|part| cluster.regions.iter().all(|region| region.id != part.id)).unwrap().id;
    cluster.tick(6);
    assert!(cluster.store(AWAY).parts.as_ref().unwrap().router.has_peer(new));
    cluster.resting.clear();
    (cluster, new)
}

fn term_of(cluster: &mut Cluster, region: u64) -> u64 {
    let statuses = cluster.store(AWAY).parts.as_ref().unwrap().router.statuses();
    statuses.iter().find(|status| status.region.id == region).map_or(0, |status| status.term)
}

#[test]
fn a_split_initializes_the_peer_that_is_there_and_keeps_its_term_3b() {
    let (mut cluster, new) = an_uninitialized_peer_waits_for_the_split();
    let before = term_of(&mut cluster, new);
    assert!(before > 5, "it has heard of the leader");
    catch_up(&mut cluster);
    let counted = metrics(&mut cluster);
    assert_eq!((counted.peers_adopted.get(), counted.regions_split.get()), (1, 1));
    assert!(term_of(&mut cluster, new) >= before);
}

#[test]
fn a_crash_at_any_step_of_that_is_recovered_3b() {
    let mut between = 0;
    for steps in 0..30 {
        for survivors in [0, 2, 100] {
            let (mut cluster, new) = an_uninitialized_peer_waits_for_the_split();
            for _ in 0..steps {
                cluster.settle_step(None);
            }
            let adopted = metrics(&mut cluster).peers_adopted.get();
            cluster.crash(AWAY, survivors);
            let states = region_states(&cluster.store(AWAY).engines.kv).unwrap();
            let on_disk = states.iter().any(|state| state.region.as_ref().is_some_and(|region| region.id == new));
            between += u32::from(on_disk && adopted == 0);
            let promised = cluster.store(AWAY).engines.raft.get(Cf::Default, &keys::raft_state(new)).unwrap();
            let promised = promised.and_then(|state| RaftLocalState::decode(state).unwrap().hard_state);
            cluster.isolated.insert(AWAY);
            cluster.start(AWAY);
            cluster.tick(1);
            if on_disk {
                let known = term_of(&mut cluster, new);
                assert!(known >= promised.unwrap_or_default().term, "R-MONO: term {known} after {promised:?}");
            }
            cluster.isolated.clear();
            catch_up(&mut cluster);
        }
    }
    assert!(between > 0, "no crash fell between the split and the peer's hearing of it");
}

#[test]
fn a_start_removes_the_data_of_no_region_and_no_other() {
    let mut cluster = with_an_empty_store(Config::default());
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raw, "left over", "v");
    batch.put(Cf::Default, "left over", "v");
    cluster.store(AWAY).engines.kv.write(batch, Durability::Sync).unwrap();
    cluster.start(AWAY);
    for cf in [Cf::Raw, Cf::Default] {
        assert_eq!(cluster.store(AWAY).engines.kv.get(cf, b"left over").unwrap(), None);
    }
    catch_up(&mut cluster);
    cluster.crash(AWAY, 0);
    // What is behind the region belongs to nobody from now on.
    let kv = cluster.store(AWAY).engines.kv.clone();
    let mut state = region_states(&kv).unwrap().remove(0);
    let region = state.region.as_mut().unwrap();
    region.end_key = "m".into();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raft, keys::region_state(region.id), state.encode_to_vec());
    kv.write(batch, Durability::Sync).unwrap();
    cluster.start(AWAY);
    assert!(kv.get(Cf::Raw, b"a0").unwrap().is_some());
    assert_eq!(kv.get(Cf::Raw, b"x0").unwrap(), None);
}

#[test]
fn an_uninitialized_peer_serves_nobody_3b() {
    let mut cluster = with_an_empty_store(Config::default());
    cluster.resting.insert(AWAY);
    cluster.start(AWAY);
    cluster.tick(6);
    let answer = cluster.write(cluster.header(AWAY), vec![put("k", "v")]);
    cluster.settle();
    assert!(matches!(answer.error(), Error::RegionNotFound { .. }));
}
