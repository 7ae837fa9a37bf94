//! Linearizable reads without log entries.

use bytes::Bytes;
use proto::eraftpb::ConfChangeType::RemoveNode;
use proto::eraftpb::{ConfState, Entry, Message, MessageType};

use super::harness::{Network, Node, change, config, message, storage};
use crate::{Error, ReadState, Role};

trait WithContext {
    fn with_context(self, context: &'static [u8]) -> Message;
}

impl WithContext for Message {
    /// The context of a forwarded read travels as an entry.
    fn with_context(self, context: &'static [u8]) -> Message {
        Message { entries: vec![Entry { data: Bytes::from_static(context), ..Entry::default() }], ..self }
    }
}

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
fn dropped_reads_come_back() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    read(&mut node, b"sent");
    node.raw.read_index(Bytes::from_static(b"waits")).expect("a leader with a commit");
    node.step(message(MessageType::MsgReadIndex, 2, 1, 1).with_context(b"not ours"));
    node.step(message(MessageType::MsgHeartbeat, 2, 1, 5));
    assert!(node.raw.has_ready());
    let ready = node.raw.ready();
    assert_eq!(ready.dropped_reads, ["sent", "waits"]);
    assert!(ready.read_states.is_empty());
    node.raw.advance(ready);
    assert!(node.raw.ready().dropped_reads.is_empty(), "told once");
}

#[test]
fn lost_answers_in_the_middle_do_no_harm() {
    let mut node = Node::new(1, &[1, 2, 3, 4, 5]);
    node.force_leader_with_commit();
    let first = read(&mut node, b"1");
    let second = read(&mut node, b"2");
    let third = read(&mut node, b"3");
    // Node 2 answers the first round, node 3 the third, node 4 the second.
    node.step(answer(&first[0]));
    node.step(answer(&third[1]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"1"]);
    node.step(answer(&second[2]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"2"], "an answer to a later round counts for earlier ones");
    node.step(answer(&second[0]));
    assert!(node.raw.raft.read_states.is_empty());
    node.step(answer(&third[0]));
    assert_eq!(contexts(&node.raw.ready().read_states), [b"3"]);
}

#[test]
fn quorum_that_shrinks_releases_reads() {
    // The other one has not answered, and is removed.
    let mut node = Node::new(1, &[1, 2]);
    node.force_leader_with_commit();
    read(&mut node, b"sent");
    node.raw.read_index(Bytes::from_static(b"waits")).expect("a leader with a commit");
    node.raw.apply_conf_change(change(RemoveNode, 2)).expect("one voter less");
    assert_eq!(contexts(&node.raw.ready().read_states), [&b"sent"[..], b"waits"]);
    assert_eq!(node.raw.raft.pending_reads(), 0);
    // One of two others has answered; the silent ones are removed one after the other.
    let mut node = Node::new(1, &[1, 2, 3, 4]);
    node.force_leader_with_commit();
    let sent = read(&mut node, b"r");
    node.step(answer(&sent[0]));
    assert!(node.raw.raft.read_states.is_empty());
    node.raw.apply_conf_change(change(RemoveNode, 4)).expect("one voter less");
    assert_eq!(contexts(&node.raw.ready().read_states), [b"r"]);
}

#[test]
fn follower_reads_by_asking_its_leader() {
    let mut network = Network::of(3);
    network.campaign(1);
    network.propose(1, b"x");
    network.node(2).raw.forward_read(Bytes::from_static(b"r")).expect("a leader is known");
    let request = network.node(2).raw.ready();
    assert_eq!(request.messages.len(), 1, "it promises nothing, so it leaves at once");
    network.node(1).step(request.messages[0].clone());
    let heartbeats = network.node(1).settle();
    assert!(
        heartbeats.iter().all(|m| m.msg_type() == MessageType::MsgHeartbeat),
        "the leader makes sure that it leads"
    );
    network.node(1).step(answer(&heartbeats[1]));
    let answers = network.node(1).raw.ready().messages;
    let [response] = &answers[..] else { panic!("one answer that leaves at once, not {answers:?}") };
    assert_eq!((response.msg_type(), response.to, response.index), (MessageType::MsgReadIndexResp, 2, 2));
    network.node(2).step(response.clone());
    assert_eq!(network.node(2).raw.ready().read_states, [ReadState { index: 2, request_ctx: "r".into() }]);
    // Nobody but the leader answers, and nobody but members is answered.
    network.node(2).step(Message { from: 3, ..response.clone() });
    assert!(network.node(2).raw.raft.read_states.is_empty());
    network.node(3).step(message(MessageType::MsgReadIndex, 2, 3, 1).with_context(b"r"));
    network.node(1).step(message(MessageType::MsgReadIndex, 9, 1, 1).with_context(b"r"));
    assert!(network.node(3).settle().is_empty() && network.node(1).settle().is_empty());
}

#[test]
fn forwarded_reads_need_no_term_and_a_leader_that_can_tell() {
    let mut node = Node::new(1, &[1, 2, 3]);
    assert!(matches!(node.raw.forward_read(Bytes::new()), Err(Error::NotLeader { leader_id: 0 })));
    node.force_leader();
    node.step(message(MessageType::MsgReadIndex, 2, 1, 0).with_context(b"early"));
    assert_eq!(node.raw.raft.pending_reads(), 0, "nothing is committed in its term");
    node.step(Message { index: 1, ..message(MessageType::MsgAppendResponse, 2, 1, 1) });
    node.settle();
    node.step(message(MessageType::MsgReadIndex, 2, 1, 0).with_context(b"r"));
    node.raw.forward_read(Bytes::from_static(b"own")).expect("a leader asks nobody");
    assert_eq!(node.raw.raft.pending_reads(), 2);
    // A leader that is its own quorum answers a learner at once.
    let mut stored = storage(&[1], &[], 0);
    stored.set_conf_state(ConfState { voters: vec![1], learners: vec![2], ..ConfState::default() });
    let mut alone = Node::with_storage(&config(1), stored);
    alone.raw.campaign().expect("an order");
    alone.settle();
    let answers = alone.exchange(message(MessageType::MsgReadIndex, 2, 1, 0).with_context(b"r"));
    assert_eq!(
        answers.iter().map(|m| (m.msg_type(), m.index)).collect::<Vec<_>>(),
        [(MessageType::MsgReadIndexResp, 1)]
    );
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
