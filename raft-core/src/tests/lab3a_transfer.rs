//! Project 3A: a leader hands over.

use bytes::Bytes;
use proto::eraftpb::ConfChangeType::RemoveNode;
use proto::eraftpb::MessageType;

use super::harness::{Network, Node, change, message};
use crate::{Error, Role};

/// Three nodes, of which the first leads.
fn group() -> Network {
    let mut network = Network::of(3);
    network.campaign(1);
    network
}

/// A group whose leader transfers to node 3, which cannot be reached.
fn group_in_transfer() -> Network {
    let mut network = group();
    network.isolate(3);
    network.transfer(1, 3);
    assert_eq!((network.leaders(), target(&network)), (vec![1], Some(3)));
    network
}

fn target(network: &Network) -> Option<u64> {
    network.nodes[&1].raw.raft.transfer_target()
}

#[test]
fn leader_transfer_to_up_to_date_node_3a() {
    let mut network = group();
    network.transfer(1, 2);
    assert_eq!((network.leaders(), network.terms()), (vec![2], vec![2, 2, 2]));
    assert!(network.propose(2, b"x"), "the new leader serves");
    assert_eq!(network.committed(1), 3);
    network.transfer(2, 1);
    assert_eq!((network.leaders(), network.terms()), (vec![1], vec![3, 3, 3]));
}

#[test]
fn leader_transfer_to_up_to_date_node_from_follower_3a() {
    let mut network = group();
    network.transfer(2, 2);
    assert_eq!(network.leaders(), [2], "a follower passes the request on");
    network.propose(2, b"x");
    network.transfer(1, 1);
    assert_eq!(network.leaders(), [1]);
    network.transfer(2, 3);
    assert_eq!(network.leaders(), [3], "also for somebody else");
}

#[test]
fn leader_transfer_to_slow_follower_3a() {
    let mut network = group();
    network.isolate(3);
    network.propose(1, b"x");
    network.heal();
    assert_eq!(network.node(1).raw.status().members[&3].matched, 1);
    network.sent.clear();
    network.transfer(1, 3);
    assert_eq!(network.leaders(), [3]);
    assert_eq!(network.node(3).log_data(), [&b""[..], b"x", b""]);
    let position = |kind| network.sent.iter().position(|m| m.msg_type() == kind).expect("sent");
    assert!(
        position(MessageType::MsgAppend) < position(MessageType::MsgTimeoutNow),
        "a node that lacks entries must not be sent to an election that it cannot win"
    );
}

#[test]
fn leader_transfer_after_snapshot_3a() {
    let mut network = group();
    network.isolate(3);
    network.propose(1, b"x");
    let leader = network.node(1);
    let applied = leader.raw.raft.applied();
    leader.raw.mut_store().create_snapshot(applied, Bytes::new()).expect("in the log");
    leader.raw.mut_store().compact(applied);
    network.heal();
    network.ignore(MessageType::MsgSnapshot);
    network.transfer(1, 3);
    assert_eq!(
        (network.leaders(), target(&network)),
        (vec![1], Some(3)),
        "the target needs a snapshot first, and it is lost"
    );
    network.heal();
    network.node(1).raw.report_snapshot(3, false);
    network.beat(1);
    assert_eq!(network.leaders(), [3], "the answer to a later heartbeat brings the snapshot, and then the order");
    assert_eq!(network.node(3).snapshots.len(), 1);
}

#[test]
fn leader_transfer_to_self_3a() {
    let mut network = group();
    network.transfer(1, 1);
    assert_eq!((network.leaders(), network.terms(), target(&network)), (vec![1], vec![1, 1, 1], None));
    assert!(network.propose(1, b"x"));
}

#[test]
fn leader_transfer_to_non_existing_node_3a() {
    let mut network = group();
    network.transfer(1, 4);
    assert_eq!((network.leaders(), network.terms(), target(&network)), (vec![1], vec![1, 1, 1], None));
    let refused = network.node(1).raw.transfer_leader(4);
    assert!(matches!(refused, Err(Error::TransferRefused { .. })), "{refused:?}");
    assert!(network.propose(1, b"x"));
}

#[test]
fn leader_transfer_receive_higher_term_vote_3a() {
    let mut network = group_in_transfer();
    network.campaign(2);
    assert_eq!((network.leaders(), network.terms()[..2].to_vec()), (vec![2], vec![2, 2]));
    assert_eq!(target(&network), None, "who does not lead does not transfer");
}

#[test]
fn leader_transfer_remove_node_3a() {
    // A node that was removed before.
    let mut network = group();
    network.change(1, change(RemoveNode, 3));
    network.transfer(1, 3);
    assert_eq!((network.leaders(), target(&network)), (vec![1], None));

    // A node that is removed while the transfer to it runs. The change was proposed before.
    let mut network = group();
    network.isolate(3);
    let leader = network.node(1);
    leader.raw.propose_conf_change(Bytes::new(), change(RemoveNode, 3)).expect("nothing is pending");
    network.transfer(1, 3);
    assert_eq!(target(&network), None, "the target is gone, the leader stays");
    assert_eq!(network.leaders(), [1]);
    assert!(network.propose(1, b"x"));
}

#[test]
fn leader_transfer_back_3a() {
    let mut network = group_in_transfer();
    assert!(!network.propose(1, b"x"), "proposals are refused meanwhile");
    network.transfer(1, 1);
    assert_eq!((network.leaders(), target(&network)), (vec![1], None));
    assert!(network.propose(1, b"x"));
}

#[test]
fn leader_transfer_second_transfer_to_another_node_3a() {
    let mut network = group_in_transfer();
    network.transfer(1, 2);
    assert_eq!((network.leaders(), target(&network)), (vec![2], None));
}

#[test]
fn transfer_non_member_3a() {
    let mut node = Node::new(1, &[2, 3, 4]);
    let sent = node.exchange(message(MessageType::MsgTimeoutNow, 2, 1, 1));
    assert!(sent.is_empty(), "it asks nobody for a vote");
    for from in [2, 3] {
        node.exchange(message(MessageType::MsgRequestVoteResponse, from, 1, 1));
    }
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Follower, 1));
}
