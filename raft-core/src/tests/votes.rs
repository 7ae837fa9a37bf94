//! Priorities in elections, and candidates whose group changes.

use proto::eraftpb::ConfChangeType::AddNode;
use proto::eraftpb::{Entry, Message, MessageType};

use super::harness::{Network, Node, change, config, entry, message, storage};
use crate::membership::Change;
use crate::{Config, Role};

fn group(priorities: [i64; 3], logs: [&[u64]; 3], pre_vote: bool) -> Network {
    let node = |id: u64| {
        let config = Config { priority: priorities[id as usize - 1], pre_vote, ..config(id) };
        Node::with_storage(&config, storage(&[1, 2, 3], logs[id as usize - 1], 1))
    };
    Network::new((1..=3).map(node))
}

#[test]
fn priority_decides_between_equal_logs_only() {
    let equal: [&[u64]; 3] = [&[1, 1]; 3];
    for pre_vote in [false, true] {
        for (priorities, wins) in
            [([0, 0, 0], true), ([0, 3, 3], false), ([3, 3, 0], true), ([0, 3, 0], true), ([-1, 0, 0], false)]
        {
            let mut network = group(priorities, equal, pre_vote);
            network.campaign(1);
            assert_eq!(network.roles()[0] == Role::Leader, wins, "{priorities:?}");
        }
        let mut network = group([0, 3, 3], [&[1, 1, 1], &[1, 1], &[1]], pre_vote);
        network.campaign(1);
        assert_eq!(network.leaders(), [1], "nobody else could win");
        let mut network = group([3, 0, 0], [&[1], &[1, 1], &[1, 1]], pre_vote);
        network.campaign(1);
        assert_eq!(network.leaders(), [0; 0], "a high priority makes up for no entry");
    }
}

#[test]
fn priorities_leave_one_node_that_can_win() {
    let logs: [&[u64]; 3] = [&[1, 1, 1], &[1, 2], &[3]];
    let node = |id: u64| {
        let config = Config { priority: 3 - id as i64, ..config(id) };
        Node::with_storage(&config, storage(&[1, 2, 3], logs[id as usize - 1], 3))
    };
    for candidate in 1..=3 {
        let mut network = Network::new((1..=3).map(node));
        network.campaign(candidate);
        assert_eq!(network.leaders() == [3], candidate == 3, "the lower its priority, the newer a node's log");
    }
}

#[test]
fn priority_can_change() {
    let mut network = group([0, 3, 3], [&[1]; 3], false);
    network.campaign(1);
    assert_eq!(network.leaders(), [0; 0]);
    network.node(2).raw.set_priority(0);
    network.campaign(1);
    assert_eq!(network.leaders(), [1]);
}

#[test]
fn candidate_that_learns_of_a_committed_change_gives_up() {
    let (kind, data) = Change::from(change(AddNode, 4)).encode();
    let mut stored = storage(&[1, 2, 3], &[1], 1);
    stored.append(&[Entry { entry_type: kind as i32, data, ..entry(2, 1) }]);
    let mut node = Node::with_storage(&config(1), stored);
    node.raw.campaign().expect("an order");
    node.settle();
    assert_eq!(node.raw.raft.role(), Role::Candidate, "nothing is known to be committed");
    let refusal =
        Message { reject: true, commit: 2, commit_term: 1, ..message(MessageType::MsgRequestVoteResponse, 2, 1, 2) };
    node.step(refusal);
    assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Follower, 2));
    node.settle();
    node.raw.campaign().expect("an order");
    let asked: Vec<u64> = node.settle().iter().map(|m| m.to).collect();
    assert_eq!(asked, [2, 3, 4], "with the change applied it asks the right ones");
}

#[test]
fn ping_is_a_heartbeat_of_a_leader() {
    let mut network = Network::of(3);
    network.campaign(1);
    for (id, expected) in [(1, 2), (2, 0)] {
        network.node(id).raw.ping();
        let sent = network.node(id).settle();
        assert_eq!(sent.iter().filter(|m| m.msg_type() == MessageType::MsgHeartbeat).count(), expected);
    }
}
