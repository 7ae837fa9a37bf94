//! Project 2AC: the node's owner and its Readies.

use proto::eraftpb::{ConfState, HardState};

use super::harness::{Node, config, entries, entry};
use super::lab2c::snapshot;
use crate::{Config, MemStorage, SoftState};

#[test]
fn raw_node_start_2ac() {
    let mut node = Node::new(1, &[1]);
    node.raw.campaign().expect("an order");
    node.settle();
    node.applied.clear();
    node.propose(b"foo");

    let ready = node.raw.ready();
    assert_eq!(ready.entries.len(), 1, "the proposal is to be written");
    assert_eq!((ready.entries[0].index, ready.entries[0].term), (2, 1));
    assert_eq!(&ready.entries[0].data[..], b"foo");
    assert!(ready.must_sync);
    assert!(ready.committed_entries.is_empty(), "nothing is committed before it is on disk");
    let written = ready.entries.clone();
    node.write(&ready);
    node.raw.advance(ready);

    let ready = node.raw.ready();
    assert_eq!(ready.committed_entries, written, "once on disk a node alone has committed it");
    assert!(ready.entries.is_empty());
    assert!(!ready.must_sync, "only the commit index moved");
    node.write(&ready);
    node.raw.advance(ready);
    assert!(!node.raw.has_ready(), "nothing is left");
    assert_eq!(node.raw.raft.applied(), 2);
}

#[test]
fn raw_node_restart_2ac() {
    let mut storage = MemStorage::new();
    storage.set_conf_state(ConfState { voters: vec![1], ..ConfState::default() });
    storage.set_hard_state(HardState { term: 1, vote: 0, commit: 1 });
    storage.append(&entries(&[1, 1]));
    let mut node = Node::with_storage(&config(1), storage);

    let ready = node.raw.ready();
    assert_eq!(ready.soft_state, None);
    assert_eq!(ready.hard_state, None);
    assert!(ready.entries.is_empty(), "everything in the storage is written already");
    assert_eq!(ready.committed_entries, entries(&[1]), "what was committed is applied again");
    assert!(!ready.must_sync);
    node.raw.advance(ready);
    assert!(!node.raw.has_ready());
    assert_eq!(node.raw.raft.soft_state(), SoftState::default());
}

#[test]
fn raw_node_restart_from_snapshot_2ac() {
    let mut stored = MemStorage::new();
    stored.apply_snapshot(snapshot(2, 1, &[1, 2])).expect("newer than nothing");
    stored.append(&[entry(3, 1)]);
    stored.set_hard_state(HardState { term: 1, vote: 0, commit: 3 });
    let mut node = Node::with_storage(&Config { applied: 2, ..config(1) }, stored);
    let ready = node.raw.ready();
    assert_eq!(ready.committed_entries, [entry(3, 1)]);
    assert!(ready.entries.is_empty() && ready.hard_state.is_none());
    node.raw.advance(ready);
    assert!(!node.raw.has_ready());
}
