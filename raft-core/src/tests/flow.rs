//! How a leader paces what it sends: probing, the window, limits, and what a rejection teaches.

use bytes::Bytes;
use proto::eraftpb::ConfChangeType::AddLearnerNode;
use proto::eraftpb::{Message, MessageType};

use super::harness::{Network, Node, accept, change, config, message, storage};
use crate::{Config, Error, entry_size};

fn leader(config: &Config) -> Node {
    let mut node = Node::with_storage(config, storage(&[1, 2, 3], &[], 0));
    node.force_leader_with_commit();
    node
}

fn to(id: u64, messages: &[Message]) -> Vec<Message> {
    messages.iter().filter(|m| m.to == id).cloned().collect()
}

#[test]
fn proposals_of_a_round_share_a_message() {
    let mut node = leader(&config(1));
    for _ in 0..50 {
        node.propose(b"x");
    }
    let sent = to(2, &node.settle());
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].entries.len(), 50);
}

#[test]
fn window_is_bounded_by_messages() {
    let mut node = leader(&Config { max_inflight_msgs: 3, ..config(1) });
    let mut sent = Vec::new();
    for _ in 0..5 {
        node.propose(b"x");
        sent.extend(to(2, &node.settle()));
    }
    assert_eq!(sent.len(), 3, "the window is full");
    assert!(node.raw.status().members[&2].paused);
    // An acknowledgement of the second message frees two slots; everything that waited fits into one message.
    let answers = node.exchange(accept(&sent[1]));
    let sent = to(2, &answers);
    assert_eq!(sent.iter().map(|m| m.entries.len()).collect::<Vec<_>>(), [2]);
}

#[test]
fn window_is_bounded_by_bytes() {
    let size = 1000;
    let mut node =
        leader(&Config { max_inflight_bytes: 2500, max_size_per_msg: 0, max_inflight_msgs: 100, ..config(1) });
    for _ in 0..10 {
        node.raw.propose(Bytes::new(), Bytes::from(vec![0; size])).expect("room");
    }
    let sent = to(2, &node.settle());
    assert_eq!(sent.len(), 3, "the third message crosses the limit and is the last one");
    assert!(sent.iter().all(|m| m.entries.len() == 1), "a limit of 0 means one entry a message");
    let sent = to(2, &node.exchange(accept(&sent[0])));
    assert_eq!(sent.len(), 1);
}

#[test]
fn messages_are_bounded_by_bytes() {
    let config = Config { max_size_per_msg: 500, ..config(1) };
    let mut node = leader(&config);
    for _ in 0..10 {
        node.raw.propose(Bytes::new(), Bytes::from(vec![0; 100])).expect("room");
    }
    let sent = to(2, &node.settle());
    assert_eq!(sent.iter().map(|m| m.entries.len()).sum::<usize>(), 10);
    assert!(sent.iter().all(|m| m.entries.iter().map(entry_size).sum::<u64>() <= 500));
    assert_eq!(sent.len(), 3);
}

#[test]
fn full_window_is_probed_after_a_heartbeat() {
    let mut node = leader(&Config { max_inflight_msgs: 1, ..config(1) });
    node.propose(b"lost");
    node.settle();
    node.propose(b"waits");
    assert!(to(2, &node.settle()).is_empty());
    let sent = to(2, &node.exchange(message(MessageType::MsgHeartbeatResponse, 2, 1, 1)));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].entries.is_empty(), "there is no room, but the answer will tell what was lost");
    assert_eq!(sent[0].index, 2);
    // The follower lacks entry 2.
    let refused = Message {
        index: 2,
        reject: true,
        reject_hint: 1,
        log_term: 1,
        ..message(MessageType::MsgAppendResponse, 2, 1, 1)
    };
    let sent = to(2, &node.exchange(refused));
    assert_eq!(sent.iter().map(|m| (m.index, m.entries.len())).collect::<Vec<_>>(), [(1, 2)]);
}

#[test]
fn probe_sends_one_append_until_an_answer_comes() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.raft().become_candidate();
    node.raft().become_leader();
    assert_eq!(to(2, &node.settle()).len(), 1);
    for _ in 0..3 {
        node.propose(b"x");
        assert!(to(2, &node.settle()).is_empty());
    }
    for _ in 0..2 {
        // Perhaps the probe was lost: each heartbeat's answer allows another one.
        let sent = to(2, &node.exchange(message(MessageType::MsgHeartbeatResponse, 2, 1, 1)));
        assert_eq!(sent.iter().map(|m| m.entries.len()).collect::<Vec<_>>(), [4]);
    }
}

#[test]
fn unreachable_follower_is_probed() {
    let mut node = leader(&config(1));
    node.propose(b"x");
    node.settle();
    assert_eq!(node.raw.status().members[&2].state, "replicate");
    node.raw.report_unreachable(2);
    let member = node.raw.status().members[&2].clone();
    assert_eq!((member.state, member.next), ("probe", 2), "back to just behind what it has for certain");
    node.raw.report_unreachable(99);
}

#[test]
fn commit_index_is_told_once() {
    let mut network = Network::of(3);
    network.campaign(1);
    network.sent.clear();
    network.propose(1, b"x");
    let empty = network.sent.iter().filter(|m| m.msg_type() == MessageType::MsgAppend && m.entries.is_empty()).count();
    assert_eq!(empty, 2, "one append without entries for each follower");
    let before = network.sent.len();
    network.beat(1);
    let appends = network.sent[before..].iter().filter(|m| m.msg_type() == MessageType::MsgAppend).count();
    assert_eq!(appends, 0, "followers that are up to date need nothing");
}

#[test]
fn uncommitted_proposals_are_bounded() {
    let mut node = leader(&Config { max_uncommitted_size: 100, ..config(1) });
    let propose = |node: &mut Node, size: usize| node.raw.propose(Bytes::new(), Bytes::from(vec![0; size]));
    assert!(propose(&mut node, 1000).is_ok(), "one proposal always fits, or it could never be made");
    assert!(matches!(propose(&mut node, 1), Err(Error::ProposalDropped)));
    assert!(propose(&mut node, 0).is_ok(), "empty entries always fit");
    let last = node.raw.raft.last_index();
    for append in node.settle() {
        node.step(accept(&append));
    }
    node.settle();
    assert_eq!(node.raw.raft.committed(), last);
    assert!(propose(&mut node, 60).is_ok());
    assert!(propose(&mut node, 40).is_ok());
    assert!(matches!(propose(&mut node, 1), Err(Error::ProposalDropped)));
    assert_eq!(node.raw.raft.last_index(), last + 2, "what was refused is not in the log");
}

#[test]
fn only_a_leader_takes_proposals() {
    let mut node = Node::new(1, &[1, 2, 3]);
    let propose = |node: &mut Node| node.raw.propose(Bytes::new(), Bytes::from_static(b"x"));
    assert!(matches!(propose(&mut node), Err(Error::NotLeader { leader_id: 0 })));
    node.exchange(message(MessageType::MsgHeartbeat, 3, 1, 1));
    assert!(matches!(propose(&mut node), Err(Error::NotLeader { leader_id: 3 })));
}

/// Counts the rejections that a diverged follower needs to be reconciled. `terms` is how many terms the two logs have after their
/// common beginning.
fn rejections(leader_log: &[u64], follower_log: &[u64]) -> usize {
    let term = leader_log.iter().chain(follower_log).max().copied().unwrap_or(0);
    let leader = Node::with_log(1, &[1, 2, 3], leader_log, term);
    let follower = Node::with_log(2, &[1, 2, 3], follower_log, term);
    let mut network = Network::new([leader, follower]);
    network.campaign(1);
    network.send(vec![message(MessageType::MsgRequestVoteResponse, 3, 1, term + 1)]);
    network.beat(1);
    assert_eq!(network.node(2).log_terms(), network.node(1).log_terms());
    network.sent.iter().filter(|m| m.msg_type() == MessageType::MsgAppendResponse && m.reject).count()
}

#[test]
fn diverged_follower_needs_at_most_one_round_trip_a_term() {
    let repeat = |pairs: &[(u64, usize)]| -> Vec<u64> {
        pairs.iter().flat_map(|(term, count)| std::iter::repeat_n(*term, *count)).collect()
    };
    // A long tail of one term that the leader does not have: skipped at once.
    assert_eq!(rejections(&repeat(&[(1, 3), (5, 2)]), &repeat(&[(1, 3), (2, 100)])), 1);
    // A follower that is just behind.
    assert_eq!(rejections(&repeat(&[(1, 100)]), &repeat(&[(1, 2)])), 1);
    // The leader's own tail has higher terms than anything of the follower: skipped on the leader's side.
    assert_eq!(rejections(&repeat(&[(1, 5), (4, 50), (6, 50)]), &repeat(&[(1, 5), (2, 50), (3, 50)])), 1);
    // Interleaved terms: no more round trips than terms.
    let interleaved =
        rejections(&repeat(&[(1, 5), (3, 20), (5, 20), (7, 20)]), &repeat(&[(1, 5), (2, 20), (4, 20), (6, 40)]));
    assert!(interleaved <= 3, "{interleaved} rejections for three terms");
}

#[test]
fn stale_rejection_changes_nothing() {
    let mut node = leader(&config(1));
    for _ in 0..3 {
        node.propose(b"x");
        for append in node.settle() {
            node.step(accept(&append));
        }
        node.settle();
    }
    let before = node.raw.status();
    let stale = Message { index: 2, reject: true, reject_hint: 0, ..message(MessageType::MsgAppendResponse, 2, 1, 1) };
    assert!(node.exchange(stale).is_empty());
    assert_eq!(node.raw.status(), before);
}

#[test]
fn append_behind_the_commit_index_is_answered_with_it() {
    let mut stored = storage(&[1, 2], &[1, 1, 1, 1], 1);
    stored.set_hard_state(proto::eraftpb::HardState { term: 1, vote: 0, commit: 4 });
    stored.compact(3);
    let mut node = Node::with_storage(&Config { applied: 3, ..config(1) }, stored);
    // The previous entry is compacted here: nothing to compare, and nothing to be compared.
    let append = Message { index: 1, log_term: 1, commit: 4, ..message(MessageType::MsgAppend, 2, 1, 1) };
    let answers = node.exchange(append);
    assert_eq!(answers, [Message { index: 4, ..message(MessageType::MsgAppendResponse, 1, 2, 1) }]);
}

#[test]
fn a_commit_alone_is_told_at_once_or_with_the_next_message() {
    for skip in [false, true] {
        let mut node = leader(&Config { skip_commit_broadcast: skip, ..config(1) });
        node.propose(b"x");
        let sent = to(2, &node.settle());
        let answers = to(2, &node.exchange(accept(&sent[0])));
        assert_eq!(answers.iter().map(|m| m.entries.len()).collect::<Vec<_>>(), if skip { vec![] } else { vec![0] });
        node.propose(b"y");
        let next = to(2, &node.settle());
        assert_eq!((next[0].entries.len(), next[0].commit), (1, node.raw.raft.committed()));
    }
}

#[test]
fn telling_commits_is_a_switch_and_what_is_urgent_is_told_anyway() {
    let commits = |node: &mut Node, sent: &[Message]| {
        to(2, &node.exchange(accept(&to(2, sent)[0]))).iter().map(|m| m.commit).collect::<Vec<_>>()
    };
    let mut node = leader(&Config { skip_commit_broadcast: true, ..config(1) });
    node.propose(b"x");
    let sent = node.settle();
    assert_eq!(commits(&mut node, &sent), [0; 0]);
    node.raw.propose_conf_change(Bytes::new(), change(AddLearnerNode, 4)).expect("nothing is pending");
    let sent = node.settle();
    assert_eq!(commits(&mut node, &sent), [3], "a change of membership takes effect everywhere at once");
    node.propose(b"y");
    let sent = node.settle();
    assert_eq!(commits(&mut node, &sent), [0; 0]);
    node.raw.set_skip_commit_broadcast(false);
    assert_eq!(to(2, &node.settle()).len(), 0, "nothing has moved since");
    node.propose(b"z");
    let sent = node.settle();
    assert_eq!(commits(&mut node, &sent), [5]);

    // A new leader does not know whether there is a change among what it commits first.
    let mut node =
        Node::with_storage(&Config { skip_commit_broadcast: true, ..config(1) }, storage(&[1, 2, 3], &[1, 1], 1));
    node.raft().become_candidate();
    node.raft().become_leader();
    let sent = node.settle();
    assert_eq!(commits(&mut node, &sent), [3]);
}

#[test]
fn what_is_committed_in_front_of_a_change_can_wait() {
    let mut node = leader(&Config { skip_commit_broadcast: true, ..config(1) });
    node.propose(b"x");
    let entry = to(2, &node.settle());
    node.raw.propose_conf_change(Bytes::new(), change(AddLearnerNode, 4)).expect("nothing is pending");
    let urgent = to(2, &node.settle());
    for (append, told) in [(&entry[0], vec![]), (&urgent[0], vec![3])] {
        let sent = to(2, &node.exchange(accept(append)));
        assert_eq!(sent.iter().map(|m| m.commit).collect::<Vec<_>>(), told);
    }
}
