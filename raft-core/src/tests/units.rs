//! Small parts on their own: quorums, configuration, storage, restart, the log.

use proto::eraftpb::{ConfState, HardState};

use super::harness::{Node, config, entries, entry, logger, storage};
use crate::quorum::{Joint, Majority, VoteResult};
use crate::{Config, Error, MemStorage, RawNode, Storage, limit_size};

#[test]
fn majority_commits_what_most_have() {
    let index = |voters: &[u64], acked: &[(u64, u64)]| {
        Majority::new(voters.iter().copied())
            .committed_index(|id| acked.iter().find(|(voter, _)| *voter == id).map(|(_, index)| *index))
    };
    assert_eq!(index(&[], &[]), u64::MAX);
    assert_eq!(index(&[1], &[(1, 5)]), 5);
    assert_eq!(index(&[1, 2], &[(1, 5)]), 0);
    assert_eq!(index(&[1, 2], &[(1, 5), (2, 3)]), 3);
    assert_eq!(index(&[1, 2, 3], &[(1, 5), (2, 3)]), 3);
    assert_eq!(index(&[1, 2, 3], &[(9, 100), (1, 5), (2, 3), (3, 9)]), 5, "strangers do not count");
    assert_eq!(index(&[1, 2, 3, 4], &[(1, 5), (2, 3), (3, 9)]), 3);
    let many: Vec<u64> = (1..=9).collect();
    let acked: Vec<(u64, u64)> = many.iter().map(|id| (*id, *id)).collect();
    assert_eq!(index(&many, &acked), 5);
}

#[test]
fn election_is_decided_as_soon_as_it_can_be() {
    let result = |voters: &[u64], votes: &[(u64, bool)]| {
        Majority::new(voters.iter().copied())
            .vote_result(|id| votes.iter().find(|(voter, _)| *voter == id).map(|(_, vote)| *vote))
    };
    assert_eq!(result(&[], &[]), VoteResult::Won);
    assert_eq!(result(&[1, 2, 3], &[(1, true)]), VoteResult::Pending);
    assert_eq!(result(&[1, 2, 3], &[(1, true), (2, false)]), VoteResult::Pending);
    assert_eq!(result(&[1, 2, 3], &[(1, true), (2, false), (3, true)]), VoteResult::Won);
    assert_eq!(result(&[1, 2, 3, 4], &[(1, true), (2, false), (3, false)]), VoteResult::Lost);
}

#[test]
fn joint_quorum_needs_both_halves() {
    let joint = Joint { incoming: Majority::new([1, 2, 3]), outgoing: Majority::new([3, 4, 5]) };
    assert_eq!(joint.ids().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(joint.committed_index(|id| Some(id * 10)), 20);
    assert_eq!(joint.vote_result(|id| Some(id <= 3)), VoteResult::Lost);
    assert_eq!(joint.vote_result(|id| (id <= 4).then_some(true)), VoteResult::Won);
    assert_eq!(joint.vote_result(|id| (id <= 3).then_some(true)), VoteResult::Pending);
    assert!(!joint.is_singleton(1));
}

#[test]
fn configuration_is_checked() {
    let valid = Config { id: 1, ..Config::default() };
    assert!(valid.validate().is_ok());
    assert!(Config { id: 1, ..Config::lab() }.validate().is_ok());
    for (broken, names) in [
        (Config { id: 0, ..valid.clone() }, "id"),
        (Config { heartbeat_tick: 0, ..valid.clone() }, "heartbeat_tick"),
        (Config { election_tick: 2, heartbeat_tick: 2, ..valid.clone() }, "election_tick"),
        (Config { max_inflight_msgs: 0, ..valid.clone() }, "max_inflight_msgs"),
    ] {
        let error = RawNode::new(&broken, MemStorage::new(), &logger()).expect_err("refused").to_string();
        assert!(error.contains(names), "{error}");
    }
}

#[test]
fn contradictory_state_is_refused_at_start() {
    let mut lost_log = storage(&[1], &[1, 1], 1);
    lost_log.set_hard_state(HardState { term: 1, vote: 0, commit: 5 });
    assert!(matches!(RawNode::new(&config(1), lost_log, &logger()), Err(Error::StateInvalid(_))));
    let applied_too_far = Config { applied: 3, ..config(1) };
    assert!(matches!(RawNode::new(&applied_too_far, storage(&[1], &[1], 1), &logger()), Err(Error::StateInvalid(_))));
}

#[test]
fn applied_entries_count_as_committed_at_start() {
    // The commit index is written lazily; the state machine may have come further.
    let node = Node::with_storage(&Config { applied: 2, ..config(1) }, storage(&[1], &[1, 1, 1], 1));
    assert_eq!((node.raw.raft.committed(), node.raw.raft.applied()), (2, 2));
}

#[test]
fn node_that_is_no_voter_does_not_campaign() {
    for conf_state in [
        ConfState { voters: vec![2, 3], ..ConfState::default() },
        ConfState { voters: vec![2], learners: vec![1], ..ConfState::default() },
        ConfState::default(),
    ] {
        let mut stored = MemStorage::new();
        stored.set_conf_state(conf_state);
        let mut node = Node::with_storage(&config(1), stored);
        node.ticks(100);
        node.raw.campaign().expect("an order");
        assert_eq!(node.raw.raft.term(), 0);
        assert!(!node.raw.has_ready());
    }
}

#[test]
fn memory_storage_reports_its_borders() {
    let mut stored = MemStorage::new();
    assert_eq!((stored.first_index().unwrap(), stored.last_index().unwrap(), stored.term(0).unwrap()), (1, 0, 0));
    stored.append(&entries(&[1, 2, 3, 4]));
    stored.compact(2);
    stored.compact(1);
    assert_eq!((stored.first_index().unwrap(), stored.last_index().unwrap(), stored.term(2).unwrap()), (3, 4, 2));
    assert!(matches!(stored.term(1), Err(Error::Compacted { index: 1, first: 3 })));
    assert!(matches!(stored.term(5), Err(Error::Unavailable { index: 5, last: 4 })));
    assert!(matches!(stored.entries(2, 4, u64::MAX), Err(Error::Compacted { .. })));
    assert!(matches!(stored.entries(3, 6, u64::MAX), Err(Error::Unavailable { .. })));
    assert_eq!(stored.entries(3, 5, 0).unwrap(), [entry(3, 3)], "at least one");
    stored.append(&[entry(4, 9)]);
    assert_eq!(stored.all_entries(), [entry(3, 3), entry(4, 9)]);
    stored.append(&[]);
}

#[test]
fn size_limit_lets_the_first_entry_through() {
    let list = entries(&[1, 1, 1]);
    assert_eq!(limit_size(list.iter(), 0), 1);
    assert_eq!(limit_size(list.iter(), 48), 2);
    assert_eq!(limit_size(list.iter(), u64::MAX), 3);
    assert_eq!(limit_size([].iter(), 0), 0);
}

#[test]
fn slice_spans_disk_and_memory() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 1], 1);
    node.raft().log.append(vec![entry(3, 1), entry(4, 1)]);
    let slice = |node: &mut Node, low, high, size| {
        node.raft().log.slice(low, high, size).expect("in range").iter().map(|e| e.index).collect::<Vec<_>>()
    };
    assert_eq!(slice(&mut node, 1, 5, u64::MAX), [1, 2, 3, 4]);
    assert_eq!(slice(&mut node, 1, 5, 72), [1, 2, 3]);
    assert_eq!(slice(&mut node, 1, 5, 60), [1, 2]);
    assert_eq!(slice(&mut node, 2, 4, 0), [2]);
    assert!(matches!(node.raft().log_entries(3, 100, u64::MAX), Err(Error::Unavailable { .. })), "past the end");
    assert_eq!(slice(&mut node, 2, 4, 24), [2], "the limit is for both parts together");
    assert_eq!(slice(&mut node, 3, 5, 0), [3]);
    assert_eq!(slice(&mut node, 4, 4, 0), [0; 0]);
}

#[test]
#[should_panic(expected = "R-ORDER violated on n1")]
fn committed_entries_are_never_replaced() {
    let mut node = Node::with_log(1, &[1, 2], &[1, 1], 1);
    node.raft().log.commit_to(2);
    node.raft().log.append(vec![entry(2, 2)]);
}

#[test]
#[should_panic(expected = "R-MONO violated on n1")]
fn term_never_goes_back() {
    Node::with_log(1, &[1, 2], &[], 5).raft().become_follower(4, 0);
}

#[test]
fn status_reads_well() {
    let mut node = Node::new(1, &[1, 2]);
    node.force_leader();
    let text = node.raw.status().to_string();
    assert!(text.starts_with("n1@1 Leader leader=n1 vote=n1 log=[1, 1] applied=0 committed=0 persisted=1"), "{text}");
    assert!(text.contains("n2 probe match=0 next=1 paused"), "{text}");
}
