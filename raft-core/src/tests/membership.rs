//! Changes of membership beyond the basics: joint configurations, learners, and who may do what in between.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::ConfChangeTransition::{Auto, Explicit};
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::MessageType::{MsgAppend, MsgSnapshot};
use proto::eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot, SnapshotMetadata};

use super::harness::{Network, Node, change, changes, entry, message};
use crate::{Error, decode_conf_change};

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
fn change_that_a_snapshot_has_overtaken_changes_nothing() {
    let mut node = Node::new(2, &[1, 2, 3]);
    let removal = Entry { entry_type: EntryType::EntryConfChange as i32, ..entry(2, 2) };
    let removal = Entry { data: change(RemoveNode, 3).encode_to_vec().into(), ..removal };
    node.step(Message { entries: vec![entry(1, 2), removal], commit: 2, ..message(MsgAppend, 1, 2, 2) });
    let write = node.raw.ready();
    node.write(&write);
    node.raw.on_persisted(write.number);
    let to_apply = node.raw.ready().committed_entries;
    assert_eq!(to_apply.len(), 2, "handed to a state machine that takes its time");

    let conf_state = ConfState { voters: vec![1, 2, 4], ..ConfState::default() };
    let metadata = SnapshotMetadata { conf_state: Some(conf_state), index: 5, term: 2 };
    let snapshot = Snapshot { metadata: Some(metadata), ..Snapshot::default() };
    node.step(Message { snapshot: Some(snapshot), ..message(MsgSnapshot, 1, 2, 2) });
    let late = decode_conf_change(&to_apply[1]).expect("a change");
    let members = node.raw.apply_conf_change(late).expect("nothing to refuse");
    assert_eq!(members.voters, [1, 2, 4]);
    assert_eq!(node.raw.raft.tracker().configuration().to_string(), "voters=(1 2 4)");
}
