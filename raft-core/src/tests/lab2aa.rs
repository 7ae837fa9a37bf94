//! Project 2AA, one node at a time: the rules of Raft paper sections 5.1, 5.2 and, for whose log a vote is given, 5.4.1.

use std::collections::{BTreeMap, BTreeSet};

use proto::eraftpb::{Message, MessageType};

use super::harness::{Driver, Node, message};
use crate::Role;

const ELECTION_TICK: usize = 10;

/// A node of which this project's code is in use, and none of later ones.
fn node(id: u64, voters: &[u64]) -> Node {
    Node::new(id, voters).driven_by(Driver::Elections)
}

fn node_with_log(id: u64, voters: &[u64], terms: &[u64], term: u64) -> Node {
    Node::with_log(id, voters, terms, term).driven_by(Driver::Elections)
}

fn updates_term_from_message(role: Role) {
    let mut node = node(1, &[1, 2, 3]);
    match role {
        Role::Follower => node.raft().become_follower(1, 2),
        Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
        Role::Leader => node.force_leader(),
    }
    node.step(message(MessageType::MsgAppend, 2, 1, 2));
    assert_eq!((node.raw.raft.term(), node.raw.raft.role()), (2, Role::Follower));
}

#[test]
fn follower_update_term_from_message_2aa() {
    updates_term_from_message(Role::Follower);
}

#[test]
fn candidate_update_term_from_message_2aa() {
    updates_term_from_message(Role::Candidate);
}

#[test]
fn leader_update_term_from_message_2aa() {
    updates_term_from_message(Role::Leader);
}

#[test]
fn start_as_follower_2aa() {
    assert_eq!(node(1, &[1, 2, 3]).raw.raft.role(), Role::Follower);
}

#[test]
fn leader_bcast_beat_2aa() {
    let mut node = node(1, &[1, 2, 3]);
    node.force_leader();
    node.ticks(1);
    let mut sent = node.settle();
    sent.sort_by_key(|m| m.to);
    // A heartbeat to a follower that has acknowledged nothing carries no commit index.
    assert_eq!(sent, [2, 3].map(|to| message(MessageType::MsgHeartbeat, 1, to, 1)));
}

fn starts_election(role: Role) {
    let mut node = node(1, &[1, 2, 3]);
    match role {
        Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
        _ => node.raft().become_follower(1, 2),
    }
    node.settle();
    node.ticks(2 * ELECTION_TICK - 1);
    let raft = &node.raw.raft;
    assert_eq!((raft.term(), raft.role(), raft.vote()), (2, Role::Candidate, 1));
    let mut sent = node.settle();
    sent.sort_by_key(|m| m.to);
    assert_eq!(
        sent,
        [2, 3].map(|to| message(MessageType::MsgRequestVote, 1, to, 2)),
        "one election, all other voters asked"
    );
}

#[test]
fn follower_start_election_2aa() {
    starts_election(Role::Follower);
}

#[test]
fn candidate_start_new_election_2aa() {
    starts_election(Role::Candidate);
}

#[test]
fn leader_election_in_one_round_rpc_2aa() {
    let yes = |ids: &[u64]| ids.iter().map(|id| (*id, true)).collect::<BTreeMap<_, _>>();
    let no = |ids: &[u64]| ids.iter().map(|id| (*id, false)).collect::<BTreeMap<_, _>>();
    let table = [
        (1, yes(&[]), true),
        (3, yes(&[2, 3]), true),
        (3, yes(&[2]), true),
        (5, yes(&[2, 3, 4, 5]), true),
        (5, yes(&[2, 3, 4]), true),
        (5, yes(&[2, 3]), true),
        (3, no(&[2, 3]), false),
        (5, no(&[2, 3, 4, 5]), false),
        (5, BTreeMap::from([(2, true), (3, false), (4, false), (5, false)]), false),
        (3, yes(&[]), false),
        (5, yes(&[2]), false),
        (5, yes(&[]), false),
    ];
    for (size, votes, wins) in table {
        let mut node = node(1, &(1..=size).collect::<Vec<_>>());
        node.raw.campaign().expect("an order");
        node.settle();
        for (id, granted) in &votes {
            let answer = message(MessageType::MsgRequestVoteResponse, *id, 1, node.raw.raft.term());
            node.step(Message { reject: !granted, ..answer });
        }
        let raft = &node.raw.raft;
        assert_eq!((raft.is_leader(), raft.term()), (wins, 1), "{size} nodes, votes {votes:?}");
        let undecided = votes.is_empty() && !wins;
        assert!(!undecided || raft.role() == Role::Candidate, "{size} nodes: nothing decided yet");
    }
}

#[test]
fn follower_vote_2aa() {
    // (vote given before, candidate, rejected)
    for (vote, candidate, reject) in
        [(0, 2, false), (0, 3, false), (2, 2, false), (3, 3, false), (2, 3, true), (3, 2, true)]
    {
        let mut node = node(1, &[1, 2, 3]);
        node.raft().become_follower(1, 0);
        node.raft().vote = vote;
        let answers = node.exchange(message(MessageType::MsgRequestVote, candidate, 1, 1));
        let expected = Message { reject, ..message(MessageType::MsgRequestVoteResponse, 1, candidate, 1) };
        assert_eq!(answers, [expected], "voted {vote}, asked by {candidate}");
    }
}

#[test]
fn candidate_fallback_2aa() {
    for term in [1, 2] {
        let mut node = node(1, &[1, 2, 3]);
        node.raw.campaign().expect("an order");
        assert_eq!(node.raw.raft.role(), Role::Candidate);
        node.step(message(MessageType::MsgAppend, 2, 1, term));
        let raft = &node.raw.raft;
        assert_eq!((raft.role(), raft.term(), raft.leader_id()), (Role::Follower, term, 2));
    }
}

/// Ticks until the next election of a node that follows nobody, or has just become a candidate.
fn timeout_of(node: &mut Node, role: Role) -> usize {
    match role {
        Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
        _ => {
            let next_term = node.raw.raft.term() + 1;
            node.raft().become_follower(next_term, 2);
        }
    }
    node.settle();
    let mut ticks = 0;
    while node.settle().is_empty() {
        node.ticks(1);
        ticks += 1;
        assert!(ticks < 100, "no election");
    }
    ticks
}

fn timeouts_are_random(role: Role) {
    let mut node = node(1, &[1, 2, 3]);
    let seen: BTreeSet<usize> = (0..500).map(|_| timeout_of(&mut node, role)).collect();
    assert!(seen.iter().all(|t| (ELECTION_TICK..2 * ELECTION_TICK).contains(t)), "out of range: {seen:?}");
    // 500 draws of 10 values: the chance to miss one is below 1e-21, and the seed is fixed anyway.
    assert!((ELECTION_TICK + 1..2 * ELECTION_TICK).all(|t| seen.contains(&t)), "some timeout never occurs: {seen:?}");
}

#[test]
fn follower_election_timeout_randomized_2aa() {
    timeouts_are_random(Role::Follower);
}

#[test]
fn candidate_election_timeout_randomized_2aa() {
    timeouts_are_random(Role::Candidate);
}

/// In how many of 1000 rounds do two of five nodes come first together? With uniform timeouts over 10 values the expected share is
/// 1 - 5 * sum(k^4) / 10^5 for k = 0..9, which is 0.233; three standard deviations (0.0134 each) above that is 0.274.
fn timeouts_rarely_conflict(role: Role) {
    let mut nodes: Vec<Node> = (1..=5).map(|id| node(id, &[1, 2, 3, 4, 5])).collect();
    let conflicts = (0..1000)
        .filter(|_| {
            let timeouts: Vec<usize> = nodes.iter_mut().map(|n| timeout_of(n, role)).collect();
            let first = timeouts.iter().min().expect("five nodes");
            timeouts.iter().filter(|t| *t == first).count() > 1
        })
        .count();
    assert!(conflicts <= 274, "two nodes time out first in {conflicts} of 1000 rounds");
}

#[test]
fn followers_election_timeout_nonconflict_2aa() {
    timeouts_rarely_conflict(Role::Follower);
}

#[test]
fn candidates_election_timeout_nonconflict_2aa() {
    timeouts_rarely_conflict(Role::Candidate);
}

#[test]
fn recv_msg_beat_2aa() {
    for (role, heartbeats) in [(Role::Leader, 2), (Role::Candidate, 0), (Role::Follower, 0)] {
        let mut node = node(1, &[1, 2, 3]);
        match role {
            Role::Leader => node.force_leader(),
            Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
            Role::Follower => node.raft().become_follower(1, 2),
        }
        node.settle();
        let sent = node.exchange(message(MessageType::MsgBeat, 1, 1, 0));
        assert_eq!(sent.len(), heartbeats, "{role:?}");
        assert!(sent.iter().all(|m| m.msg_type() == MessageType::MsgHeartbeat));
    }
}

#[test]
fn vote_from_any_state_2aa() {
    for role in [Role::Follower, Role::Candidate, Role::Leader] {
        let mut node = node(1, &[1, 2, 3]);
        match role {
            Role::Follower => node.raft().become_follower(1, 3),
            Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
            Role::Leader => node.force_leader(),
        }
        node.settle();
        let term = node.raw.raft.term() + 1;
        let request = Message { log_term: term, index: 42, ..message(MessageType::MsgRequestVote, 2, 1, term) };
        let answers = node.exchange(request);
        assert_eq!(answers, [message(MessageType::MsgRequestVoteResponse, 1, 2, term)], "{role:?} grants");
        let raft = &node.raw.raft;
        assert_eq!((raft.role(), raft.term(), raft.vote()), (Role::Follower, term, 2));
    }
}

#[test]
fn voter_2aa() {
    // (own log, candidate's last term, candidate's last index, rejected)
    for (log, log_term, index, reject) in [
        (vec![1], 1, 1, false),
        (vec![1], 1, 2, false),
        (vec![1, 1], 1, 1, true),
        (vec![1], 2, 1, false),
        (vec![1], 2, 2, false),
        (vec![1, 1], 2, 1, false),
        (vec![2], 1, 1, true),
        (vec![2], 1, 2, true),
        (vec![2, 2], 1, 1, true),
    ] {
        let mut node = node_with_log(1, &[1, 2], &log, 2);
        let request = Message { log_term, index, ..message(MessageType::MsgRequestVote, 2, 1, 3) };
        let answers = node.exchange(request);
        let expected = Message { reject, ..message(MessageType::MsgRequestVoteResponse, 1, 2, 3) };
        assert_eq!(answers, [expected], "own log {log:?}, candidate's ends with ({index}, {log_term})");
    }
}

#[test]
fn recv_msg_request_vote_2aa() {
    use Role::{Candidate, Follower, Leader};
    // (role, candidate's last index, its term, own vote, rejected); the own log ends with index 2, term 2.
    let table = [
        (Follower, 0, 0, 0, true),
        (Follower, 0, 1, 0, true),
        (Follower, 0, 2, 0, true),
        (Follower, 0, 3, 0, false),
        (Follower, 1, 0, 0, true),
        (Follower, 1, 1, 0, true),
        (Follower, 1, 2, 0, true),
        (Follower, 1, 3, 0, false),
        (Follower, 2, 0, 0, true),
        (Follower, 2, 1, 0, true),
        (Follower, 2, 2, 0, false),
        (Follower, 2, 3, 0, false),
        (Follower, 3, 0, 0, true),
        (Follower, 3, 1, 0, true),
        (Follower, 3, 2, 0, false),
        (Follower, 3, 3, 0, false),
        (Follower, 3, 2, 2, false),
        (Follower, 3, 2, 1, true),
        (Leader, 3, 3, 1, true),
        (Candidate, 3, 3, 1, true),
    ];
    for (row, (role, index, log_term, vote, reject)) in table.into_iter().enumerate() {
        let mut node = node_with_log(1, &[1, 2, 3], &[2, 2], 2);
        // The same term on both sides, so that only vote and log decide.
        let term = log_term.max(2);
        let raft = node.raft();
        (raft.term, raft.role, raft.vote) = (term, role, vote);
        let answers = node.exchange(Message { index, log_term, ..message(MessageType::MsgRequestVote, 2, 1, term) });
        let votes: Vec<bool> =
            answers.iter().filter(|m| m.msg_type() == MessageType::MsgRequestVoteResponse).map(|m| m.reject).collect();
        assert_eq!(votes, [reject], "row {row}");
    }
}
