//! Snapshots beyond the lab's tests: those that a follower asks for, and how a leader gets out of waiting for one.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::ConfChangeType::RemoveNode;
use proto::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata};

use super::harness::{Network, Node, accept, change, entry, message};
use crate::{Error, Storage, decode_conf_change};

/// Three nodes, 1 leads, with ten applied entries each and a snapshot at the end of the leader's log.
fn group() -> Network {
    let mut network = Network::of(3);
    network.campaign(1);
    for _ in 0..9 {
        network.propose(1, b"x");
    }
    make_snapshot(&mut network);
    network.sent.clear();
    network
}

fn make_snapshot(network: &mut Network) {
    let leader = network.node(1);
    let applied = leader.raw.raft.applied();
    leader.raw.mut_store().create_snapshot(applied, Bytes::new()).expect("in the log");
}

fn request(network: &mut Network, id: u64) {
    network.node(id).raw.request_snapshot().expect("a follower that knows its leader");
    let sent = network.node(id).settle();
    network.deliver(sent);
}

#[test]
fn follower_gets_the_snapshot_that_it_asks_for() {
    let mut network = group();
    request(&mut network, 3);
    let node = network.node(3);
    assert_eq!(node.snapshots.len(), 1, "although its log has everything");
    assert_eq!((node.raw.raft.first_index(), node.raw.raft.last_index(), node.raw.raft.applied()), (11, 10, 10));
    assert_eq!(network.node(1).raw.status().members[&3].state, "replicate");
    network.propose(1, b"y");
    assert_eq!(network.node(3).raw.raft.applied(), 11);
}

#[test]
fn nothing_is_appended_until_the_snapshot_comes() {
    let mut network = group();
    network.ignore(MessageType::MsgSnapshot);
    request(&mut network, 3);
    network.propose(1, b"y");
    network.beat(1);
    let node = network.node(3);
    assert_eq!((node.raw.raft.last_index(), node.snapshots.len()), (10, 0));
    let sent = network.sent.iter().filter(|m| m.msg_type() == MessageType::MsgSnapshot).count();
    assert_eq!(sent, 1, "asked again while one is on its way, the leader sends no other");
    let node = network.node(3);
    assert!(node.raw.status().to_string().contains("wants_snapshot>=10"));
    assert!(matches!(node.raw.request_snapshot(), Err(Error::SnapshotRequestRefused { .. })), "once is enough");
    assert_eq!(network.node(1).raw.status().members[&3].state, "snapshot");
    // It is lost. The follower says what it wants whenever it hears its leader, so the leader hears it again.
    network.heal();
    network.node(1).raw.report_snapshot(3, false);
    network.beat(1);
    assert_eq!(network.node(3).snapshots.len(), 1);
    network.beat(1);
    assert_eq!(network.committed(3), 11);
}

#[test]
fn requested_snapshot_must_be_new_enough() {
    let mut network = group();
    network.propose(1, b"y");
    request(&mut network, 3);
    assert_eq!(network.node(3).snapshots.len(), 0, "the leader's is of index 10, the follower has 11");
    assert_eq!(network.node(1).raw.status().members[&3].state, "probe");
    network.sent.clear();
    network.beat(1);
    make_snapshot(&mut network);
    network.beat(1);
    assert_eq!(network.node(3).snapshots.len(), 1);
    assert_eq!(network.node(3).raw.raft.applied(), 11);
    assert!(network.sent.iter().all(|m| m.msg_type() != MessageType::MsgAppend), "it would take none in");

    // A stale one that was on its way does not serve, nor does one of a group without this node.
    let mut node = Node::with_log(1, &[1, 2], &[1, 1, 1], 1);
    node.exchange(message(MessageType::MsgHeartbeat, 2, 1, 1));
    node.raw.request_snapshot().expect("a follower that knows its leader");
    for (index, voters, taken) in [(2, &[1, 2][..], 0), (3, &[2], 0), (3, &[1, 2], 1)] {
        let snapshot = Some(super::lab2c::snapshot(index, 1, voters));
        node.exchange(Message { snapshot: snapshot.map(Box::new), ..message(MessageType::MsgSnapshot, 2, 1, 1) });
        assert_eq!(node.snapshots.len(), taken, "at {index} with {voters:?}");
    }
}

#[test]
fn request_is_forgotten_with_the_node_that_made_it() {
    let mut network = group();
    let leader = network.node(1);
    leader.raw.propose(Bytes::new(), Bytes::new()).expect("it leads");
    leader.settle();
    let term = leader.raw.raft.term();
    let request = Message { reject: true, request_snapshot: 11, ..message(MessageType::MsgAppendResponse, 3, 1, term) };
    let appends = |sent: Vec<Message>| sent.iter().filter(|m| m.to == 3 && !m.entries.is_empty()).count();
    assert_eq!(
        appends(leader.exchange(request)),
        0,
        "nothing is sent until there is a snapshot of what is not committed yet"
    );
    // The node starts anew: it answers heartbeats and wants nothing any more.
    let answer = || message(MessageType::MsgHeartbeatResponse, 3, 1, term);
    let sent = [leader.exchange(answer()), leader.exchange(answer())];
    assert_eq!(sent.map(appends).iter().sum::<usize>(), 1);
}

#[test]
fn request_says_where_the_log_is() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 2, 2], 2);
    node.exchange(Message { commit: 2, ..message(MessageType::MsgHeartbeat, 2, 1, 2) });
    node.raw.request_snapshot().expect("a follower that knows its leader");
    let request = Message {
        reject: true,
        index: 2,
        reject_hint: 3,
        log_term: 2,
        request_snapshot: 3,
        ..message(MessageType::MsgAppendResponse, 1, 2, 2)
    };
    assert_eq!(node.settle(), [request]);
}

#[test]
fn lost_request_is_repeated_when_the_leader_is_heard() {
    let mut network = group();
    network.ignore(MessageType::MsgAppendResponse);
    request(&mut network, 3);
    network.heal();
    network.beat(1);
    assert_eq!(network.node(3).snapshots.len(), 1);
}

#[test]
fn request_is_a_sign_of_life() {
    let mut network = group();
    network.node(1).raw.raft.tracker.get_mut(3).expect("a member").recent_active = false;
    request(&mut network, 3);
    assert_eq!(network.node(3).snapshots.len(), 1, "for a silent member there would be none");
}

#[test]
fn nothing_but_its_acknowledgement_ends_the_wait_for_a_requested_snapshot() {
    let mut network = group();
    network.ignore(MessageType::MsgSnapshot);
    request(&mut network, 3);
    // An old answer, one that cannot be, the right one.
    for (index, state) in [(9, "snapshot"), (11, "snapshot"), (10, "replicate")] {
        network.node(1).exchange(Message { index, ..message(MessageType::MsgAppendResponse, 3, 1, 1) });
        assert_eq!(network.node(1).raw.status().members[&3].state, state, "{index}");
    }
}

#[test]
fn request_needs_a_leader() {
    let mut node = Node::new(1, &[1, 2]);
    assert!(matches!(node.raw.request_snapshot(), Err(Error::SnapshotRequestRefused { .. })));
    node.force_leader();
    assert!(matches!(node.raw.request_snapshot(), Err(Error::SnapshotRequestRefused { .. })));
    // Who stands for election has given up.
    let mut network = group();
    network.isolate(3);
    network.node(3).raw.request_snapshot().expect("it still knows its leader");
    network.campaign(3);
    network.heal();
    network.beat(1);
    network.campaign(1);
    assert_eq!(network.leaders(), [1]);
    assert!(network.propose(1, b"y"));
    assert_eq!((network.node(3).snapshots.len(), network.committed(3)), (0, network.committed(1)));
}

#[test]
fn request_needs_a_log_that_the_leader_has_and_ends_with_the_term() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 1, 1], 1);
    node.exchange(message(MessageType::MsgHeartbeat, 2, 1, 1));
    node.raw.request_snapshot().expect("the log ends with an entry of the leader");
    assert!(node.raw.status().to_string().contains("wants_snapshot"));
    node.exchange(message(MessageType::MsgHeartbeat, 2, 1, 2));
    assert!(!node.raw.status().to_string().contains("wants_snapshot"));
    let refused = node.raw.request_snapshot();
    assert!(matches!(refused, Err(Error::SnapshotRequestRefused { .. })), "the leader's log may be shorter than ours");
}

#[test]
fn request_acknowledges_what_the_follower_has() {
    for (log_term, committed) in [(1, 2), (2, 1)] {
        let mut node = Node::new(1, &[1, 2]);
        node.force_leader_with_commit();
        node.propose(b"x");
        node.settle();
        let term = node.raw.raft.term();
        let request = Message {
            reject: true,
            index: 1,
            reject_hint: 2,
            log_term: term + log_term - 1,
            request_snapshot: 2,
            ..message(MessageType::MsgAppendResponse, 2, 1, term)
        };
        node.exchange(request);
        assert_eq!(node.raw.raft.committed(), committed, "an entry of term {log_term} is the same, or is not");
    }
}

#[test]
fn request_from_the_future_is_ignored() {
    let mut network = group();
    for request_snapshot in [11, u64::MAX] {
        let request = Message { reject: true, request_snapshot, ..message(MessageType::MsgAppendResponse, 3, 1, 1) };
        assert!(network.node(1).exchange(request).is_empty());
    }
    assert_eq!(network.node(1).raw.status().members[&3].state, "replicate");
}

/// A leader that has sent node 3 a snapshot at index 10, which is on its way; its log begins at 11 and ends at 12.
fn snapshot_on_its_way() -> Network {
    let mut network = Network::of(3);
    network.campaign(1);
    network.isolate(3);
    for _ in 0..9 {
        network.propose(1, b"x");
    }
    make_snapshot(&mut network);
    network.node(1).raw.mut_store().compact(10);
    network.propose(1, b"y");
    network.propose(1, b"z");
    network.heal();
    network.ignore(MessageType::MsgSnapshot);
    network.beat(1);
    network.beat(1);
    network.heal();
    let member = network.node(1).raw.status().members[&3].clone();
    assert_eq!((member.state, member.next), ("snapshot", 11));
    network.sent.clear();
    network
}

#[test]
fn any_answer_that_reconnects_the_log_ends_the_wait() {
    // The whole snapshot, an index behind it (another leader's doing), and an index in front of it that is too old.
    for (index, state) in [(10, "replicate"), (12, "replicate"), (9, "snapshot")] {
        let mut network = snapshot_on_its_way();
        network.node(1).exchange(Message { index, ..message(MessageType::MsgAppendResponse, 3, 1, 1) });
        assert_eq!(network.node(1).raw.status().members[&3].state, state, "{index}");
    }
    // A snapshot that is older than the pending one reconnects as well, if the log reaches back to it.
    let mut network = snapshot_on_its_way();
    network.node(1).raw.raft.tracker.get_mut(3).expect("a member").pending_snapshot = 12;
    network.node(1).exchange(Message { index: 10, ..message(MessageType::MsgAppendResponse, 3, 1, 1) });
    assert_eq!(network.node(1).raw.status().members[&3].state, "replicate");
}

#[test]
fn stale_answers_do_not_end_the_wait() {
    let mut network = snapshot_on_its_way();
    let before = network.node(1).raw.status().members[&3].clone();
    for stale in [
        message(MessageType::MsgAppendResponse, 3, 1, 1),
        Message { index: 1, reject: true, ..message(MessageType::MsgAppendResponse, 3, 1, 1) },
        message(MessageType::MsgHeartbeatResponse, 3, 1, 1),
    ] {
        let sent = network.node(1).exchange(stale.clone());
        assert!(sent.iter().all(|m| m.to != 3), "{stale:?}");
    }
    assert_eq!(network.node(1).raw.status().members[&3].matched, before.matched);
    assert_eq!(network.node(1).raw.status().members[&3].state, "snapshot");
}

#[test]
fn overlapping_snapshots_are_answered_and_not_taken_in() {
    let mut network = group();
    let snapshot = network.node(1).raw.store().snapshot(0, 3).expect("made");
    // Twice the same, after everything in it is known.
    for _ in 0..2 {
        let again = Message { snapshot: Some(snapshot.clone().into()), ..message(MessageType::MsgSnapshot, 1, 3, 1) };
        let answers = network.node(3).exchange(again);
        assert_eq!(answers, [accept(&Message { index: 10, ..message(MessageType::MsgAppend, 1, 3, 1) })]);
    }
    assert!(network.node(3).snapshots.is_empty());
}

#[test]
fn snapshot_brings_a_joint_configuration() {
    let state = ConfState {
        voters: vec![1, 2, 4],
        voters_outgoing: vec![1, 2, 3],
        learners: vec![5],
        learners_next: vec![3],
        auto_leave: true,
    };
    let metadata = SnapshotMetadata { conf_state: Some(state.clone()), index: 11, term: 3 };
    let snapshot = Snapshot { metadata: Some(metadata), ..Snapshot::default() };
    for id in [1, 3, 5] {
        let mut node = Node::new(id, &[1, 2, 3]);
        node.exchange(Message {
            snapshot: Some(snapshot.clone().into()),
            ..message(MessageType::MsgSnapshot, 2, id, 3)
        });
        let configuration = node.raw.raft.tracker().configuration();
        assert_eq!(configuration.to_string(), "voters=(1 2 4)&&(1 2 3) learners=(5) learners_next=(3) autoleave");
        assert_eq!(node.raw.raft.tracker().conf_state(), state);
        assert_eq!(node.raw.raft.is_promotable(), id != 5);
    }
}

#[test]
fn change_that_a_snapshot_has_overtaken_changes_nothing() {
    let mut node = Node::new(2, &[1, 2, 3]);
    let removal = Entry { entry_type: EntryType::EntryConfChange as i32, ..entry(2, 2) };
    let removal = Entry { data: change(RemoveNode, 3).encode_to_vec().into(), ..removal };
    node.step(Message { entries: vec![entry(1, 2), removal], commit: 2, ..message(MessageType::MsgAppend, 1, 2, 2) });
    let write = node.raw.ready();
    node.write(&write);
    node.raw.on_persisted(write.number);
    let to_apply = node.raw.ready().committed_entries;
    assert_eq!(to_apply.len(), 2, "handed to a state machine that takes its time");

    let conf_state = ConfState { voters: vec![1, 2, 4], ..ConfState::default() };
    let metadata = SnapshotMetadata { conf_state: Some(conf_state), index: 5, term: 2 };
    let snapshot = Snapshot { metadata: Some(metadata), ..Snapshot::default() };
    node.step(Message { snapshot: Some(snapshot.into()), ..message(MessageType::MsgSnapshot, 1, 2, 2) });
    let late = decode_conf_change(&to_apply[1]).expect("a change");
    let members = node.raw.apply_conf_change(late).expect("nothing to refuse");
    assert_eq!(members.voters, [1, 2, 4]);
    assert_eq!(node.raw.raft.tracker().configuration().to_string(), "voters=(1 2 4)");
}
