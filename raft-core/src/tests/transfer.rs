//! Leader transfer beyond the lab's tests: together with pre-votes, leases, lost orders and changes of membership.

use bytes::Bytes;
use proto::eraftpb::ConfChangeType::{AddLearnerNode, AddNode};
use proto::eraftpb::{ConfState, Message, MessageType};

use super::harness::{Network, Node, change, config, message, storage};
use crate::transfer::CAMPAIGN_TRANSFER;
use crate::{Config, Error, Role};

fn group(config_of: impl Fn(u64) -> Config) -> Network {
    let mut network = Network::new((1..=3).map(|id| Node::with_storage(&config_of(id), storage(&[1, 2, 3], &[], 0))));
    network.campaign(1);
    network
}

fn target(network: &Network) -> Option<u64> {
    network.nodes[&1].raw.raft.transfer_target()
}

#[test]
fn transfer_asks_no_pre_votes_and_breaks_the_lease() {
    let mut network = group(|id| Config { pre_vote: true, check_quorum: true, ..config(id) });
    network.sent.clear();
    network.transfer(1, 2);
    assert_eq!(network.leaders(), [2], "node 3 has heard its leader just now, and votes all the same");
    assert!(network.sent.iter().all(|m| m.msg_type() != MessageType::MsgRequestPreVote));
    let asked = network.sent.iter().filter(|m| m.msg_type() == MessageType::MsgRequestVote).collect::<Vec<_>>();
    assert!(asked.len() == 2 && asked.iter().all(|m| m.context == CAMPAIGN_TRANSFER));
    // Without the mark nobody would have.
    let unmarked = Message { context: Bytes::new(), term: 9, index: 9, log_term: 9, ..asked[0].clone() };
    network.node(3).exchange(Message { to: 3, from: 1, ..unmarked });
    assert_eq!(network.node(3).raw.raft.term(), 2);
}

#[test]
fn transfer_ends_after_an_election_timeout() {
    let mut network = group(config);
    network.isolate(3);
    network.transfer(1, 3);
    network.tick(1, 9);
    assert_eq!(target(&network), Some(3));
    let refused = network.node(1).raw.propose(Bytes::new(), Bytes::new()).expect_err("a transfer runs");
    assert!(matches!(refused, Error::TransferInProgress { to: 3 }) && refused.is_retryable());
    let refused = network.node(1).raw.propose_conf_change(Bytes::new(), change(AddNode, 4));
    assert!(matches!(refused, Err(Error::ConfChangeRefused { .. })));
    assert!(network.node(1).raw.status().to_string().contains("transfer_to=n3"));
    // Asked again, it goes on: its time is not counted anew.
    network.transfer(1, 3);
    network.tick(1, 1);
    assert_eq!((target(&network), network.leaders()), (None, vec![1]));
    assert!(network.propose(1, b"x"));
}

#[test]
fn lost_order_is_repeated() {
    let mut network = group(config);
    network.ignore(MessageType::MsgTimeoutNow);
    network.transfer(1, 2);
    assert_eq!((target(&network), network.leaders()), (Some(2), vec![1]));
    network.heal();
    network.beat(1);
    assert_eq!(network.leaders(), [2]);
}

#[test]
fn only_voters_are_targets() {
    let mut stored = storage(&[], &[], 0);
    stored.set_conf_state(ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() });
    let mut network = Network::new([1, 2, 3].map(|id| Node::with_storage(&config(id), stored.clone())));
    network.campaign(1);
    for stranger in [3, 4, 0] {
        let refused = network.node(1).raw.transfer_leader(stranger);
        assert!(matches!(refused, Err(Error::TransferRefused { .. })), "{stranger}: {refused:?}");
        network.transfer(1, stranger);
        assert_eq!(target(&network), None);
    }
    assert!(matches!(network.node(2).raw.transfer_leader(2), Err(Error::NotLeader { leader_id: 1 })));
    network.node(3).exchange(message(MessageType::MsgTimeoutNow, 1, 3, 1));
    assert_eq!(network.node(3).raw.raft.role(), Role::Follower);
}

#[test]
fn target_that_becomes_a_learner_is_none() {
    for (learner, still) in [(3, None), (4, Some(3))] {
        let mut network = group(config);
        network.isolate(3);
        let leader = network.node(1);
        leader.raw.propose_conf_change(Bytes::new(), change(AddLearnerNode, learner)).expect("nothing is pending");
        network.transfer(1, 3);
        assert!(network.node(1).raw.status().configuration.learners.contains(&learner));
        assert_eq!((target(&network), network.leaders()), (still, vec![1]));
    }
}

#[test]
fn order_is_for_followers() {
    let mut network = group(config);
    for role in [Role::Candidate, Role::Leader] {
        let mut node = Node::new(1, &[1, 2, 3]);
        node.raft().become_candidate();
        if role == Role::Leader {
            node.raft().become_leader();
        }
        node.settle();
        assert!(node.exchange(message(MessageType::MsgTimeoutNow, 2, 1, 1)).is_empty());
        assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (role, 1));
    }
    // An order of an earlier term is too late.
    network.campaign(2);
    network.node(3).exchange(message(MessageType::MsgTimeoutNow, 1, 3, 1));
    assert_eq!(network.node(3).raw.raft.term(), 2);
}

#[test]
fn order_does_not_wait_for_the_leaders_disk() {
    let mut network = group(config);
    network.node(1).raw.transfer_leader(2).expect("a voter");
    let ready = network.node(1).raw.ready();
    assert!(ready.messages.iter().any(|m| m.msg_type() == MessageType::MsgTimeoutNow));
}

#[test]
fn joint_configuration_is_not_left_during_a_transfer() {
    let mut stored = storage(&[], &[], 0);
    let state = ConfState { voters: vec![1, 2], voters_outgoing: vec![1, 3], auto_leave: true, ..ConfState::default() };
    stored.set_conf_state(state);
    let mut node = Node::with_storage(&config(1), stored);
    node.force_leader();
    node.raw.transfer_leader(3).expect("a voter of the outgoing half");
    for from in [2, 3] {
        node.exchange(Message { index: 1, ..message(MessageType::MsgAppendResponse, from, 1, 1) });
    }
    let raft = &node.raw.raft;
    assert_eq!((raft.applied(), raft.last_index()), (1, 1), "one more entry would put the target behind again");
    node.raw.transfer_leader(1).expect("to give up");
    assert_eq!(node.raw.raft.last_index(), 2);
}

#[test]
fn request_without_a_leader_goes_nowhere() {
    let mut node = Node::new(1, &[1, 2, 3]);
    assert!(node.exchange(message(MessageType::MsgTransferLeader, 2, 1, 0)).is_empty());
    node.exchange(message(MessageType::MsgHeartbeat, 3, 1, 1));
    let forwarded = node.exchange(message(MessageType::MsgTransferLeader, 2, 1, 0));
    assert_eq!(forwarded, [Message { to: 3, ..message(MessageType::MsgTransferLeader, 2, 3, 1) }]);
    // The leader takes it with a term, as it comes over the network; also for itself.
    let mut network = group(config);
    network.send(vec![message(MessageType::MsgTransferLeader, 1, 1, 1)]);
    assert_eq!(network.leaders(), [1]);
    network.send(vec![message(MessageType::MsgTransferLeader, 2, 1, 1)]);
    assert_eq!(network.leaders(), [2]);
}
