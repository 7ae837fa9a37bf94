//! Project 3A: members come and go.

use bytes::Bytes;
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::{EntryType, Message, MessageType};

use super::harness::{Node, change, message};
use crate::{decode_conf_change, is_conf_change};

fn members(node: &Node) -> Vec<u64> {
    node.raw.raft.tracker().iter().map(|(id, _)| id).collect()
}

/// A node alone that leads and has applied its empty entry.
fn leader_alone() -> Node {
    let mut node = Node::new(1, &[1]);
    node.raw.campaign().expect("an order");
    node.settle();
    node
}

#[test]
fn add_node_3a() {
    let mut node = leader_alone();
    for _ in 0..2 {
        let state = node.raw.apply_conf_change(change(AddNode, 2)).expect("one voter more");
        assert_eq!((members(&node), state.voters), (vec![1, 2], vec![1, 2]), "added once, however often it is asked");
    }
    let sent = node.settle();
    assert!(sent.iter().any(|m| m.to == 2 && m.msg_type() == MessageType::MsgAppend), "the new node is sent the log");
    node.propose(b"x");
    node.settle();
    assert_eq!(node.raw.raft.committed(), 1, "its vote is needed from now on");
}

#[test]
fn remove_node_3a() {
    let mut node = Node::new(1, &[1, 2]);
    node.force_leader_with_commit();
    let state = node.raw.apply_conf_change(change(RemoveNode, 2)).expect("one voter less");
    assert_eq!((members(&node), state.voters), (vec![1], vec![1]));
    node.propose(b"x");
    assert!(node.settle().is_empty(), "nothing is sent to a node that is gone");
    assert_eq!(node.raw.raft.committed(), 2, "and its vote is not needed");
    assert!(node.raw.apply_conf_change(change(RemoveNode, 1)).is_err(), "somebody must be left");
    assert_eq!(members(&node), [1]);
    node.raft().remove_node(1);
    assert!(members(&node).is_empty());
}

#[test]
fn commit_after_remove_node_3a() {
    let mut node = Node::new(1, &[1, 2]);
    node.force_leader();
    let (index, term) = node.raw.propose_conf_change(Bytes::new(), change(RemoveNode, 2)).expect("nothing is pending");
    node.propose(b"hello");
    node.settle();
    assert_eq!((node.raw.raft.committed(), node.raw.raft.last_index()), (0, 3));
    // Node 2 has the change, and will never answer for what comes behind it.
    node.exchange(Message { index, ..message(MessageType::MsgAppendResponse, 2, 1, term) });
    assert_eq!(members(&node), [1]);
    assert_eq!(node.raw.raft.committed(), 3, "the quorum shrank, and nobody will answer to make us see it");
    assert_eq!(node.applied.last().map(|e| &e.data[..]), Some(&b"hello"[..]));
}

#[test]
fn raw_node_propose_and_conf_change_3a() {
    let mut node = leader_alone();
    node.propose(b"somedata");
    let wanted = change(AddNode, 2);
    let proposed = node.raw.propose_conf_change("why".into(), wanted.clone()).expect("nothing is pending");
    node.settle();
    let entries = node.raw.store().all_entries();
    let [_, data, conf_change] = entries else { panic!("three entries, not {entries:?}") };
    assert_eq!((data.entry_type(), &data.data[..]), (EntryType::EntryNormal, &b"somedata"[..]));
    assert_eq!((conf_change.entry_type(), &conf_change.context[..]), (EntryType::EntryConfChange, &b"why"[..]));
    assert_eq!((conf_change.index, conf_change.term), proposed);
    let read = decode_conf_change(conf_change).expect("what was proposed");
    assert_eq!(read.changes.iter().map(|c| (c.change_type(), c.node_id)).collect::<Vec<_>>(), [(AddNode, 2)]);
    assert_eq!(members(&node), [1, 2]);
}

#[test]
fn raw_node_propose_add_duplicate_node_3a() {
    let mut node = leader_alone();
    for id in [1, 1, 2] {
        let change = change(AddNode, id);
        node.raw.propose_conf_change(Bytes::new(), change.clone()).expect("the one before is applied");
        assert!(node.raw.propose_conf_change(Bytes::new(), change).is_err(), "and this one is not");
        node.settle();
    }
    let changes = node.raw.store().all_entries().iter().filter(|entry| is_conf_change(entry)).count();
    assert_eq!((changes, members(&node)), (3, vec![1, 2]), "what was refused is not in the log");
}
