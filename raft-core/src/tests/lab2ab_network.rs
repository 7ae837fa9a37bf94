//! Project 2AB, whole groups: replication over a network.

use proto::eraftpb::{HardState, Message, MessageType};

use super::harness::{Driver, Network, Node, config, entry, message, storage};
use crate::Role;

#[test]
fn leader_sync_follower_log_2ab() {
    let leader_log = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let follower_logs: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for (figure, log) in follower_logs.into_iter().enumerate() {
        let mut stored = storage(&[1, 2, 3], &leader_log, 8);
        stored.set_hard_state(HardState { term: 8, vote: 0, commit: 3 });
        let leader = Node::with_storage(&config(1), stored);
        let follower = Node::with_log(2, &[1, 2, 3], log, 7);
        // The third member only votes: the follower may hold entries that keep it from doing so.
        let mut network = Network::new([leader, follower]).driven_by(Driver::Replication);
        network.campaign(1);
        network.send(vec![message(MessageType::MsgRequestVoteResponse, 3, 1, 9)]);
        network.propose(1, b"");
        assert_eq!(
            network.node(2).log_terms(),
            network.node(1).log_terms(),
            "follower ({})",
            b"abcdef"[figure] as char
        );
        assert_eq!(network.node(1).log_terms(), [&leader_log[..], &[9, 9]].concat());
    }
}

#[test]
fn leader_election_overwrite_newer_logs_2ab() {
    let all = [1, 2, 3, 4, 5];
    let voted = |id| {
        let mut stored = storage(&all, &[], 2);
        stored.set_hard_state(HardState { term: 2, vote: 3, commit: 0 });
        Node::with_storage(&config(id), stored)
    };
    // Node 3 won term 2 with the votes of 4 and 5, wrote an entry, and told nobody.
    let mut network = Network::new([
        Node::with_log(1, &all, &[1], 1),
        Node::with_log(2, &all, &[1], 1),
        Node::with_log(3, &all, &[2], 2),
        voted(4),
        voted(5),
    ])
    .driven_by(Driver::Replication);
    network.campaign(1);
    let raft = &network.node(1).raw.raft;
    assert_eq!((raft.is_leader(), raft.term()), (false, 2), "term 2 is taken");
    network.campaign(1);
    let raft = &network.node(1).raw.raft;
    assert_eq!((raft.role(), raft.term()), (Role::Leader, 3));
    for id in all {
        assert_eq!(network.node(id).log_terms(), [1, 3], "node {id}");
    }
}

#[test]
fn log_replication_2ab() {
    for (rounds, committed) in [(1, 2), (2, 4)] {
        let mut network = Network::of(3).driven_by(Driver::Replication);
        let data: [&'static [u8]; 2] = [b"first", b"second"];
        for (leader, data) in (1..).zip(&data[..rounds]) {
            network.campaign(leader);
            assert!(network.propose(leader, data));
        }
        for (id, node) in &network.nodes {
            assert_eq!(node.raw.raft.committed(), committed, "node {id}");
            let applied: Vec<_> = node.applied.iter().map(|e| e.data.clone()).filter(|d| !d.is_empty()).collect();
            assert_eq!(applied, data[..rounds], "node {id}");
        }
    }
}

#[test]
fn single_node_commit_2ab() {
    let mut network = Network::of(1).driven_by(Driver::Replication);
    network.campaign(1);
    network.propose(1, b"some data");
    network.propose(1, b"some data");
    assert_eq!(network.committed(1), 3);
}

#[test]
fn commit_without_new_term_entry_2ab() {
    let mut network = Network::of(5).driven_by(Driver::Replication);
    network.campaign(1);
    for other in [3, 4, 5] {
        network.cut(1, other);
    }
    network.propose(1, b"some data");
    network.propose(1, b"some data");
    assert_eq!(network.committed(1), 1, "two of five are no majority");
    network.heal();
    network.campaign(2);
    assert_eq!(network.committed(1), 4, "the new leader's empty entry commits what was before it");
}

#[test]
fn commit_with_heartbeat_2ab() {
    let mut network = Network::of(5).driven_by(Driver::Replication);
    network.campaign(1);
    for other in [3, 4, 5] {
        network.cut(1, other);
    }
    network.propose(1, b"some data");
    network.propose(1, b"some data");
    assert_eq!(network.committed(1), 1);
    network.heal();
    network.beat(1);
    assert_eq!(network.committed(1), 3, "who answers a heartbeat and lacks entries is sent them");
}

#[test]
fn dueling_candidates_2ab() {
    let mut network = Network::of(3).driven_by(Driver::Replication);
    network.cut(1, 3);
    network.campaign(1);
    network.campaign(3);
    assert_eq!(network.roles(), [Role::Leader, Role::Follower, Role::Candidate]);
    network.heal();
    network.campaign(3);
    assert_eq!(
        network.roles(),
        [Role::Follower; 3],
        "the higher term deposes the leader, but the short log cannot win"
    );
    assert_eq!(network.terms(), [2, 2, 2]);
    let logs: Vec<Vec<u64>> = network.nodes.values().map(Node::log_terms).collect();
    assert_eq!(logs, [vec![1], vec![1], vec![]]);
}

#[test]
fn candidate_concede_2ab() {
    let mut network = Network::of(3).driven_by(Driver::Replication);
    network.isolate(1);
    network.campaign(1);
    network.campaign(3);
    network.heal();
    network.beat(3);
    network.propose(3, b"force follower");
    network.beat(3);
    let raft = &network.node(1).raw.raft;
    assert_eq!((raft.role(), raft.term(), raft.committed()), (Role::Follower, 1, 2));
    for (id, node) in &network.nodes {
        assert_eq!(node.log_data(), [&b""[..], b"force follower"], "node {id}");
    }
}

#[test]
fn old_messages_2ab() {
    let mut network = Network::of(3).driven_by(Driver::Replication);
    for id in [1, 2, 1] {
        network.campaign(id);
    }
    // An append of node 2, from when it led in term 2.
    let old = Message { entries: vec![entry(3, 2)], index: 2, log_term: 2, ..message(MessageType::MsgAppend, 2, 1, 2) };
    network.send(vec![old]);
    assert_eq!(network.roles()[0], Role::Leader);
    network.propose(1, b"some data");
    for (id, node) in &network.nodes {
        assert_eq!(node.log_terms(), [1, 2, 3, 3], "node {id}");
        assert_eq!(node.raw.raft.committed(), 4, "node {id}");
    }
}

#[test]
fn proposal_2ab() {
    for (size, holes, succeeds) in
        [(3, vec![], true), (3, vec![3], true), (3, vec![2, 3], false), (4, vec![2, 3], false), (5, vec![2, 3], true)]
    {
        let mut network = Network::with_holes(size, &holes).driven_by(Driver::Replication);
        network.campaign(1);
        assert_eq!(network.propose(1, b"some data"), succeeds, "{size} nodes, {holes:?} are silent");
        let expected: &[&[u8]] = if succeeds { &[b"", b"some data"] } else { &[] };
        for (id, node) in &network.nodes {
            assert_eq!(node.log_data(), expected, "node {id}");
            assert_eq!(node.raw.raft.committed(), expected.len() as u64, "node {id}");
        }
        assert_eq!(network.node(1).raw.raft.term(), 1);
    }
}

#[test]
fn heartbeat_update_commit_2ab() {
    for (failures, successes) in [(1, 1), (5, 3), (5, 10)] {
        let mut network = Network::of(5).driven_by(Driver::Replication);
        network.campaign(1);
        network.isolate(1);
        for _ in 0..failures {
            network.propose(1, b"lost");
        }
        assert_eq!(network.committed(1), 1, "a leader alone commits nothing");
        network.campaign(2);
        for _ in 0..successes {
            network.propose(2, b"kept");
        }
        assert_eq!(network.committed(2), 2 + successes);
        network.heal();
        network.ignore(MessageType::MsgAppend);
        network.beat(2);
        assert_eq!(network.roles()[0], Role::Follower);
        assert_eq!(network.committed(1), 1, "a heartbeat alone must not commit entries that may differ");
    }
}

#[test]
fn leader_increase_next_2ab() {
    let previous = [1, 1, 1];
    let mut network =
        Network::new([1, 2].map(|id| Node::with_log(id, &[1, 2], &previous, 1))).driven_by(Driver::Replication);
    network.campaign(1);
    network.propose(1, b"some data");
    let next = network.node(1).raw.status().members[&2].next;
    assert_eq!(next, previous.len() as u64 + 1 + 1 + 1, "behind the old entries, the empty one and the proposal");
}
