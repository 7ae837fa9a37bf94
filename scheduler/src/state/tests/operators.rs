//! Operators, against a leader that does what it is told.

use proto::eraftpb::ConfChangeType;
use proto::metapb::PeerRole;
use proto::pdpb::{OperatorStatus, RegionHeartbeatResponse};

use super::*;

/// A cluster with a fourth store, and region 1 as its leader knows it.
fn cluster() -> (Cluster<MemEngine>, RegionInfo) {
    let mut cluster = bootstrapped(&MemEngine::new());
    cluster.put_store(&store(4)).unwrap();
    let info = RegionInfo { term: 6, ..led(first_regions().remove(0)) };
    cluster.region_heartbeat(heartbeat(&info)).unwrap();
    (cluster, info)
}

fn report(cluster: &mut Cluster<MemEngine>, info: &RegionInfo, now_ms: u64) -> RegionHeartbeatResponse {
    let answer = cluster.region_heartbeat(heartbeat(info)).unwrap();
    cluster.add_order(answer, now_ms)
}

/// Does what an answer orders; returns what that was. New peers lag behind at first.
fn carry_out(info: &mut RegionInfo, answer: &RegionHeartbeatResponse) -> Vec<String> {
    assert_eq!((answer.region_epoch, answer.target_peer), (info.meta.region_epoch, info.leader), "for whom it is");
    if let Some(transfer) = &answer.transfer_leader {
        info.leader = transfer.peer;
        info.term += 1;
        return vec![format!("lead {}", transfer.peer.unwrap().store_id)];
    }
    let more = answer.change_peer_v2.iter().flat_map(|v2| v2.changes.clone());
    let changes: Vec<_> = answer.change_peer.into_iter().chain(more).collect();
    for change in &changes {
        let wanted = change.peer.unwrap();
        let known = info.meta.peers.iter_mut().find(|peer| peer.id == wanted.id);
        match (change.change_type(), known) {
            (ConfChangeType::RemoveNode, _) => info.meta.peers.retain(|peer| peer.id != wanted.id),
            (ConfChangeType::AddNode, Some(peer)) => peer.set_role(PeerRole::Voter),
            (ConfChangeType::AddLearnerNode, Some(peer)) => peer.set_role(PeerRole::Learner),
            (_, None) => {
                info.meta.peers.push(wanted);
                info.pending_peers.push(wanted);
            }
        }
    }
    info.meta.region_epoch.as_mut().unwrap().conf_ver += changes.len() as u64;
    let name = |change: &proto::pdpb::ChangePeer| {
        format!("{} {}", change.change_type().as_str_name(), change.peer.unwrap().store_id)
    };
    changes.iter().map(name).collect()
}

/// Lets the leader report until the operator has ended; returns the orders, each only once.
fn run(cluster: &mut Cluster<MemEngine>, info: &mut RegionInfo) -> Vec<Vec<String>> {
    let mut orders = Vec::new();
    for _ in 0..20 {
        // The same order comes again as long as the leader has not carried it out.
        let answer = report(cluster, info, 1);
        assert_eq!(report(cluster, info, 1), answer);
        if cluster.operator(1).unwrap().status != OperatorStatus::Running {
            assert!(answer.change_peer.is_none() && answer.transfer_leader.is_none());
            return orders;
        }
        match carry_out(info, &answer) {
            nothing if nothing.is_empty() => info.pending_peers.clear(),
            order => orders.push(order),
        }
    }
    panic!("the operator does not end: {orders:?}");
}

fn order(kind: OperatorKind) -> (Vec<Vec<String>>, RegionInfo) {
    let (mut cluster, mut info) = cluster();
    cluster.add_operator(1, kind, 0).unwrap();
    let orders = run(&mut cluster, &mut info);
    assert_eq!(cluster.operator(1).unwrap().status, OperatorStatus::Success);
    (orders, info)
}

fn voters(info: &RegionInfo) -> Vec<u64> {
    info.meta.peers.iter().filter(|peer| peer.role() == PeerRole::Voter).map(|peer| peer.store_id).collect()
}

#[test]
fn the_leadership_goes_where_it_is_wanted() {
    let (orders, info) = order(OperatorKind::TransferLeader { store_id: 3 });
    assert_eq!(orders, [["lead 3"]]);
    assert_eq!(info.leader.unwrap().store_id, 3);
}

#[test]
fn a_new_peer_learns_before_it_votes() {
    let (orders, info) = order(OperatorKind::AddPeer { store_id: 4, learner: false });
    assert_eq!(orders, [["AddLearnerNode 4"], ["AddNode 4"]]);
    assert_eq!(voters(&info), [1, 2, 3, 4]);
    let (orders, info) = order(OperatorKind::AddPeer { store_id: 4, learner: true });
    assert_eq!(orders, [["AddLearnerNode 4"]]);
    assert_eq!((voters(&info).len(), info.meta.peers.len()), (3, 4));
}

#[test]
fn a_leader_hands_over_before_it_is_removed() {
    let (orders, info) = order(OperatorKind::RemovePeer { store_id: 2 });
    assert_eq!(orders, [["RemoveNode 2"]]);
    assert_eq!(voters(&info), [1, 3]);
    let (orders, info) = order(OperatorKind::RemovePeer { store_id: 1 });
    assert_eq!(orders, [["lead 2"], ["RemoveNode 1"]]);
    assert_eq!(voters(&info), [2, 3]);
}

#[test]
fn a_leader_hands_over_before_it_loses_its_vote_and_the_last_voter_keeps_it() {
    let (mut cluster, mut info) = cluster();
    for (store_id, expected) in [(1, vec!["lead 2", "AddLearnerNode 1"]), (3, vec!["AddLearnerNode 3"])] {
        cluster.add_operator(1, OperatorKind::AddPeer { store_id, learner: true }, 0).unwrap();
        assert_eq!(run(&mut cluster, &mut info).concat(), expected);
    }
    assert_eq!(voters(&info), [2]);
    for wrong in [OperatorKind::AddPeer { store_id: 2, learner: true }, OperatorKind::RemovePeer { store_id: 2 }] {
        assert!(cluster.add_operator(1, wrong, 0).is_err(), "{wrong}");
    }
}

#[test]
fn a_moved_peer_never_leaves_fewer_voters() {
    let (orders, info) = order(OperatorKind::MovePeer { from: 2, to: 4 });
    let swap = vec!["AddNode 4".to_owned(), "AddLearnerNode 2".to_owned()];
    assert_eq!(orders, [vec!["AddLearnerNode 4".to_owned()], swap, vec!["RemoveNode 2".to_owned()]]);
    assert_eq!(voters(&info), [1, 3, 4]);
    let (orders, info) = order(OperatorKind::MovePeer { from: 1, to: 4 });
    assert_eq!((orders.len(), &orders[1][..]), (4, &["lead 2".to_owned()][..]));
    assert_eq!(voters(&info), [2, 3, 4]);
}

#[test]
fn the_only_voter_can_be_moved_but_not_removed() {
    let (mut cluster, mut info) = cluster();
    for store_id in [2, 3] {
        cluster.add_operator(1, OperatorKind::RemovePeer { store_id }, 0).unwrap();
        run(&mut cluster, &mut info);
    }
    assert!(cluster.add_operator(1, OperatorKind::RemovePeer { store_id: 1 }, 0).is_err());
    cluster.add_operator(1, OperatorKind::MovePeer { from: 1, to: 4 }, 0).unwrap();
    let orders = run(&mut cluster, &mut info);
    assert_eq!(orders, [["AddLearnerNode 4"], ["AddNode 4"], ["lead 4"], ["RemoveNode 1"]]);
    assert_eq!(voters(&info), [4]);
}

#[test]
fn nothing_is_ordered_while_a_joint_configuration_is_in_force() {
    let (mut cluster, mut info) = cluster();
    cluster.add_operator(1, OperatorKind::RemovePeer { store_id: 3 }, 0).unwrap();
    info.meta.peers[1].set_role(PeerRole::DemotingVoter);
    info.meta.region_epoch.as_mut().unwrap().conf_ver += 1;
    let answer = report(&mut cluster, &info, 1);
    assert!(answer.change_peer.is_none() && answer.change_peer_v2.is_none());
    assert_eq!(cluster.operator(1).unwrap().status, OperatorStatus::Running);
}

#[test]
fn operators_that_are_late_replaced_or_impossible_end() {
    let (mut cluster, info) = cluster();
    cluster.add_operator(1, OperatorKind::RemovePeer { store_id: 3 }, 1_000).unwrap();
    assert!(report(&mut cluster, &info, 600_999).change_peer.is_some());
    assert!(report(&mut cluster, &info, 601_000).change_peer.is_none());
    assert_eq!(cluster.operator(1).unwrap().status, OperatorStatus::Timeout);

    // It was removed before the report that says so.
    cluster.add_operator(1, OperatorKind::AddPeer { store_id: 3, learner: true }, 0).unwrap();
    let mut later = info.clone();
    later.meta.peers.retain(|peer| peer.store_id != 3);
    later.meta.region_epoch.as_mut().unwrap().conf_ver += 1;
    assert!(report(&mut cluster, &later, 1).change_peer.is_none());
    assert_eq!(cluster.operator(1).unwrap().status, OperatorStatus::Cancel);

    cluster.add_operator(1, OperatorKind::RemovePeer { store_id: 2 }, 0).unwrap();
    let transfer = OperatorKind::TransferLeader { store_id: 2 };
    cluster.add_operator(1, transfer, 0).unwrap();
    assert_eq!(cluster.operator(1).unwrap().kind, transfer, "a new wish takes the place of the old one");

    for wrong in [
        OperatorKind::TransferLeader { store_id: 4 },
        OperatorKind::RemovePeer { store_id: 4 },
        OperatorKind::AddPeer { store_id: 9, learner: false },
        OperatorKind::MovePeer { from: 1, to: 2 },
        OperatorKind::MovePeer { from: 4, to: 1 },
    ] {
        assert!(cluster.add_operator(1, wrong, 0).is_err(), "{wrong}");
    }
    assert!(matches!(cluster.add_operator(9, transfer, 0), Err(Error::UnknownRegion { region_id: 9 })));
    assert_eq!(cluster.operator(1).unwrap().kind, transfer, "what is refused replaces nothing");
    assert!(cluster.operator(2).is_none());
}
