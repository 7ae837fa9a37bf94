//! Linearizable reads without log entries.

use bytes::Bytes;
use proto::eraftpb::{Message, MessageType};

use super::harness::{Network, Node, message};
use crate::{Error, ReadState, Role};

fn contexts(states: &[ReadState]) -> Vec<&[u8]> {
    states.iter().map(|s| &s.request_ctx[..]).collect()
}

fn read(node: &mut Node, context: &'static [u8]) -> Vec<Message> {
    node.raw.read_index(Bytes::from_static(context)).expect("a leader with a commit");
    let ready = node.raw.ready();
    assert!(ready.read_states.is_empty(), "nobody has confirmed it");
    ready.messages
}

fn answer(heartbeat: &Message) -> Message {
    Message {
        context: heartbeat.context.clone(),
        ..message(MessageType::MsgHeartbeatResponse, heartbeat.to, heartbeat.from, heartbeat.term)
    }
}

#[test]
fn quorum_confirms_a_read() {
    let mut node = Node::new(1, &[1, 2, 3, 4, 5]);
    node.force_leader_with_commit();
    let heartbeats = read(&mut node, b"r1");
    assert_eq!(heartbeats.len(), 4);
    assert!(heartbeats.iter().all(|m| m.msg_type() == MessageType::MsgHeartbeat && !m.context.is_empty()));
    node.step(answer(&heartbeats[0]));
    node.step(answer(&heartbeats[0]));
    assert!(node.raw.raft.read_states.is_empty(), "the same answer twice counts once");
    node.step(answer(&heartbeats[3]));
    let ready = node.raw.ready();
    assert_eq!(ready.read_states, [ReadState { index: 1, request_ctx: "r1".into() }]);
    assert_eq!(node.raw.raft.pending_reads(), 0);
}

#[test]
fn reads_of_a_round_share_their_heartbeats() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    for context in [&b"a"[..], b"b", b"c"] {
        node.raw.read_index(Bytes::from_static(context)).expect("a leader with a commit");
    }
    assert!(node.raw.has_ready());
    let heartbeats = node.raw.ready().messages;
    assert_eq!(heartbeats.len(), 2);
    node.step(answer(&heartbeats[0]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"a", b"b", b"c"]);
}

#[test]
fn later_round_confirms_earlier_ones() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    let first = read(&mut node, b"1");
    let second = read(&mut node, b"2");
    let third = read(&mut node, b"3");
    node.step(answer(&second[0]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"1", b"2"], "the answers to the first round are lost");
    node.step(answer(&first[0]));
    assert!(node.raw.raft.read_states.is_empty());
    node.step(answer(&third[1]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"3"]);
}

#[test]
fn lost_round_is_repeated_by_the_next_heartbeat() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    read(&mut node, b"r");
    node.ticks(1);
    let heartbeats = node.settle();
    assert!(heartbeats.iter().all(|m| !m.context.is_empty()));
    node.step(answer(&heartbeats[0]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"r"]);
    node.ticks(1);
    assert!(node.settle().iter().all(|m| m.context.is_empty()), "no read waits any more");
}

#[test]
fn read_needs_a_commit_of_the_own_term() {
    let mut node = Node::new(1, &[1, 2, 3]);
    assert!(matches!(node.raw.read_index(Bytes::new()), Err(Error::NotLeader { leader_id: 0 })));
    node.force_leader();
    assert!(matches!(node.raw.read_index(Bytes::new()), Err(Error::ReadIndexNotReady)));
    node.step(Message { index: 1, ..message(MessageType::MsgAppendResponse, 2, 1, 1) });
    assert!(node.raw.read_index(Bytes::new()).is_ok());
}

#[test]
fn node_alone_answers_at_once() {
    let mut node = Node::new(1, &[1]);
    node.raw.campaign().expect("an order");
    assert!(matches!(node.raw.read_index(Bytes::new()), Err(Error::ReadIndexNotReady)));
    node.settle();
    node.raw.read_index(Bytes::from_static(b"r")).expect("a leader with a commit");
    assert_eq!(node.raw.ready().read_states, [ReadState { index: 1, request_ctx: "r".into() }]);
}

#[test]
fn deposed_leader_answers_no_read() {
    let mut network = Network::of(3);
    network.campaign(1);
    network.isolate(1);
    let old = network.node(1);
    old.raw.read_index(Bytes::from_static(b"r")).expect("it still believes that it leads");
    old.settle();
    network.campaign(2);
    network.propose(2, b"new");
    network.heal();
    network.beat(1);
    let old = network.node(1);
    assert_eq!((old.raw.raft.role(), old.raw.raft.pending_reads()), (Role::Follower, 0));
    assert!(old.raw.raft.read_states.is_empty());
}

#[test]
fn answers_that_were_never_asked_for_confirm_nothing() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    read(&mut node, b"r");
    for context in [&[][..], &[1], &[0; 8], &[255; 8], &[0; 9]] {
        let context = Bytes::copy_from_slice(context);
        node.step(Message { context, ..message(MessageType::MsgHeartbeatResponse, 2, 1, 1) });
    }
    assert_eq!((node.raw.raft.pending_reads(), node.raw.raft.read_states.len()), (1, 0));
}
