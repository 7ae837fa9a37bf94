//! Project 2AB, one node at a time: the rules of Raft paper sections 5.3 and 5.4.

use proto::eraftpb::{Entry, HardState, Message, MessageType};

use super::harness::{Driver, Node, accept, config, entries, entry, message, positions, storage};
use crate::{MemStorage, Role};

/// A node of which this project's code is in use, and none of later ones.
fn node(id: u64, voters: &[u64]) -> Node {
    Node::new(id, voters).driven_by(Driver::Replication)
}

fn node_with_log(id: u64, voters: &[u64], terms: &[u64], term: u64) -> Node {
    Node::with_log(id, voters, terms, term).driven_by(Driver::Replication)
}

fn with_storage(stored: MemStorage) -> Node {
    Node::with_storage(&config(1), stored).driven_by(Driver::Replication)
}

#[test]
fn leader_start_replication_2ab() {
    let mut node = node(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    let last = node.raw.raft.last_index();
    node.propose(b"some data");
    let new = Entry { data: "some data".into(), ..entry(last + 1, 1) };
    let ready = node.take_work().expect("a proposal");
    assert_eq!(node.raw.raft.committed(), last, "nothing is committed before anybody has it");
    assert_eq!(ready.entries, std::slice::from_ref(&new));
    let expected = [2, 3].map(|to| Message {
        index: last,
        log_term: 1,
        commit: last,
        entries: vec![new.clone()],
        ..message(MessageType::MsgAppend, 1, to, 1)
    });
    assert_eq!(ready.messages, expected);
}

#[test]
fn leader_commit_entry_2ab() {
    let mut node = node(1, &[1, 2, 3]);
    node.force_leader_with_commit();
    let last = node.raw.raft.last_index();
    node.propose(b"some data");
    for append in node.settle() {
        node.step(accept(&append));
    }
    assert_eq!(node.raw.raft.committed(), last + 1);
    let ready = node.take_work().expect("a commit");
    assert_eq!(ready.committed_entries, [Entry { data: "some data".into(), ..entry(last + 1, 1) }]);
    let receivers: Vec<u64> = ready.messages.iter().map(|m| m.to).collect();
    assert_eq!(receivers, [2, 3]);
    for sent in &ready.messages {
        assert_eq!(
            (sent.msg_type(), sent.commit),
            (MessageType::MsgAppend, last + 1),
            "the commit index goes out by append"
        );
    }
}

#[test]
fn leader_acknowledge_commit_2ab() {
    for (size, acceptors, committed) in [
        (1, vec![], true),
        (3, vec![], false),
        (3, vec![2], true),
        (3, vec![2, 3], true),
        (5, vec![], false),
        (5, vec![2], false),
        (5, vec![2, 3], true),
        (5, vec![2, 3, 4], true),
        (5, vec![2, 3, 4, 5], true),
    ] {
        let mut node = node(1, &(1..=size).collect::<Vec<_>>());
        node.force_leader_with_commit();
        let last = node.raw.raft.last_index();
        node.propose(b"some data");
        for append in node.settle().iter().filter(|m| acceptors.contains(&m.to)) {
            node.step(accept(append));
        }
        assert_eq!(node.raw.raft.committed() > last, committed, "{size} nodes, {acceptors:?} accept");
    }
}

#[test]
fn leader_commit_preceding_entries_2ab() {
    for older in [vec![], vec![2], vec![1, 2], vec![1]] {
        let mut node = node_with_log(1, &[1, 2, 3], &older, 2);
        node.raft().become_candidate();
        node.raft().become_leader();
        node.propose(b"some data");
        for append in node.settle() {
            node.step(accept(&append));
        }
        node.settle();
        let next = older.len() as u64 + 1;
        let mut expected = entries(&older);
        expected.extend([entry(next, 3), Entry { data: "some data".into(), ..entry(next + 1, 3) }]);
        assert_eq!(node.applied, expected);
    }
}

#[test]
fn follower_commit_entry_2ab() {
    let data = |index: u64, data: &'static str| Entry { data: data.into(), ..entry(index, 1) };
    for (sent, commit) in [
        (vec![data(1, "a")], 1),
        (vec![data(1, "a"), data(2, "b")], 2),
        (vec![data(1, "b"), data(2, "a")], 2),
        (vec![data(1, "a"), data(2, "b")], 1),
        (vec![data(1, "a")], 7),
    ] {
        let mut node = node(1, &[1, 2, 3]);
        let append = Message { entries: sent.clone(), commit, ..message(MessageType::MsgAppend, 2, 1, 1) };
        node.exchange(append);
        let expected = commit.min(sent.len() as u64);
        assert_eq!(node.raw.raft.committed(), expected);
        assert_eq!(node.applied, sent[..expected as usize]);
    }
}

#[test]
fn follower_check_msg_append_2ab() {
    // (previous term, previous index, rejected, index of the answer)
    for (log_term, index, reject, answer) in
        [(0, 0, false, 1), (1, 1, false, 1), (2, 2, false, 2), (1, 2, true, 2), (3, 3, true, 3)]
    {
        let mut stored = storage(&[1, 2, 3], &[1, 2], 2);
        stored.set_hard_state(HardState { term: 2, vote: 0, commit: 1 });
        let mut node = with_storage(stored);
        node.raft().become_follower(3, 2);
        let append = Message { log_term, index, ..message(MessageType::MsgAppend, 2, 1, 3) };
        let answers = node.exchange(append);
        assert_eq!(answers.len(), 1);
        let got = &answers[0];
        assert_eq!((got.msg_type(), got.to, got.term), (MessageType::MsgAppendResponse, 2, 3));
        assert_eq!((got.reject, got.index), (reject, answer), "previous entry ({index}, {log_term})");
    }
}

#[test]
fn follower_append_entries_2ab() {
    // (previous index, previous term, entries sent as (index, term), log afterwards, entries to write)
    for (index, log_term, sent, log, to_write) in [
        (2, 2, vec![(3, 3)], vec![1, 2, 3], vec![(3, 3)]),
        (1, 1, vec![(2, 3), (3, 4)], vec![1, 3, 4], vec![(2, 3), (3, 4)]),
        (0, 0, vec![(1, 1)], vec![1, 2], vec![]),
        (0, 0, vec![(1, 3)], vec![3], vec![(1, 3)]),
    ] {
        let mut node = node_with_log(1, &[1, 2, 3], &[1, 2], 2);
        node.raft().become_follower(4, 2);
        node.settle();
        let build = |list: &[(u64, u64)]| list.iter().map(|(i, t)| entry(*i, *t)).collect::<Vec<_>>();
        let append = Message { index, log_term, entries: build(&sent), ..message(MessageType::MsgAppend, 2, 1, 4) };
        node.step(append);
        assert_eq!(node.log_terms(), log);
        let work = node.take_work().expect("at least an answer");
        assert_eq!(work.entries, build(&to_write));
        node.do_work(work);
        let on_disk: Vec<u64> = positions(node.raw.store()).iter().map(|(_, term)| *term).collect();
        assert_eq!(on_disk, log);
    }
}

#[test]
fn vote_request_2ab() {
    for (sent, term) in [(entries(&[1]), 2), (entries(&[1, 2]), 3)] {
        let mut node = node(1, &[1, 2, 3]);
        let last = sent.last().cloned().expect("entries");
        let append = Message { entries: sent, ..message(MessageType::MsgAppend, 2, 1, term - 1) };
        node.exchange(append);
        node.tick_to_election();
        let mut requests = node.settle();
        requests.sort_by_key(|m| m.to);
        let expected = [2, 3].map(|to| Message {
            index: last.index,
            log_term: last.term,
            ..message(MessageType::MsgRequestVote, 1, to, term)
        });
        assert_eq!(requests, expected);
    }
}

#[test]
fn leader_only_commits_log_from_current_term_2ab() {
    for (acked, committed) in [(1, 0), (2, 0), (3, 3)] {
        let mut node = node_with_log(1, &[1, 2], &[1, 2], 2);
        node.force_leader(); // Term 3, its first entry has index 3.
        node.propose(b"");
        node.settle();
        node.step(Message { index: acked, ..message(MessageType::MsgAppendResponse, 2, 1, 3) });
        assert_eq!(node.raw.raft.committed(), committed, "node 2 has everything up to {acked}");
    }
}

#[test]
fn progress_leader_2ab() {
    let mut node = node(1, &[1, 2]);
    node.force_leader();
    for proposals in 0..5 {
        let own = node.raw.status().members[&1].clone();
        assert_eq!((own.matched, own.next), (proposals + 1, proposals + 2), "the empty entry counts too");
        node.propose(b"foo");
        node.settle();
    }
}

#[test]
fn handle_msg_append_2ab() {
    let append = |log_term, index, commit, sent: &[(u64, u64)]| Message {
        log_term,
        index,
        commit,
        entries: sent.iter().map(|(i, t)| entry(*i, *t)).collect(),
        ..message(MessageType::MsgAppend, 2, 1, 2)
    };
    // (append, last index afterwards, commit index afterwards, rejected)
    let table = [
        // The previous entry does not match.
        (append(2, 3, 3, &[]), 2, 0, true),
        (append(1, 2, 3, &[]), 2, 0, true),
        // Conflicts are deleted, what is new is appended.
        (append(1, 1, 1, &[]), 2, 1, false),
        (append(0, 0, 1, &[(1, 2)]), 1, 1, false),
        (append(2, 2, 3, &[(3, 2), (4, 2)]), 4, 3, false),
        (append(2, 2, 4, &[(3, 2)]), 3, 3, false),
        (append(1, 1, 4, &[(2, 2)]), 2, 2, false),
        // The commit index is the leader's, or the last new entry.
        (append(1, 1, 3, &[]), 2, 1, false),
        (append(1, 1, 3, &[(2, 2)]), 2, 2, false),
        (append(2, 2, 3, &[]), 2, 2, false),
        (append(2, 2, 4, &[]), 2, 2, false),
    ];
    for (row, (append, last, committed, reject)) in table.into_iter().enumerate() {
        let mut node = node_with_log(1, &[1], &[1, 2], 2);
        let answers = node.exchange(append);
        let raft = &node.raw.raft;
        assert_eq!((raft.last_index(), raft.committed()), (last, committed), "row {row}");
        assert_eq!(answers.iter().map(|m| m.reject).collect::<Vec<_>>(), [reject], "row {row}");
    }
}

#[test]
fn all_server_stepdown_2ab() {
    for role in [Role::Follower, Role::Candidate, Role::Leader] {
        for (msg_type, leader) in [(MessageType::MsgRequestVote, 0), (MessageType::MsgAppend, 2)] {
            let mut node = node(1, &[1, 2, 3]);
            match role {
                Role::Follower => node.raft().become_follower(1, 0),
                Role::PreCandidate | Role::Candidate => node.raft().become_candidate(),
                Role::Leader => node.force_leader(),
            }
            node.settle();
            let entries_before = node.raw.raft.last_index();
            node.exchange(Message { log_term: 0, ..message(msg_type, 2, 1, 3) });
            let raft = &node.raw.raft;
            assert_eq!(
                (raft.role(), raft.term(), raft.leader_id()),
                (Role::Follower, 3, leader),
                "{role:?} {msg_type:?}"
            );
            assert_eq!(raft.last_index(), entries_before, "an append without entries deletes nothing");
        }
    }
}
