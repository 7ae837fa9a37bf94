//! Changes of membership beyond the basics: joint configurations, learners, and who may do what in between.

use bytes::Bytes;
use proto::eraftpb::ConfChangeTransition::{Auto, Explicit, Implicit};
use proto::eraftpb::ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};
use proto::eraftpb::{ConfChange, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType};

use super::harness::{Network, Node, accept, change, changes, config, entry, message, storage};
use crate::membership::Change;
use crate::{Config, Error, Role, decode_conf_change};

/// Nodes that start with this configuration and no log.
fn nodes_with(state: &ConfState, config_of: impl Fn(u64) -> Config, ids: &[u64]) -> Network {
    let node = |id: &u64| {
        let mut stored = storage(&[], &[], 0);
        stored.set_conf_state(state.clone());
        Node::with_storage(&config_of(*id), stored)
    };
    Network::new(ids.iter().map(node))
}

/// Voters 1 and 2, learner 3.
fn with_learner() -> Network {
    let state = ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() };
    nodes_with(&state, config, &[1, 2, 3])
}

/// Nodes 1 to 5. The first three are the group, and node 1 leads it; the others wait to be added.
fn group() -> Network {
    let mut network = Network::new((1..=5).map(|id| Node::new(id, &[1, 2, 3])));
    network.campaign(1);
    network
}

fn configuration(network: &Network, id: u64) -> String {
    network.nodes[&id].raw.raft.tracker().configuration().to_string()
}

#[test]
fn joint_change_replaces_many_at_once_and_is_left_by_itself() {
    let mut network = group();
    network.change(1, changes(Auto, &[(AddNode, 4), (AddNode, 5), (RemoveNode, 2), (RemoveNode, 3)]));
    for id in [1, 4, 5] {
        assert_eq!(configuration(&network, id), "voters=(1 4 5)", "node {id}");
    }
    assert_eq!(network.node(4).raw.raft.last_index(), 3, "the empty entry, entering, leaving");
    network.isolate(4);
    assert!(network.propose(1, b"x"));
    assert_eq!((network.committed(1), network.committed(5)), (4, 4), "two of the new three are enough");
    network.campaign(2);
    assert_eq!(network.leaders(), [1], "who was removed wins no election");
}

#[test]
fn joint_configuration_is_left_when_told_to() {
    let mut network = group();
    network.change(1, changes(Explicit, &[(AddNode, 4)]));
    assert_eq!(configuration(&network, 4), "voters=(1 2 3 4)&&(1 2 3)");
    network.propose(1, b"x");
    assert_eq!(configuration(&network, 1), "voters=(1 2 3 4)&&(1 2 3)", "nobody leaves it by himself");
    let refused = network.node(1).raw.propose_conf_change(Bytes::new(), change(AddNode, 5));
    assert!(matches!(refused, Err(Error::ConfChangeRefused { .. })), "{refused:?}");
    network.change(1, ConfChangeV2::default());
    for id in 1..=4 {
        assert_eq!(configuration(&network, id), "voters=(1 2 3 4)", "node {id}");
    }
}

#[test]
fn implicit_transition_is_joint_even_for_one_change() {
    let mut network = group();
    let (index, _) =
        network.node(1).raw.propose_conf_change(Bytes::new(), changes(Implicit, &[(AddNode, 4)])).expect("now");
    let sent = network.node(1).settle();
    network.deliver(sent);
    assert_eq!(configuration(&network, 4), "voters=(1 2 3 4)");
    assert_eq!(network.node(1).raw.raft.last_index(), index + 1, "entered and left");
    network.change(1, changes(Auto, &[(AddNode, 5)]));
    assert_eq!(network.node(1).raw.raft.last_index(), index + 2, "one change alone takes one step");
}

#[test]
fn joint_decisions_need_both_halves() {
    let mut network = group();
    network.change(1, changes(Explicit, &[(AddNode, 4), (AddNode, 5), (RemoveNode, 2), (RemoveNode, 3)]));
    assert_eq!(configuration(&network, 5), "voters=(1 4 5)&&(1 2 3)");
    for half in [[2, 3], [4, 5]] {
        let committed = network.committed(1);
        half.into_iter().for_each(|id| network.isolate(id));
        network.propose(1, b"x");
        assert_eq!(network.committed(1), committed, "without {half:?}");
        network.heal();
        network.beat(1);
        assert_eq!(network.committed(1), committed + 1);
    }
    network.isolate(1);
    network.isolate(3);
    network.campaign(4);
    assert_eq!(network.node(4).raw.raft.role(), Role::Candidate, "one of three old voters is no majority");
    network.heal();
    network.isolate(1);
    network.campaign(4);
    assert!(network.leaders().contains(&4));
}

#[test]
fn next_leader_leaves_the_joint_configuration() {
    let state =
        ConfState { voters: vec![1, 2, 4], voters_outgoing: vec![1, 2, 3], auto_leave: true, ..ConfState::default() };
    let mut network = nodes_with(&state, config, &[1, 2, 3, 4]);
    assert_eq!(configuration(&network, 2), "voters=(1 2 4)&&(1 2 3) autoleave");
    network.campaign(2);
    for id in [1, 2, 4] {
        assert_eq!(configuration(&network, id), "voters=(1 2 4)", "node {id}");
    }
    assert_eq!(network.node(2).raw.raft.last_index(), 2, "left once");
}

#[test]
fn demoted_voter_learns_only_when_the_joint_configuration_is_left() {
    let mut network = group();
    network.change(1, changes(Explicit, &[(AddLearnerNode, 3), (AddNode, 4)]));
    assert_eq!(configuration(&network, 2), "voters=(1 2 4)&&(1 2 3) learners_next=(3)");
    let before = network.node(1).raw.status().members[&3].matched;
    network.change(1, ConfChangeV2::default());
    assert_eq!(configuration(&network, 3), "voters=(1 2 4) learners=(3)");
    assert!(network.node(1).raw.status().members[&3].matched >= before, "its progress is kept");
    assert!(network.node(1).raw.status().to_string().contains("n3 replicate match=3 next=4 learner"));
}

#[test]
fn one_change_at_a_time() {
    let mut network = group();
    network.isolate(1);
    let leader = network.node(1);
    let first = leader.raw.propose_conf_change(Bytes::new(), change(AddNode, 4)).expect("nothing is pending");
    let last = leader.raw.raft.last_index();
    for second in [Change::from(change(AddNode, 5)), Change::from(ConfChangeV2::default())] {
        let refused = leader.raw.propose_conf_change(Bytes::new(), second).expect_err("one is pending");
        assert!(matches!(refused, Error::ConfChangeRefused { .. }) && refused.is_retryable(), "{refused}");
    }
    assert_eq!(leader.raw.raft.last_index(), last, "what is refused leaves no entry");
    assert_eq!(leader.raw.status().pending_conf_index, Some(first.0));
    assert!(leader.raw.status().to_string().contains("pending_conf=2"));
}

#[test]
fn new_leader_takes_its_log_as_suspect() {
    let mut node = Node::with_log(1, &[1, 2, 3], &[1, 1], 1);
    node.force_leader();
    let refused = node.raw.propose_conf_change(Bytes::new(), change(RemoveNode, 3));
    assert!(matches!(refused, Err(Error::ConfChangeRefused { .. })), "entry 2 may be a change: {refused:?}");
    node.exchange(Message { index: 3, ..message(MessageType::MsgAppendResponse, 2, 1, 2) });
    assert!(node.raw.propose_conf_change(Bytes::new(), change(RemoveNode, 3)).is_ok(), "all of it is applied");
}

#[test]
fn impossible_changes_are_refused_before_they_are_entries() {
    let mut network = group();
    let leader = network.node(1);
    let last = leader.raw.raft.last_index();
    for impossible in [
        changes(Auto, &[(RemoveNode, 1), (RemoveNode, 2), (RemoveNode, 3)]),
        ConfChangeV2::default(),
        ConfChangeV2 { transition: 9, ..changes(Auto, &[(AddNode, 4)]) },
        Change::from(ConfChange { change_type: 9, node_id: 4, ..ConfChange::default() }).into_v2(),
    ] {
        let refused = leader.raw.propose_conf_change(Bytes::new(), impossible.clone()).expect_err("impossible");
        assert!(
            matches!(refused, Error::ConfChangeInvalid { .. }) && !refused.is_retryable(),
            "{impossible:?}: {refused}"
        );
    }
    assert_eq!(leader.raw.raft.last_index(), last);
    let follower = network.node(2).raw.propose_conf_change(Bytes::new(), change(AddNode, 4));
    assert!(matches!(follower, Err(Error::NotLeader { leader_id: 1 })));
}

#[test]
fn entries_that_are_no_changes_change_nothing() {
    let garbage = Bytes::from_static(&[0xff; 7]);
    for kind in [EntryType::EntryConfChange, EntryType::EntryConfChangeV2] {
        let mut network = group();
        network.node(1).raft().propose(kind, Bytes::new(), garbage.clone()).expect("a leader with room");
        let sent = network.node(1).settle();
        network.deliver(sent);
        for id in 1..=3 {
            assert_eq!(network.node(id).raw.raft.applied(), 2, "node {id} goes on");
            assert_eq!(configuration(&network, id), "voters=(1 2 3)");
        }
        let broken = Entry { data: garbage.clone(), entry_type: kind as i32, ..entry(2, 1) };
        assert!(matches!(decode_conf_change(&broken), Err(Error::ConfChangeInvalid { .. })));
    }
    assert!(matches!(decode_conf_change(&entry(1, 1)), Err(Error::ConfChangeInvalid { .. })));
    let mut node = Node::new(1, &[1, 2]);
    let unknown = ConfChange { change_type: 9, node_id: 3, ..ConfChange::default() };
    assert!(matches!(node.raw.apply_conf_change(unknown), Err(Error::ConfChangeInvalid { .. })));
    assert_eq!(node.raw.raft.tracker().configuration().to_string(), "voters=(1 2)");
}

/// A follower that has received a change behind a long log; all of it is committed, and nothing applied.
fn follower_with_unapplied_change() -> Node {
    let mut node = Node::with_storage(&config(2), storage(&[1, 2, 3], &[], 1));
    let mut entries: Vec<Entry> =
        (1..=40).map(|index| Entry { data: Bytes::from(vec![7; 4096]), ..entry(index, 1) }).collect();
    let (kind, data) = Change::from(change(RemoveNode, 3)).encode();
    entries.push(Entry { entry_type: kind as i32, data, ..entry(41, 1) });
    node.step(Message { entries, commit: 41, ..message(MessageType::MsgAppend, 1, 2, 1) });
    while node.raw.has_ready() {
        let ready = node.raw.ready();
        node.write(&ready);
        node.raw.on_persisted(ready.number);
    }
    assert_eq!((node.raw.raft.committed(), node.raw.raft.applied()), (41, 0));
    node
}

#[test]
fn nobody_campaigns_over_an_unapplied_change() {
    for applied in [0, 1, 40] {
        let mut node = follower_with_unapplied_change();
        node.raw.advance_apply_to(applied);
        node.ticks(100);
        node.raw.campaign().expect("an order");
        node.step(message(MessageType::MsgTimeoutNow, 1, 2, 1));
        assert_eq!((node.raw.raft.role(), node.raw.raft.term()), (Role::Follower, 1), "applied up to {applied}");
        assert!(!node.raw.has_ready());
        node.raw.apply_conf_change(change(RemoveNode, 3)).expect("possible");
        node.raw.advance_apply_to(41);
        node.raw.campaign().expect("an order");
        let asked: Vec<u64> = node.settle().iter().map(|m| m.to).collect();
        assert_eq!((node.raw.raft.role(), asked), (Role::Candidate, vec![1]), "the removed node is not asked");
    }
}

#[test]
fn removed_leader_tells_what_is_committed_and_steps_down() {
    for skip_commit_broadcast in [false, true] {
        let state = ConfState { voters: vec![1, 2], ..ConfState::default() };
        let mut network = nodes_with(&state, |id| Config { skip_commit_broadcast, ..config(id) }, &[1, 2]);
        network.campaign(1);
        network.change(1, change(RemoveNode, 1));
        assert_eq!(network.leaders(), [0; 0]);
        assert_eq!(configuration(&network, 2), "voters=(2)", "the other one would wait for a vote of nobody otherwise");
        network.tick(1, 50);
        assert_eq!(network.node(1).raw.raft.role(), Role::Follower, "who was removed does not campaign");
        network.campaign(2);
        assert!(network.propose(2, b"x"));
        assert_eq!(network.committed(2), 4);
    }
}

#[test]
fn leader_that_becomes_a_learner_steps_down() {
    let mut network = group();
    network.change(1, changes(Auto, &[(AddLearnerNode, 1), (AddNode, 4)]));
    assert_eq!(configuration(&network, 2), "voters=(2 3 4) learners=(1)");
    assert_eq!(network.leaders(), [0; 0]);
    network.campaign(2);
    network.propose(2, b"x");
    assert_eq!(network.node(1).raw.raft.leader_id(), 2);
    assert_eq!(network.committed(1), network.committed(2), "it still receives the log");
    assert_eq!(configuration(&network, 4), configuration(&network, 1));
}

#[test]
fn learner_receives_the_log_and_has_no_vote() {
    let mut network = with_learner();
    network.campaign(1);
    network.isolate(2);
    network.propose(1, b"x");
    assert_eq!(network.node(3).raw.raft.last_index(), 2);
    assert_eq!(network.committed(1), 1, "its disk does not count");
    network.campaign(3);
    network.tick(3, 50);
    assert_eq!((network.node(3).raw.raft.role(), network.node(3).raw.raft.term()), (Role::Follower, 1));
    network.heal();
    network.isolate(1);
    network.campaign(2);
    assert_eq!(network.node(2).raw.raft.role(), Role::Candidate, "nor does its vote");
    // It may be a voter already and not know it: asked, it answers.
    for (asks, answers) in [
        (MessageType::MsgRequestPreVote, MessageType::MsgRequestPreVoteResponse),
        (MessageType::MsgRequestVote, MessageType::MsgRequestVoteResponse),
    ] {
        let sent = network.node(3).exchange(Message { index: 9, log_term: 9, ..message(asks, 2, 3, 9) });
        assert!(sent.iter().any(|m| m.msg_type() == answers && !m.reject), "{asks:?}");
    }
}

#[test]
fn promoted_learner_keeps_its_progress_and_counts() {
    let mut network = with_learner();
    network.campaign(1);
    network.propose(1, b"x");
    network.change(1, change(AddNode, 3));
    assert_eq!(configuration(&network, 3), "voters=(1 2 3)");
    let member = network.node(1).raw.status().members[&3].clone();
    assert_eq!((member.state, member.matched), ("replicate", 3), "nothing is sent again");
    network.isolate(2);
    network.propose(1, b"y");
    assert_eq!(network.committed(1), 4);
    network.campaign(3);
    assert_eq!(network.leaders(), [3]);
}

#[test]
fn new_member_is_not_held_silent_before_it_could_speak() {
    let mut node = Node::with_storage(&Config { check_quorum: true, ..config(1) }, storage(&[1], &[], 0));
    node.raw.campaign().expect("an order");
    node.settle();
    node.ticks(9);
    node.raw.apply_conf_change(change(AddNode, 2)).expect("one voter more");
    node.ticks(1);
    assert!(node.raw.raft.is_leader());
    node.ticks(10);
    assert!(!node.raw.raft.is_leader(), "a whole period later it could have");
}

#[test]
fn removed_node_that_does_not_know_it_deposes_nobody() {
    let state = ConfState { voters: vec![1, 2, 3, 4], ..ConfState::default() };
    let cautious = |id| Config { pre_vote: true, check_quorum: true, ..config(id) };
    let mut network = nodes_with(&state, cautious, &[1, 2, 3, 4]);
    network.campaign(1);
    network.isolate(4);
    network.change(1, change(RemoveNode, 4));
    network.heal();
    network.tick(4, 60);
    assert_eq!((network.leaders(), network.node(4).raw.raft.term()), (vec![1], 1));
    let answer = message(MessageType::MsgAppendResponse, 4, 1, 1);
    assert!(matches!(network.node(1).raw.step(answer), Err(Error::StepPeerNotFound(4))));
    let sent = network.sent.len();
    network.tick(1, 5);
    assert!(network.sent[sent..].iter().all(|m| m.to != 4), "it is sent nothing");
}

#[test]
fn readded_node_is_probed_from_the_beginning() {
    let mut network = group();
    network.change(1, change(RemoveNode, 3));
    let mut empty = Node::new(3, &[]);
    empty.settle();
    network.nodes.insert(3, empty);
    network.change(1, change(AddNode, 3));
    assert_eq!(network.committed(3), network.committed(1));
    assert_eq!(
        configuration(&network, 3),
        "voters=(3)",
        "it knows of itself what its log says, the bootstrap it has not seen"
    );
    assert_eq!(network.node(1).raw.status().members[&3].matched, 3);
}

#[test]
fn quorum_that_shrinks_commits_for_everybody() {
    let mut network = group();
    network.isolate(3);
    let leader = network.node(1);
    leader.raw.propose_conf_change(Bytes::new(), change(RemoveNode, 3)).expect("now");
    leader.propose(b"x");
    let sent = leader.settle();
    // Node 2 acknowledges the change alone; then nobody speaks any more.
    let to_2: Vec<Message> = sent.into_iter().filter(|m| m.to == 2).collect();
    let shortened = Message { entries: to_2[0].entries[..1].to_vec(), ..to_2[0].clone() };
    network.node(1).step(accept(&shortened));
    let told = network.node(1).settle();
    assert_eq!(network.committed(1), 2, "two voters: both are needed");
    let commits: Vec<u64> = told.iter().filter(|m| m.to == 2).map(|m| m.commit).collect();
    assert_eq!(commits, [2]);
    network.node(1).exchange(accept(&to_2[0]));
    assert_eq!(network.committed(1), 3);
}

#[test]
fn contradictory_configuration_is_read_in_one_way() {
    let state =
        ConfState { voters: vec![0, 2, 1], learners: vec![2, 3, 0], learners_next: vec![1, 9], ..ConfState::default() };
    let mut stored = storage(&[], &[], 0);
    stored.set_conf_state(ConfState { auto_leave: true, ..state });
    let node = Node::with_storage(&config(1), stored);
    assert_eq!(node.raw.raft.tracker().configuration().to_string(), "voters=(1 2) learners=(3)");
}
