//! What is committed travels with requests for votes and with refusals.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfChangeType, EntryType, HardState, Message, MessageType};

use super::harness::{Network, Node, change, config, entries, message, storage};
use crate::{MemStorage, Role};

/// A candidate in term 2 of a group of three, whose log has these terms and nothing committed.
fn candidate(terms: &[u64]) -> Node {
    let mut node = Node::with_log(1, &[1, 2, 3], terms, 1);
    node.raw.campaign().expect("may campaign");
    node.settle();
    node
}

fn refusal(commit: u64, commit_term: u64, term: u64) -> Message {
    Message { reject: true, commit, commit_term, ..message(MessageType::MsgRequestVoteResponse, 2, 1, term) }
}

#[test]
fn a_candidate_learns_from_a_refusal() {
    let mut node = candidate(&[1, 1, 1]);
    node.step(refusal(2, 1, 2));
    assert_eq!(node.raw.raft.committed(), 2);
    assert_eq!(node.raw.raft.role(), Role::Candidate);
    // Of whichever term the message is.
    let mut node = candidate(&[1, 1, 1]);
    node.step(refusal(2, 1, 1));
    assert_eq!(node.raw.raft.committed(), 2);
}

#[test]
fn another_entry_at_that_index_proves_nothing() {
    for (commit, commit_term) in [(2, 2), (4, 1), (2, 0), (u64::MAX, 1)] {
        let mut node = candidate(&[1, 1, 1]);
        node.step(refusal(commit, commit_term, 2));
        assert_eq!(node.raw.raft.committed(), 0, "{commit} of term {commit_term}");
    }
}

#[test]
fn a_grant_says_nothing_and_a_leader_needs_nothing() {
    let mut node = candidate(&[1, 1, 1]);
    node.step(Message { reject: false, ..refusal(2, 1, 2) });
    assert_eq!((node.raw.raft.role(), node.raw.raft.committed()), (Role::Leader, 0));
    node.step(refusal(2, 1, 2));
    assert_eq!(node.raw.raft.committed(), 0);
}

#[test]
fn requests_and_refusals_carry_it() {
    for (pre_vote, asks) in [(false, MessageType::MsgRequestVote), (true, MessageType::MsgRequestPreVote)] {
        let mut disk = storage(&[1, 2, 3], &[1, 1, 1], 1);
        disk.set_hard_state(HardState { term: 1, vote: 0, commit: 2 });
        let mut node = Node::with_storage(&crate::Config { pre_vote, ..config(1) }, disk);
        let answers = node.exchange(Message { index: 1, log_term: 1, ..message(asks, 2, 1, 2) });
        assert_eq!(answers.iter().map(|m| (m.reject, m.commit, m.commit_term)).collect::<Vec<_>>(), [(true, 2, 1)]);
        node.raw.campaign().expect("may campaign");
        let requests = node.settle();
        let told = requests.iter().map(|m| (m.msg_type(), m.commit, m.commit_term)).collect::<Vec<_>>();
        assert_eq!(told, [(asks, 2, 1); 2]);
    }
}

/// The last words of a leader that removed itself are lost, and its log is the longer one.
#[test]
fn a_group_survives_the_silence_of_a_removed_leader() {
    let removal = change(ConfChangeType::RemoveNode, 1);
    let mut log = entries(&[1, 1, 1]);
    log[1].entry_type = EntryType::EntryConfChange as i32;
    log[1].data = Bytes::from(removal.encode_to_vec());
    let node = |id: u64, voters: &[u64], length: usize, commit: u64, applied: u64| {
        let mut disk = MemStorage::with_voters(voters.iter().copied());
        disk.append(&log[..length]);
        disk.set_hard_state(HardState { term: 1, vote: 1, commit });
        Node::with_storage(&crate::Config { applied, ..config(id) }, disk)
    };
    // Node 1 has led, and has applied its removal at 2. Node 2 has the entry and does not know that it is committed.
    let mut network = Network::new([node(1, &[2], 3, 2, 2), node(2, &[1, 2], 2, 0, 0)]);
    network.campaign(2);
    assert_eq!(network.leaders(), [0u64; 0], "the vote is refused");
    assert_eq!(network.committed(2), 2, "but not without a word");
    network.campaign(2);
    assert_eq!(network.leaders(), [2]);
}
