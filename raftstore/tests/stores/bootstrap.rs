//! The first start of a store, and crashes in the middle of it.

use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{PeerState, RegionLocalState, StoreIdent},
};
use raftstore::{
    Engines, keys,
    store::{
        bootstrap::{create_initial_peer, initial_regions, read_ident, write_ident},
        region_states,
    },
};
use storage::{Cf, Durability, Engine, MemEngine, WriteBatch};

fn engines() -> Engines<MemEngine> {
    Engines { kv: MemEngine::new(), raft: MemEngine::new() }
}

fn crash(engines: &Engines<MemEngine>) -> Engines<MemEngine> {
    Engines { kv: engines.kv.crash(0), raft: engines.raft.crash(0) }
}

fn ident(store_id: u64) -> StoreIdent {
    StoreIdent { cluster_id: 1, store_id, ..Default::default() }
}

fn first_region() -> Region {
    initial_regions(&[1], &mut (10..)).unwrap().swap_remove(0)
}

/// Write order: the raft engine gets the identity first. A store that crashes between the two asks for another id.
#[test]
fn a_crash_between_the_two_identities_leaves_a_store_that_can_begin_again_2b() {
    for of_kv in [true, false] {
        let engines = engines();
        let faults = if of_kv { engines.kv.faults() } else { engines.raft.faults() };
        faults.set_free_bytes(Some(0));
        assert!(write_ident(&engines, &ident(1)).is_err());
        faults.clear();
        let engines = crash(&engines);
        assert_eq!(read_ident(&engines).expect("no contradiction"), None);
        write_ident(&engines, &ident(2)).unwrap();
        assert_eq!(read_ident(&crash(&engines)).unwrap(), Some(ident(2)));
    }
}

#[test]
fn first_peers_are_there_after_a_crash_2b() {
    let engines = engines();
    assert!(create_initial_peer(&engines, 1, &first_region()).unwrap());
    let engines = crash(&engines);
    let states = region_states(&engines.kv).unwrap();
    assert_eq!(states.iter().map(|state| state.region.clone()).collect::<Vec<_>>(), [Some(first_region())]);
    assert!(!create_initial_peer(&engines, 1, &first_region()).unwrap(), "once is enough");
}

/// Invariant S-TOMB: bootstrap is done again at every start, also when the first peer of the store was removed meanwhile.
#[test]
fn bootstrap_brings_no_removed_peer_back_2b() {
    let (engines, region) = (engines(), first_region());
    let state = PeerState::Tombstone as i32;
    let tombstone = RegionLocalState { state, region: Some(region.clone()), ..Default::default() };
    let mut batch = WriteBatch::new();
    batch.put(Cf::Raft, keys::region_state(region.id), tombstone.encode_to_vec());
    engines.kv.write(batch, Durability::Sync).unwrap();
    assert!(!create_initial_peer(&engines, 1, &region).unwrap());
    assert_eq!(region_states(&engines.kv).unwrap(), [tombstone]);
}
