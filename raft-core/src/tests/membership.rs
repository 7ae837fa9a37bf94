//! Changes of membership beyond the basics: joint configurations, learners, and who may do what in between.

use bytes::Bytes;
use proto::eraftpb::ConfChangeTransition::{Auto, Explicit};
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::ConfChangeV2;

use super::harness::{Network, Node, change, changes};
use crate::Error;

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
