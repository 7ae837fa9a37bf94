//! Pre-vote and check-quorum.

use proto::eraftpb::{Message, MessageType};

use super::harness::{Network, Node, config, message, storage};
use crate::{Config, Role};

fn group(log: &[u64], pre_vote: bool, check_quorum: bool) -> Network {
    let node = |id| {
        let config = Config { pre_vote, check_quorum, ..config(id) };
        Node::with_storage(&config, storage(&[1, 2, 3], log, log.last().copied().unwrap_or(0)))
    };
    Network::new((1..=3).map(node))
}

#[test]
fn pre_vote_elects_a_leader() {
    let mut network = group(&[], true, false);
    network.campaign(1);
    assert_eq!((network.roles()[0], network.terms()), (Role::Leader, vec![1, 1, 1]));
    let asked = network.sent.iter().filter(|m| m.msg_type() == MessageType::MsgRequestPreVote).count();
    assert_eq!(asked, 2);
}

#[test]
fn pre_vote_of_a_group_of_one() {
    let mut node = Node::with_storage(&Config { pre_vote: true, ..config(1) }, storage(&[1], &[], 0));
    node.raw.campaign().expect("an order");
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Leader, 1));
}

#[test]
fn node_that_was_cut_off_deposes_nobody() {
    let mut network = group(&[], true, false);
    network.campaign(1);
    network.isolate(3);
    network.propose(1, b"x");
    network.tick(3, 100);
    assert_eq!((network.roles()[2], network.terms()), (Role::PreCandidate, vec![1, 1, 1]), "its term did not run away");
    network.heal();
    network.tick(3, 20);
    assert_eq!((network.roles()[0], network.terms()), (Role::Leader, vec![1, 1, 1]), "and its log is too short to win");
    network.beat(1);
    assert_eq!(network.roles()[2], Role::Follower);
}

#[test]
fn pre_vote_changes_nothing_where_it_is_asked() {
    let mut node = Node::new(1, &[1, 2, 3]);
    let before = node.raw.raft.hard_state();
    let request = Message { index: 5, log_term: 5, ..message(MessageType::MsgRequestPreVote, 2, 1, 9) };
    let answers = node.exchange(request.clone());
    assert_eq!(
        answers,
        [message(MessageType::MsgRequestPreVoteResponse, 1, 2, 9)],
        "a grant speaks of the future term"
    );
    assert!(!node.exchange(Message { from: 3, ..request })[0].reject, "and binds nobody");
    assert_eq!(node.raw.raft.hard_state(), before);

    let mut ahead = Node::with_log(1, &[1, 2, 3], &[7], 7);
    let request = Message { index: 5, log_term: 5, ..message(MessageType::MsgRequestPreVote, 2, 1, 9) };
    let refusal = Message { reject: true, ..message(MessageType::MsgRequestPreVoteResponse, 1, 2, 7) };
    assert_eq!(ahead.exchange(request), std::slice::from_ref(&refusal), "a refusal speaks of the own term");
    let request = Message { index: 5, log_term: 5, ..message(MessageType::MsgRequestPreVote, 2, 1, 3) };
    assert_eq!(ahead.exchange(request), [refusal], "who is behind must hear of it");
}

#[test]
fn refused_pre_candidate_learns_the_term() {
    let mut node = Node::with_storage(&Config { pre_vote: true, ..config(1) }, storage(&[1, 2, 3], &[], 0));
    node.raw.campaign().expect("an order");
    assert_eq!(node.raw.raft.role(), Role::PreCandidate);
    node.step(Message { reject: true, ..message(MessageType::MsgRequestPreVoteResponse, 2, 1, 6) });
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Follower, 6));
    // A grant for the attempt in the old term does not count in the new one.
    node.raw.campaign().expect("an order");
    node.step(message(MessageType::MsgRequestPreVoteResponse, 2, 1, 8));
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::PreCandidate, 6));
    node.step(message(MessageType::MsgRequestPreVoteResponse, 3, 1, 7));
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Candidate, 7));
}

#[test]
fn leader_without_a_quorum_steps_down() {
    let mut network = group(&[], false, true);
    network.campaign(1);
    network.tick(1, 50);
    assert_eq!(network.roles()[0], Role::Leader, "two of three answer");
    network.isolate(2);
    network.tick(1, 50);
    assert_eq!(network.roles()[0], Role::Leader, "one of two answers, and the leader itself");
    network.isolate(3);
    network.tick(1, 20);
    assert_eq!((network.roles()[0], network.terms()[0]), (Role::Follower, 1));
}

#[test]
fn without_check_quorum_a_leader_stays() {
    let mut network = group(&[], false, false);
    network.campaign(1);
    network.isolate(1);
    network.tick(1, 100);
    assert_eq!(network.roles()[0], Role::Leader);
}

#[test]
fn who_hears_its_leader_votes_for_nobody_else() {
    for msg_type in [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote] {
        let mut network = group(&[], false, true);
        network.campaign(1);
        let request = Message { index: 9, log_term: 9, ..message(msg_type, 3, 2, 9) };
        let answers = network.node(2).exchange(request.clone());
        assert_eq!((answers.len(), network.terms()), (0, vec![1, 1, 1]), "not even the term is taken over");
        // The leader falls silent for an election timeout, which the node has not noticed yet: its own one is longer.
        network.node(2).raft().election_elapsed = 10;
        assert_eq!(network.node(2).exchange(request).len(), 1);
    }
}

#[test]
fn node_that_is_ahead_is_not_shut_out_for_ever() {
    let mut network = group(&[], false, true);
    network.campaign(1);
    network.isolate(3);
    network.tick(3, 60);
    assert!(network.terms()[2] > 1);
    network.heal();
    network.tick(3, 20);
    assert_eq!(network.roles()[0], Role::Leader, "its requests are ignored");
    network.beat(1);
    assert_eq!(network.roles()[0], Role::Follower, "but it answers the leader with its term");
    network.campaign(1);
    assert_eq!(network.roles(), [Role::Leader, Role::Follower, Role::Follower]);
    assert!(network.terms().iter().all(|term| *term == network.terms()[0]));
}
