//! Whatever comes over the network: no panic, and no damage.

use proto::eraftpb::{Entry, Message, MessageType, Snapshot, SnapshotMetadata};

use super::harness::{Node, entry, message};
use crate::rng::Rng;
use crate::{Error, Role};

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
        Message { snapshot: Some(Snapshot::default()), ..message(MessageType::MsgSnapshot, 2, 1, 3) },
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
        .map(|i| Entry { index: start.wrapping_add(i + 1), term: number(rng), ..Entry::default() })
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
        snapshot,
        reject: rng.below(2) == 0,
        reject_hint: number(rng),
        context: bytes::Bytes::from(vec![0; rng.below(10) as usize]),
        ..Message::default()
    }
}

#[test]
fn random_messages_never_panic() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed, 0);
        let mut node = Node::new(1, &[1, 2, 3]);
        for _ in 0..60 {
            match rng.below(10) {
                0 => node.ticks(12),
                1 => drop(node.raw.propose(bytes::Bytes::new(), bytes::Bytes::new())),
                2 => {
                    // A candidate that the others like becomes leader, so that the leader's side is met too.
                    let term = node.raw.raft.term();
                    node.step(message(MessageType::MsgRequestVoteResponse, 2, 1, term.max(1)));
                }
                _ => drop(node.raw.step(random_message(&mut rng))),
            }
            node.settle();
            let raft = &node.raw.raft;
            assert!(raft.applied() <= raft.committed() && raft.committed() <= raft.last_index(), "seed {seed}");
        }
    }
}
