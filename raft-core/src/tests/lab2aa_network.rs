//! Project 2AA, whole groups: elections over a network.

use proto::eraftpb::MessageType;

use super::harness::{Driver, Network, Node, message};
use crate::Role;

#[test]
fn leader_election_2aa() {
    for (size, holes, role) in [
        (3, vec![], Role::Leader),
        (3, vec![3], Role::Leader),
        (3, vec![2, 3], Role::Candidate),
        (4, vec![2, 3], Role::Candidate),
        (5, vec![2, 3], Role::Leader),
        (5, vec![2, 3, 4], Role::Candidate),
    ] {
        let mut network = Network::with_holes(size, &holes).driven_by(Driver::Elections);
        network.campaign(1);
        let raft = &network.node(1).raw.raft;
        assert_eq!((raft.role(), raft.term()), (role, 1), "{size} nodes, {holes:?} are silent");
    }
}

#[test]
fn leader_cycle_2aa() {
    let mut network = Network::of(3).driven_by(Driver::Elections);
    for candidate in 1..=3 {
        network.campaign(candidate);
        network.beat(candidate);
        for (id, node) in &network.nodes {
            let expected = if *id == candidate { Role::Leader } else { Role::Follower };
            assert_eq!(node.raw.raft.role(), expected, "node {id} after node {candidate} campaigned");
            assert_eq!(node.raw.raft.leader_id(), candidate);
        }
    }
}

#[test]
fn single_node_candidate_2aa() {
    let mut network = Network::of(1).driven_by(Driver::Elections);
    network.campaign(1);
    assert_eq!(network.roles(), [Role::Leader]);
}

/// An isolated node times out into a higher term; a message of the leader, sent after the leader has caught up, takes it back.
fn candidate_resets_term(msg_type: MessageType) {
    let mut network = Network::of(3).driven_by(Driver::Elections);
    network.campaign(1);
    assert_eq!(network.roles(), [Role::Leader, Role::Follower, Role::Follower]);
    network.isolate(3);
    network.campaign(2);
    network.campaign(1);
    assert_eq!(network.roles(), [Role::Leader, Role::Follower, Role::Follower]);
    network.node(3).tick_to_election();
    network.node(3).settle();
    assert_eq!(network.roles()[2], Role::Candidate);
    network.heal();
    let term = network.node(1).raw.raft.term();
    network.send(vec![message(msg_type, 1, 3, term)]);
    let raft = &network.node(3).raw.raft;
    assert_eq!((raft.role(), raft.term()), (Role::Follower, term));
}

#[test]
fn candidate_reset_term_msg_heartbeat_2aa() {
    candidate_resets_term(MessageType::MsgHeartbeat);
}

#[test]
fn candidate_reset_term_msg_append_2aa() {
    candidate_resets_term(MessageType::MsgAppend);
}

#[test]
fn disruptive_follower_2aa() {
    let mut network =
        Network::new((1..=3).map(|id| Node::with_log(id, &[1, 2, 3], &[], 1))).driven_by(Driver::Elections);
    network.campaign(1);
    assert_eq!((network.roles()[0], network.terms()), (Role::Leader, vec![2, 2, 2]));
    network.node(3).tick_to_election();
    network.node(3).settle(); // Its requests for votes are lost.
    assert_eq!((network.roles()[2], network.terms()), (Role::Candidate, vec![2, 2, 3]));
    network.send(vec![message(MessageType::MsgHeartbeat, 1, 3, 2)]);
    assert_eq!(network.roles()[0], Role::Follower, "the late heartbeat is answered with the higher term");
    assert_eq!(network.terms()[0], 3);
}

#[test]
fn campaign_while_leader_2aa() {
    let mut node = Node::new(1, &[1]).driven_by(Driver::Elections);
    assert_eq!(node.raw.raft.role(), Role::Follower);
    node.raw.campaign().expect("an order");
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Leader, 1));
    node.raw.campaign().expect("an order");
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Leader, 1));
}

#[test]
fn split_vote_2aa() {
    let mut network =
        Network::new((1..=3).map(|id| Node::with_log(id, &[1, 2, 3], &[], 1))).driven_by(Driver::Elections);
    network.campaign(1);
    network.isolate(1);
    network.campaign_at_once(&[2, 3]);
    assert_eq!(network.roles()[1..], [Role::Candidate, Role::Candidate]);
    assert_eq!(network.terms()[1..], [3, 3]);
    network.campaign(2);
    assert_eq!(network.roles()[1..], [Role::Leader, Role::Follower]);
    assert_eq!(network.terms()[1..], [4, 4]);
}
