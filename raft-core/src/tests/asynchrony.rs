//! Persistence by number: several Readies on their way to the disk, and what must not be believed or sent before they are there.

use bytes::Bytes;
use proto::eraftpb::{HardState, Message, MessageType};

use super::harness::{Node, accept, config, entry, message, storage};
use crate::{Ready, Role};

fn append(term: u64, index: u64, log_term: u64, terms: &[u64], commit: u64) -> Message {
    let entries = terms.iter().enumerate().map(|(i, t)| entry(index + 1 + i as u64, *t)).collect();
    Message { index, log_term, entries, commit, ..message(MessageType::MsgAppend, 2, 1, term) }
}

fn kinds(messages: &[Message]) -> Vec<MessageType> {
    messages.iter().map(|m| m.msg_type()).collect()
}

#[test]
fn vote_is_not_sent_before_it_is_on_disk() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.step(message(MessageType::MsgRequestVote, 2, 1, 1));
    let ready = node.raw.ready();
    assert!(ready.messages.is_empty());
    assert_eq!(kinds(&ready.persisted_messages), [MessageType::MsgRequestVoteResponse]);
    assert_eq!(ready.hard_state, Some(HardState { term: 1, vote: 2, commit: 0 }));
    assert!(ready.must_sync);

    // The heartbeat of that leader must not be answered before the term is on disk either.
    node.step(message(MessageType::MsgHeartbeat, 2, 1, 1));
    let heartbeat = node.raw.ready();
    assert!(heartbeat.messages.is_empty());
    node.raw.on_persisted(ready.number);
    node.step(message(MessageType::MsgHeartbeat, 2, 1, 1));
    let heartbeat = node.raw.ready();
    assert_eq!(kinds(&heartbeat.messages), [MessageType::MsgHeartbeatResponse], "it promises nothing but the term");
}

#[test]
fn candidate_asks_only_after_its_own_vote_is_on_disk() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.raw.campaign().expect("an order");
    let ready = node.raw.ready();
    assert!(ready.messages.is_empty());
    assert_eq!(kinds(&ready.persisted_messages), [MessageType::MsgRequestVote; 2]);
}

#[test]
fn leader_sends_appends_in_parallel_with_its_own_write() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    node.propose(b"a");
    let first = node.raw.ready();
    assert_eq!(kinds(&first.messages), [MessageType::MsgAppend; 2]);
    assert_eq!(node.raw.status().members[&1].matched, 1, "its own disk does not count before it has written");
    node.propose(b"b");
    let second = node.raw.ready();
    assert_eq!(
        second.entries.iter().map(|e| e.index).collect::<Vec<_>>(),
        [3],
        "what is on its way is not handed out again"
    );
    assert_eq!(second.messages.len(), 2, "the window is open, nobody waits for an answer");

    // Reported together: the last number covers both.
    for ready in [&first, &second] {
        node.write(ready);
    }
    node.raw.on_persisted(second.number);
    assert_eq!(node.raw.status().members[&1].matched, 3);
}

#[test]
fn followers_commit_before_the_leaders_own_disk() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    node.propose(b"a");
    let ready = node.raw.ready();
    for sent in &ready.messages {
        node.step(accept(sent));
    }
    assert_eq!(node.raw.raft.committed(), 2);
    let next = node.raw.ready();
    assert!(next.committed_entries.is_empty(), "committed, but not on this node's disk");
    assert!(!next.must_sync);
    node.write(&ready);
    node.raw.on_persisted(ready.number);
    let next = node.raw.ready();
    assert_eq!(next.committed_entries, ready.entries);
}

#[test]
fn acknowledgement_waits_for_an_earlier_write() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.step(append(1, 0, 0, &[1, 1], 0));
    let first = node.raw.ready();
    assert_eq!(first.entries.len(), 2);
    // The same append again: there is nothing new to write, but what the answer says is not on disk yet.
    node.step(append(1, 0, 0, &[1, 1], 0));
    let second = node.raw.ready();
    assert!(!second.has_write());
    assert!(second.messages.is_empty());
    assert_eq!(kinds(&second.persisted_messages), [MessageType::MsgAppendResponse]);
}

/// The entries of a Ready in flight are replaced, and later replaced by the very same ones again.
#[test]
fn write_that_was_overtaken_is_not_believed_even_if_its_entries_come_back() {
    let mut node = Node::with_log(1, &[1, 2, 3, 4, 5], &[1], 1);
    let tail = |ready: &Ready| ready.entries.iter().map(|e| (e.index, e.term)).collect::<Vec<_>>();
    node.step(append(2, 1, 1, &[2], 1));
    let first = node.raw.ready();
    assert_eq!(tail(&first), [(2, 2)]);
    node.step(append(3, 1, 1, &[3, 3], 1));
    let second = node.raw.ready();
    assert_eq!(tail(&second), [(2, 3), (3, 3)]);
    // A leader of term 4 whose log has the entry of term 2, and for whom it counts as committed.
    node.step(append(4, 1, 1, &[2, 4], 3));
    let third = node.raw.ready();
    assert_eq!(tail(&third), [(2, 2), (3, 4)]);

    node.write(&first);
    node.raw.on_persisted(first.number);
    assert_eq!(node.raw.raft.persisted(), 1, "the disk will still see (2, 3) before (2, 2) is back for good");
    assert!(node.raw.ready().committed_entries.iter().all(|e| e.index <= 1));
    node.write(&second);
    node.raw.on_persisted(second.number);
    assert_eq!(node.raw.raft.persisted(), 1);
    node.write(&third);
    node.raw.on_persisted(third.number);
    assert_eq!(node.raw.raft.persisted(), 3);
    assert_eq!(node.log_terms(), [1, 2, 4]);
    let committed = node.raw.ready().committed_entries;
    assert_eq!(committed.iter().map(|e| (e.index, e.term)).collect::<Vec<_>>(), [(2, 2), (3, 4)]);
}

#[test]
fn prefix_of_an_overtaken_write_counts() {
    let mut node = Node::with_log(1, &[1, 2, 3], &[], 1);
    node.step(append(1, 0, 0, &[1, 1, 1], 0));
    let first = node.raw.ready();
    node.step(append(2, 1, 1, &[2], 0));
    let second = node.raw.ready();
    assert_eq!((second.entries[0].index, second.entries[0].term), (2, 2));
    node.write(&first);
    node.raw.on_persisted(first.number);
    assert_eq!(node.raw.raft.persisted(), 1, "only the first entry was not replaced");
    assert_eq!(node.log_terms(), [1, 2], "and the others are still read from memory");
    node.write(&second);
    node.raw.on_persisted(second.number);
    assert_eq!(node.raw.raft.persisted(), 2);
}

#[test]
fn entries_that_are_overwritten_on_disk_are_no_longer_persisted() {
    let mut node = Node::with_log(1, &[1, 2, 3], &[1, 1, 1], 1);
    assert_eq!(node.raw.raft.persisted(), 3);
    node.step(append(2, 1, 1, &[2, 2], 3));
    assert_eq!(node.raw.raft.persisted(), 1);
    let ready = node.raw.ready();
    let committed: Vec<u64> = ready.committed_entries.iter().map(|e| e.index).collect();
    assert_eq!(committed, [1], "2 and 3 are committed, but not written");
    assert_eq!(ready.entries[0].index, 2);
}

#[test]
fn unknown_numbers_are_harmless() {
    let mut node = Node::new(1, &[1]);
    node.raw.on_persisted(7);
    node.raw.campaign().expect("an order");
    let ready = node.raw.ready();
    node.write(&ready);
    node.raw.on_persisted(0);
    assert_eq!(node.raw.raft.committed(), 0);
    node.raw.on_persisted(u64::MAX);
    node.raw.on_persisted(ready.number);
    assert_eq!(node.raw.raft.committed(), 1);
}

#[test]
fn leader_that_is_its_own_quorum_speaks_only_after_its_election_is_on_disk() {
    let mut stored = storage(&[1], &[], 0);
    let conf_state =
        proto::eraftpb::ConfState { voters: vec![1], learners: vec![2], ..proto::eraftpb::ConfState::default() };
    stored.set_conf_state(conf_state);
    let mut node = Node::with_storage(&config(1), stored);
    node.raw.campaign().expect("an order");
    assert_eq!(node.raw.raft.role(), Role::Leader);
    let ready = node.raw.ready();
    assert!(ready.messages.is_empty(), "a crash now could elect it again in the same term, with other entries");
    assert_eq!(kinds(&ready.persisted_messages), [MessageType::MsgAppend]);
    node.write(&ready);
    node.raw.advance(ready);
    node.settle();
    node.step(Message { index: 1, ..message(MessageType::MsgAppendResponse, 2, 1, 1) });
    node.settle();
    node.propose(b"a");
    assert_eq!(kinds(&node.raw.ready().messages), [MessageType::MsgAppend]);
}

#[test]
fn must_sync_only_for_what_a_promise_depends_on() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.exchange(append(1, 0, 0, &[1], 0));
    node.step(Message { commit: 1, ..message(MessageType::MsgHeartbeat, 2, 1, 1) });
    let ready = node.raw.ready();
    assert_eq!(ready.hard_state, Some(HardState { term: 1, vote: 0, commit: 1 }));
    assert!(!ready.must_sync, "the commit index can be learned again");
    assert_eq!(ready.committed_entries.len(), 1);
    node.write(&ready);
    node.raw.advance(ready);
    assert!(!node.raw.has_ready());
}

#[test]
fn committed_entries_come_in_pages_and_once() {
    let mut stored = storage(&[1], &[], 0);
    for index in 1..=10 {
        let data = Bytes::from(vec![0; 100]);
        stored.append(&[proto::eraftpb::Entry { data, ..entry(index, 1) }]);
    }
    stored.set_hard_state(HardState { term: 1, vote: 1, commit: 10 });
    let config = crate::Config { max_committed_size_per_ready: 300, applied: 2, ..config(1) };
    let mut node = Node::with_storage(&config, stored);
    let mut pages = Vec::new();
    while node.raw.has_ready() {
        let ready = node.raw.ready();
        pages.push(ready.committed_entries.iter().map(|e| e.index).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![3, 4], vec![5, 6], vec![7, 8], vec![9, 10]]);
    node.raw.advance_apply_to(10);
    assert_eq!(node.raw.raft.applied(), 10);
}

#[test]
#[should_panic(expected = "R-ORDER violated on n1")]
fn applying_what_was_not_handed_out_is_a_broken_invariant() {
    Node::with_log(1, &[1], &[1, 1], 1).raw.advance_apply_to(1);
}

#[test]
fn committed_entries_may_be_applied_ahead_of_the_own_disk() {
    for (limit, ahead) in [(0, 0), (1, 1), (2, 2), (100, 3)] {
        let mut node = Node::with_storage(
            &crate::Config { apply_unpersisted_limit: limit, ..config(1) },
            storage(&[1, 2, 3], &[], 0),
        );
        node.force_leader_with_commit();
        for _ in 0..3 {
            node.propose(b"x");
        }
        let write = node.raw.ready();
        for sent in &write.messages {
            node.step(accept(sent));
        }
        assert_eq!((node.raw.raft.committed(), node.raw.raft.persisted()), (4, 1));
        let handed = node.raw.ready().committed_entries;
        assert_eq!(handed.len(), ahead, "limit {limit}");
        let log = node.raw.raft.log_entries(2, 5, u64::MAX).expect("the disk has none of it yet, so it is in memory");
        assert_eq!(log.len(), 3, "limit {limit}");
        node.write(&write);
        node.raw.on_persisted(write.number);
        let rest = node.raw.ready().committed_entries;
        let all: Vec<u64> = handed.iter().chain(&rest).map(|e| e.index).collect();
        assert_eq!(all, [2, 3, 4], "each once, limit {limit}");
        assert_eq!(node.raw.raft.log.unstable().offset(), 5, "nothing stays in memory, limit {limit}");
        node.raw.advance_apply_to(4);
    }
}

#[test]
fn limit_of_applying_ahead_can_be_taken_back() {
    let mut node = Node::new(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    node.raw.set_apply_unpersisted_limit(10);
    for (limit, handed) in [(10, 1), (0, 0)] {
        node.raw.set_apply_unpersisted_limit(limit);
        node.propose(b"x");
        let write = node.raw.ready();
        for sent in &write.messages {
            node.step(accept(sent));
        }
        assert_eq!(node.raw.ready().committed_entries.len(), handed);
    }
}
