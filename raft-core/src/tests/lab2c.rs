//! Project 2C, the part in raft: snapshots.

use proto::eraftpb::{ConfState, HardState, Message, MessageType, Snapshot, SnapshotMetadata};

use super::harness::{Network, Node, accept, config, entries, entry, message, storage};
use crate::{Config, MemStorage, Storage};

pub fn snapshot(index: u64, term: u64, voters: &[u64]) -> Snapshot {
    let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    Snapshot { metadata: Some(SnapshotMetadata { conf_state: Some(conf_state), index, term }), ..Snapshot::default() }
}

fn snapshot_message(snapshot: Snapshot, term: u64) -> Message {
    Message { snapshot: Some(snapshot.into()), ..message(MessageType::MsgSnapshot, 2, 1, term) }
}

fn members(node: &Node) -> Vec<u64> {
    node.raw.raft.tracker().iter().map(|(id, _)| id).collect()
}

/// A leader that continues from a snapshot at (11, 11).
fn leader_with_snapshot() -> Node {
    let mut stored = MemStorage::new();
    stored.apply_snapshot(snapshot(11, 11, &[1, 2])).expect("newer than nothing");
    let mut node = Node::with_storage(&Config { applied: 11, ..config(1) }, stored);
    node.force_leader();
    node
}

#[test]
fn restore_snapshot_2c() {
    let mut node = Node::new(1, &[1, 2]);
    assert!(node.raft().restore(snapshot(11, 11, &[1, 2, 3]).into()));
    let raft = &node.raw.raft;
    assert_eq!((raft.last_index(), raft.log_term(11), raft.committed()), (11, Some(11), 11));
    assert_eq!(members(&node), [1, 2, 3]);
    assert!(!node.raft().restore(snapshot(11, 11, &[1, 2, 3]).into()), "once is enough");
}

#[test]
fn restore_ignore_snapshot_2c() {
    let mut stored = storage(&[1, 2], &[1, 1, 1], 1);
    stored.set_hard_state(HardState { term: 1, vote: 0, commit: 3 });
    let mut node = Node::with_storage(&config(1), stored);
    for index in [2, 3] {
        let answers = node.exchange(snapshot_message(snapshot(index, 1, &[1, 2]), 1));
        assert_eq!((answers[0].index, answers[0].reject), (3, false), "answered with the commit index");
        assert_eq!((node.raw.raft.committed(), node.raw.raft.last_index()), (3, 3));
    }
    assert!(node.snapshots.is_empty());
}

#[test]
fn provide_snap_2c() {
    let mut node = leader_with_snapshot();
    // The follower has nothing at all; what it needs is compacted.
    let refused =
        Message { index: 11, reject: true, reject_hint: 0, ..message(MessageType::MsgAppendResponse, 2, 1, 1) };
    let term = node.raw.raft.term();
    let sent = node.exchange(Message { term, ..refused });
    assert_eq!(sent.iter().map(Message::msg_type).collect::<Vec<_>>(), [MessageType::MsgSnapshot]);
    assert_eq!(sent[0].snapshot.as_ref().and_then(|s| s.metadata.as_ref()).map(|m| m.index), Some(11));
    node.propose(b"x");
    node.step(message(MessageType::MsgHeartbeatResponse, 2, 1, term));
    assert!(node.settle().is_empty(), "one snapshot, and nothing else while it is on its way");
}

#[test]
fn restore_from_snap_msg_2c() {
    let mut node = Node::new(1, &[1, 2]);
    node.exchange(snapshot_message(snapshot(11, 11, &[1, 2]), 11));
    assert_eq!((node.raw.raft.leader_id(), node.raw.raft.term()), (2, 11));
}

#[test]
fn restore_from_snap_with_overlaping_peers_msg_2c() {
    let mut node = Node::new(2, &[1, 2, 3]);
    let restore = Message { to: 2, from: 3, ..snapshot_message(snapshot(11, 11, &[2, 3, 4]), 11) };
    node.exchange(restore);
    assert_eq!(members(&node), [2, 3, 4], "replaced, not merged");
    assert_eq!(node.raw.store().initial_state().expect("memory").conf_state.voters, [2, 3, 4]);
}

#[test]
fn slow_node_restore_2c() {
    let mut network = Network::of(3);
    network.campaign(1);
    network.isolate(3);
    for _ in 0..101 {
        network.propose(1, b"x");
    }
    let leader = network.node(1);
    let applied = leader.raw.raft.applied();
    leader.raw.mut_store().create_snapshot(applied, Default::default()).expect("in the log");
    leader.raw.mut_store().compact(applied);
    network.heal();
    network.beat(1);
    network.beat(1); // The member has answered: now it gets its snapshot.
    let follower = network.node(3);
    assert_eq!(follower.snapshots.len(), 1);
    assert_eq!(follower.raw.raft.committed(), applied);
    network.propose(1, b"y");
    assert_eq!(network.committed(3), network.committed(1), "from then on the log is enough");
    assert_eq!(network.node(3).raw.raft.applied(), applied + 1);
    assert_eq!(network.node(1).raw.status().members[&3].state, "replicate");
}

#[test]
fn while_a_snapshot_is_pending_nothing_else_is_taken_in() {
    let mut node = Node::new(1, &[1, 2]);
    node.step(snapshot_message(snapshot(11, 3, &[1, 2]), 4));
    let pending = node.raw.ready();
    assert!(pending.snapshot.is_some() && pending.must_sync && pending.committed_entries.is_empty());
    assert!(pending.messages.is_empty(), "not answered before it is on disk");
    node.step(snapshot_message(snapshot(20, 4, &[1, 2]), 4));
    let append =
        Message { index: 11, log_term: 3, entries: vec![entry(12, 4)], ..message(MessageType::MsgAppend, 2, 1, 4) };
    node.step(append.clone());
    let next = node.raw.ready();
    assert_eq!((next.snapshot.clone(), next.entries.len()), (None, 0));
    assert_eq!(next.persisted_messages.iter().map(|m| m.index).collect::<Vec<_>>(), [11, 11], "yet both are answered");
    node.write(&pending);
    node.raw.advance(pending);
    node.raw.advance(next);
    assert_eq!((node.raw.raft.applied(), node.raw.raft.persisted()), (11, 11));
    node.exchange(append);
    assert_eq!(node.raw.raft.last_index(), 12);
}

#[test]
fn snapshot_that_the_log_contains_only_commits() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 1, 1], 1);
    node.exchange(snapshot_message(snapshot(2, 1, &[1, 2]), 1));
    assert!(node.snapshots.is_empty());
    assert_eq!((node.raw.raft.committed(), node.log_terms()), (2, vec![1, 1, 1]));
}

#[test]
fn snapshot_replaces_a_log_that_differs() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 1, 1, 1], 1);
    node.exchange(snapshot_message(snapshot(2, 2, &[1, 2]), 2));
    assert_eq!(node.snapshots.len(), 1);
    let raft = &node.raw.raft;
    assert_eq!((raft.first_index(), raft.last_index(), raft.log_term(2)), (3, 2, Some(2)));
}

#[test]
fn snapshot_without_this_node_is_ignored() {
    let mut node = Node::new(1, &[1, 2]);
    node.exchange(snapshot_message(snapshot(11, 3, &[2, 3]), 3));
    assert_eq!(node.raw.raft.last_index(), 0);
}

#[test]
fn write_in_flight_below_a_snapshot_is_not_believed() {
    let mut node = Node::new(1, &[1, 2]);
    node.step(Message { entries: entries(&[1, 1, 1]), ..message(MessageType::MsgAppend, 2, 1, 1) });
    let append = node.raw.ready();
    node.step(snapshot_message(snapshot(11, 3, &[1, 2]), 3));
    let restore = node.raw.ready();
    node.write(&append);
    node.raw.on_persisted(append.number);
    assert_eq!(node.raw.raft.persisted(), 0);
    node.write(&restore);
    node.raw.on_persisted(restore.number);
    assert_eq!((node.raw.raft.persisted(), node.raw.raft.last_index()), (11, 11));
}

#[test]
fn snapshot_is_asked_for_again_after_a_failure() {
    let mut node = leader_with_snapshot();
    let term = node.raw.raft.term();
    let heartbeat = message(MessageType::MsgHeartbeatResponse, 2, 1, term);
    let refused = Message { index: 11, reject: true, ..message(MessageType::MsgAppendResponse, 2, 1, term) };
    assert_eq!(node.exchange(refused).len(), 1);
    node.raw.report_snapshot(2, false);
    assert!(node.settle().is_empty(), "not before a sign of life");
    let sent = node.exchange(heartbeat.clone());
    assert_eq!(sent.iter().map(Message::msg_type).collect::<Vec<_>>(), [MessageType::MsgSnapshot]);
    node.raw.report_snapshot(2, true);
    let sent = node.exchange(heartbeat);
    assert_eq!(sent.iter().map(|m| (m.msg_type(), m.index)).collect::<Vec<_>>(), [(MessageType::MsgAppend, 11)]);
    node.step(accept(&sent[0]));
    assert_eq!(node.raw.status().members[&2].state, "replicate");
    node.raw.report_snapshot(9, true);
}

#[test]
fn missing_snapshot_is_asked_for_again() {
    let mut node = leader_with_snapshot();
    let term = node.raw.raft.term();
    // A storage that has no snapshot yet: twice nothing, then one.
    let kept = node.raw.mut_store().clone();
    let mut without = MemStorage::new();
    without.set_conf_state(ConfState { voters: vec![1, 2], ..ConfState::default() });
    without.append(&entries(&[1; 12]));
    without.compact(11);
    *node.raw.mut_store() = without;
    let refused = Message { index: 11, reject: true, ..message(MessageType::MsgAppendResponse, 2, 1, term) };
    assert!(node.exchange(refused).is_empty());
    let heartbeat = message(MessageType::MsgHeartbeatResponse, 2, 1, term);
    assert!(node.exchange(heartbeat.clone()).is_empty());
    *node.raw.mut_store() = kept;
    assert_eq!(node.exchange(heartbeat)[0].msg_type(), MessageType::MsgSnapshot);
}
