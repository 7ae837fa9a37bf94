//! Whatever comes over the network: no panic, and no damage.

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::eraftpb::ConfChangeTransition::{Auto, Explicit, Implicit};
use proto::eraftpb::ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};
use proto::eraftpb::{Entry, Message, MessageType, Snapshot, SnapshotMetadata};

use super::harness::{Node, change, changes, config, entry, message, storage};
use crate::rng::Rng;
use crate::{Config, Error, Role};

#[test]
fn messages_that_make_no_sense_are_ignored() {
    let append = |entries: Vec<Entry>| Message { entries, ..message(MessageType::MsgAppend, 2, 1, 3) };
    let nonsense = [
        Message { msg_type: 77, ..message(MessageType::MsgAppend, 2, 1, 3) },
        Message { msg_type: -1, ..message(MessageType::MsgAppend, 2, 1, 3) },
        message(MessageType::MsgAppend, 2, 1, 0),
        message(MessageType::MsgAppend, 0, 1, 3),
        message(MessageType::MsgAppend, 1, 1, 3),
        message(MessageType::MsgAppend, 2, 7, 3),
        append(vec![entry(2, 3)]),
        append(vec![entry(1, 3), entry(3, 3)]),
        append(vec![entry(1, 3), entry(2, 2)]),
        append(vec![entry(1, 4)]),
        append(vec![entry(0, 1)]),
        message(MessageType::MsgHeartbeat, 2, 1, u64::MAX),
        Message { index: u64::MAX, entries: vec![entry(0, 3)], ..message(MessageType::MsgAppend, 2, 1, 3) },
        Message { log_term: 4, ..message(MessageType::MsgAppend, 2, 1, 3) },
        message(MessageType::MsgSnapshot, 2, 1, 3),
        Message { snapshot: Some(Snapshot::default().into()), ..message(MessageType::MsgSnapshot, 2, 1, 3) },
        message(MessageType::MsgReadIndex, 2, 1, 3),
    ];
    let mut node = Node::new(1, &[1, 2, 3]);
    for message in nonsense {
        assert!(node.exchange(message.clone()).is_empty(), "{message:?}");
        assert_eq!((node.raw.raft.term(), node.raw.raft.last_index()), (0, 0), "{message:?}");
    }
}

#[test]
fn indices_from_the_future_are_ignored() {
    let mut follower = Node::with_log(1, &[1, 2, 3], &[1, 1], 1);
    follower.exchange(Message { commit: 9, ..message(MessageType::MsgHeartbeat, 2, 1, 1) });
    assert_eq!(follower.raw.raft.committed(), 0, "it cannot know that its log is the leader's");
    let answers =
        follower.exchange(Message { index: 1 << 40, log_term: 1, ..message(MessageType::MsgAppend, 2, 1, 1) });
    assert!(answers[0].reject);

    let mut leader = Node::new(1, &[1, 2, 3]);
    leader.force_leader_with_commit();
    let before = leader.raw.status();
    for reject in [false, true] {
        for index in [7, u64::MAX] {
            let answer =
                Message { index, reject, reject_hint: u64::MAX, ..message(MessageType::MsgAppendResponse, 2, 1, 1) };
            leader.exchange(answer);
        }
    }
    assert_eq!(leader.raw.status().committed, before.committed);
    assert!(leader.raw.status().members[&2].next <= leader.raw.raft.last_index() + 1);
}

#[test]
fn strangers_are_heard_only_where_that_is_safe() {
    let mut leader = Node::new(1, &[1, 2, 3]);
    leader.force_leader_with_commit();
    let answer = message(MessageType::MsgAppendResponse, 9, 1, 1);
    assert!(matches!(leader.raw.step(answer.clone()), Err(Error::StepPeerNotFound(9))));
    leader.step(answer);
    leader.step(message(MessageType::MsgHeartbeatResponse, 9, 1, 1));
    assert!(leader.settle().is_empty());

    let mut candidate = Node::new(1, &[1, 2, 3]);
    candidate.raw.campaign().expect("an order");
    candidate.step(message(MessageType::MsgRequestVoteResponse, 9, 1, 1));
    assert_eq!(candidate.raw.raft.role(), Role::Candidate, "a stranger's vote does not count");
}

#[test]
fn local_messages_do_not_come_from_outside() {
    let mut node = Node::new(1, &[1, 2, 3]);
    for msg_type in [MessageType::MsgHup, MessageType::MsgBeat, MessageType::MsgPropose, MessageType::MsgUnreachable] {
        assert!(matches!(node.raw.step(message(msg_type, 2, 1, 1)), Err(Error::StepLocalMessage)));
    }
    assert_eq!(node.raw.raft.role(), Role::Follower);
}

#[test]
fn second_leader_of_a_term_is_ignored() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    let append = Message { entries: vec![entry(1, 1)], ..message(MessageType::MsgAppend, 2, 1, 1) };
    assert!(node.exchange(append).is_empty());
    assert_eq!((node.raw.raft.role(), node.raw.raft.last_index()), (Role::Leader, 1));
}

/// Random fields, biased to small numbers so that they sometimes fit.
fn random_message(rng: &mut Rng) -> Message {
    let number = |rng: &mut Rng| match rng.below(12) {
        0 => u64::MAX - rng.below(2),
        1 => rng.next_u64(),
        _ => rng.below(8),
    };
    let start = number(rng);
    let entries = (0..rng.below(4))
        .map(|i| Entry {
            index: start.wrapping_add(i + 1),
            term: number(rng),
            entry_type: rng.below(4) as i32,
            data: Bytes::from(vec![rng.next_u64() as u8; rng.below(4) as usize]),
            ..Entry::default()
        })
        .collect();
    let snapshot = (rng.below(4) == 0).then(|| {
        let voters = (1..=rng.below(4)).collect();
        let conf_state = (rng.below(4) > 0).then(|| proto::eraftpb::ConfState { voters, ..Default::default() });
        let metadata = SnapshotMetadata { conf_state, index: number(rng), term: number(rng) };
        Snapshot { metadata: (rng.below(4) > 0).then_some(metadata), ..Snapshot::default() }
    });
    Message {
        msg_type: rng.below(21) as i32,
        from: rng.below(5),
        to: rng.below(3),
        term: number(rng),
        log_term: number(rng),
        index: start,
        entries,
        commit: number(rng),
        snapshot: snapshot.map(Box::new),
        reject: rng.below(2) == 0,
        reject_hint: number(rng),
        request_snapshot: if rng.below(4) == 0 { number(rng) } else { 0 },
        commit_term: number(rng),
        priority: rng.next_u64() as i64,
        context: bytes::Bytes::from(vec![0; rng.below(10) as usize]),
        ..Message::default()
    }
}

/// Orders that an owner may give at any time.
fn random_order(node: &mut Node, rng: &mut Rng) {
    let kind = [AddNode, RemoveNode, AddLearnerNode][rng.below(3) as usize];
    let id = rng.below(5);
    match rng.below(12) {
        0 => node.ticks(12),
        1 => drop(node.raw.propose(Bytes::new(), Bytes::new())),
        2 => drop(node.raw.propose_conf_change(Bytes::new(), change(kind, id))),
        3 => {
            let pairs = [(kind, id), (AddNode, rng.below(5))];
            let transition = [Auto, Implicit, Explicit][rng.below(3) as usize];
            drop(node.raw.propose_conf_change(Bytes::new(), changes(transition, &pairs[..rng.below(3) as usize])));
        }
        4 => drop(node.raw.transfer_leader(id)),
        5 => drop(node.raw.read_index(Bytes::from_static(b"r"))),
        6 => drop(node.raw.forward_read(Bytes::from_static(b"f"))),
        7 => drop(node.raw.request_snapshot()),
        8 => node.raw.report_snapshot(id, rng.below(2) == 0),
        9 => node.raw.report_unreachable(id),
        10 => node.raw.ping(),
        _ => drop(node.raw.campaign()),
    }
}

/// A vote, an acknowledgement or an append that fits, so that every role is met, and logs that have something in them.
fn fitting_message(node: &Node, rng: &mut Rng) -> Message {
    let raft = &node.raw.raft;
    let (term, from) = (raft.term().max(1), 2 + rng.below(2));
    match rng.below(4) {
        0 => message(MessageType::MsgRequestVoteResponse, from, 1, term),
        1 => Message { index: raft.last_index(), ..message(MessageType::MsgAppendResponse, from, 1, term) },
        2 => message(MessageType::MsgTimeoutNow, from, 1, term),
        _ => {
            let (index, term) = (raft.last_index(), term + rng.below(2));
            let kind = rng.below(4) as i32;
            let data = Bytes::from((0..rng.below(6)).map(|_| rng.next_u64() as u8).collect::<Vec<u8>>());
            let new = Entry { entry_type: kind, data, ..entry(index + 1, term) };
            let log_term = raft.log_term(index).unwrap_or(0);
            let commit = index + rng.below(3);
            Message { index, log_term, commit, entries: vec![new], ..message(MessageType::MsgAppend, from, 1, term) }
        }
    }
}

#[test]
fn random_messages_never_panic() {
    let mut met = BTreeSet::new();
    let mut joint = 0;
    for seed in 0..3000 {
        let mut rng = Rng::new(seed, 0);
        let config = Config {
            pre_vote: rng.below(2) == 0,
            check_quorum: rng.below(2) == 0,
            priority: rng.below(3) as i64 - 1,
            skip_commit_broadcast: rng.below(2) == 0,
            ..config(1)
        };
        let mut node = Node::with_storage(&config, storage(&[1, 2, 3], &[], 0));
        for _ in 0..60 {
            match rng.below(10) {
                0..=2 => random_order(&mut node, &mut rng),
                3..=5 => {
                    let message = fitting_message(&node, &mut rng);
                    drop(node.raw.step(message));
                }
                _ => drop(node.raw.step(random_message(&mut rng))),
            }
            node.settle();
            let raft = &node.raw.raft;
            assert!(raft.applied() <= raft.committed() && raft.committed() <= raft.last_index(), "seed {seed}");
            assert!(raft.tracker().configuration().is_consistent(), "seed {seed}");
            assert!(!raft.is_leader() || raft.tracker().voters().contains(1), "seed {seed}");
            met.insert(format!("{:?} {}", raft.role(), raft.transfer_target().is_some()));
            joint += usize::from(raft.tracker().configuration().is_joint());
        }
    }
    assert_eq!(met.len(), 5, "every role was met, and a leader in a transfer: {met:?}");
    assert!(joint > 100, "{joint} steps in joint configurations");
}
