use proto::metapb::{self, NodeState, StoreState};
use proto::pdpb::StoreStats;
use storage::{Cf, Durability, Engine, WriteBatch};

use super::*;

#[test]
fn the_cluster_id_is_drawn_once() {
    let engine = MemEngine::new();
    assert_eq!(open(&engine).cluster_id(), CLUSTER_ID);
    let other = Options { new_cluster_id: Some(1), ..options() };
    assert_eq!(Cluster::open(engine.crash(0), other).unwrap().cluster_id(), CLUSTER_ID);
}

#[test]
fn data_of_another_kind_is_refused_and_left_alone() {
    let engine = MemEngine::new();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Default, &b"somebody's"[..], &b"data"[..]);
    engine.write(batch, Durability::Sync).unwrap();
    let before = engine.crash_image(0);
    assert!(matches!(Cluster::open(engine.clone(), options()), Err(Error::ForeignData { .. })));
    assert!(engine.same_data(&before, &Cf::ALL));

    let must_exist = Options { new_cluster_id: None, ..options() };
    assert!(matches!(Cluster::open(MemEngine::new(), must_exist), Err(Error::ForeignData { .. })));
}

#[test]
fn damaged_records_are_reported_as_such() {
    for key in [&b"cluster_id"[..], b"id_window", b"store/12345678", b"region/12345678"] {
        let engine = MemEngine::new();
        open(&engine);
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key.to_vec(), &b"\xff\xff\xff"[..]);
        engine.write(batch, Durability::Sync).unwrap();
        let error = Cluster::open(engine, options()).err().unwrap();
        assert!(matches!(error, Error::Storage(storage::Error::Corrupted { .. })), "{}: {error}", key.escape_ascii());
    }
}

#[test]
fn a_store_may_change_its_address_but_not_take_anothers() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    cluster.put_store(&store(1)).unwrap();
    cluster.put_store(&store(2)).unwrap();
    let stolen = Store { address: store(1).address, ..store(2) };
    match cluster.put_store(&stolen) {
        Err(Error::DuplicateAddress { store_id: 2, holder: 1, .. }) => {}
        other => panic!("{other:?}"),
    }
    let moved = Store { address: "10.0.0.1:20160".into(), ..store(1) };
    cluster.put_store(&moved).unwrap();
    // Now the old address is free.
    cluster.put_store(&stolen).unwrap();
    let cluster = open(&engine.crash(0));
    let addresses: Vec<String> = cluster.stores().iter().map(|store| store.meta.address.clone()).collect();
    assert_eq!(addresses, [moved.address, stolen.address]);
}

#[test]
fn registrations_that_nobody_could_dial_are_refused() {
    let mut cluster = open(&MemEngine::new());
    for address in ["", "localhost", ":20160", "localhost:0", "http://localhost:20160", "localhost:x"] {
        let bad = Store { address: address.into(), ..store(1) };
        assert!(matches!(cluster.put_store(&bad), Err(Error::InvalidRequest { .. })), "{address:?}");
    }
    assert!(matches!(cluster.put_store(&Store { id: 0, ..store(1) }), Err(Error::InvalidRequest { .. })));
}

#[test]
fn a_removed_store_never_comes_back() {
    let engine = MemEngine::new();
    let mut cluster = bootstrapped(&engine);
    cluster.put_store(&store(4)).unwrap();
    assert!(matches!(cluster.set_store_state(3, StoreState::Tombstone), Err(Error::InvalidRequest { .. })));
    cluster.set_store_state(3, StoreState::Offline).unwrap();
    assert_eq!(
        cluster.store_heartbeat(StoreStats { store_id: 3, ..Default::default() }, 1).unwrap(),
        NodeState::Removing
    );
    cluster.set_store_state(4, StoreState::Tombstone).unwrap();

    let mut cluster = open(&engine.crash(0));
    assert!(matches!(cluster.put_store(&store(4)), Err(Error::StoreTombstone { store_id: 4 })));
    assert!(matches!(cluster.set_store_state(4, StoreState::Up), Err(Error::StoreTombstone { store_id: 4 })));
    let stats = StoreStats { store_id: 4, ..Default::default() };
    assert!(matches!(cluster.store_heartbeat(stats, 1), Err(Error::StoreTombstone { store_id: 4 })));
    // Its address is free for a new store; a store does not choose its own state.
    let successor = Store { address: store(4).address, state: StoreState::Tombstone as i32, ..store(5) };
    cluster.put_store(&successor).unwrap();
    assert_eq!(cluster.stores().get(5).unwrap().meta.state(), StoreState::Up);
}

#[test]
fn store_heartbeats_leave_their_time_and_statistics() {
    let mut cluster = bootstrapped(&MemEngine::new());
    let stats = StoreStats { store_id: 2, capacity: 1000, ..Default::default() };
    assert_eq!(cluster.store_heartbeat(stats.clone(), 5000).unwrap(), NodeState::Serving);
    let known = cluster.stores().get(2).unwrap();
    assert_eq!(known.stats, Some(stats));
    assert_eq!(known.to_wire().last_heartbeat, 5_000_000_000);
    let error = cluster.store_heartbeat(StoreStats { store_id: 9, ..Default::default() }, 1).unwrap_err();
    assert_eq!(error.to_string(), "invalid store ID 9, not found");
}

#[test]
fn settings_that_a_client_changed_win_over_the_start_options() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    assert_eq!(cluster.config(), metapb::Cluster { id: CLUSTER_ID, max_peer_count: 3 });
    assert!(cluster.put_config(metapb::Cluster { id: 1, max_peer_count: 5 }).is_err());
    assert!(cluster.put_config(metapb::Cluster { id: 0, max_peer_count: 0 }).is_err());
    cluster.put_config(metapb::Cluster { id: 0, max_peer_count: 5 }).unwrap();
    assert_eq!(open(&engine.crash(0)).config().max_peer_count, 5);
}

#[test]
fn before_the_bootstrap_there_are_no_heartbeats_and_splits() {
    let mut cluster = open(&MemEngine::new());
    cluster.put_store(&store(1)).unwrap();
    let whole = led(region(1, ("", ""), (1, 1), &[1]));
    assert!(matches!(cluster.region_heartbeat(heartbeat(&whole)), Err(Error::NotBootstrapped)));
    assert!(matches!(cluster.ask_split(&whole.meta, 1), Err(Error::NotBootstrapped)));
    assert!(matches!(cluster.report_split(vec![whole.meta]), Err(Error::NotBootstrapped)));
    let stats = StoreStats { store_id: 1, ..Default::default() };
    assert!(matches!(cluster.store_heartbeat(stats, 1), Err(Error::NotBootstrapped)));
}
