use proto::{
    eraftpb::{ConfChangeType, Entry, EntryType},
    metapb::{Peer, PeerRole, Region, RegionEpoch},
    raft_cmdpb::{AdminCmdType, AdminRequest, ChangePeerRequest, ChangePeerV2Request, RaftCmdRequest},
};
use raft_core::membership::{Change, Changer, Configuration};

use super::*;
use crate::error::Error;

const ADD: ConfChangeType = ConfChangeType::AddNode;
const LEARN: ConfChangeType = ConfChangeType::AddLearnerNode;
const REMOVE: ConfChangeType = ConfChangeType::RemoveNode;

fn peer(id: u64, store_id: u64) -> Peer {
    Peer { id, store_id, ..Default::default() }
}

/// Voters 11, 12, ... on stores 1, 2, ...
fn region(voters: u64) -> Region {
    let region_epoch = Some(RegionEpoch { conf_ver: 5, version: 9 });
    Region { id: 7, region_epoch, peers: (1..=voters).map(|i| peer(10 + i, i)).collect(), ..Default::default() }
}

fn change(change_type: ConfChangeType, id: u64, store_id: u64) -> ChangePeerRequest {
    ChangePeerRequest { change_type: change_type as i32, peer: Some(peer(id, store_id)) }
}

fn after(region: &Region, changes: &[(ConfChangeType, u64, u64)]) -> Result<Region, Error> {
    region_after(region, &changes.iter().map(|(kind, id, store)| change(*kind, *id, *store)).collect::<Vec<_>>())
}

fn roles(region: &Region) -> Vec<(u64, PeerRole)> {
    region.peers.iter().map(|peer| (peer.id, peer.role())).collect()
}

fn epoch(region: &Region) -> (u64, u64) {
    region.region_epoch.map(|epoch| (epoch.conf_ver, epoch.version)).unwrap()
}

#[test]
fn one_change_at_a_time_moves_conf_ver_by_one() {
    use PeerRole::{Learner, Voter};
    let mut now = region(2);
    let steps = [
        ((LEARN, 13, 3), vec![(11, Voter), (12, Voter), (13, Learner)]),
        ((ADD, 13, 3), vec![(11, Voter), (12, Voter), (13, Voter)]),
        ((LEARN, 11, 1), vec![(11, Learner), (12, Voter), (13, Voter)]),
        ((REMOVE, 11, 1), vec![(12, Voter), (13, Voter)]),
        ((ADD, 21, 1), vec![(12, Voter), (13, Voter), (21, Voter)]),
        ((REMOVE, 12, 2), vec![(13, Voter), (21, Voter)]),
    ];
    for (at, (step, expected)) in steps.into_iter().enumerate() {
        now = after(&now, &[step]).unwrap();
        assert_eq!((roles(&now), epoch(&now)), (expected, (6 + at as u64, 9)));
    }
}

#[test]
fn several_changes_go_through_a_joint_configuration() {
    use PeerRole::{DemotingVoter, IncomingVoter, Learner, Voter};
    let joint = after(&region(2), &[(ADD, 13, 3), (LEARN, 12, 2)]).unwrap();
    assert_eq!(roles(&joint), [(11, Voter), (12, DemotingVoter), (13, IncomingVoter)]);
    assert_eq!(epoch(&joint), (7, 9));
    assert!(after(&joint, &[(REMOVE, 11, 1)]).is_err(), "nothing else before it is left");
    let left = after(&joint, &[]).unwrap();
    assert_eq!(roles(&left), [(11, Voter), (12, Learner), (13, Voter)]);
    assert_eq!(epoch(&left), (9, 9), "two peers have changed their role");
    assert!(after(&left, &[]).is_err(), "it is left already");
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let wrong: &[&[(ConfChangeType, u64, u64)]] = &[
        &[(ADD, 12, 2)],
        &[(ADD, 22, 2)],
        &[(ADD, 12, 3)],
        &[(LEARN, 22, 2)],
        &[(REMOVE, 13, 3)],
        &[(REMOVE, 22, 2)],
        &[(ADD, 0, 3)],
        &[(ADD, 13, 0)],
        &[(ADD, 13, 3), (REMOVE, 12, 2)],
        &[(LEARN, 13, 3), (ADD, 13, 3)],
        &[(LEARN, 13, 3), (LEARN, 14, 4)],
        &[(LEARN, 11, 1), (LEARN, 12, 2)],
    ];
    for changes in wrong {
        match after(&region(2), changes) {
            Err(Error::AdminRefused { .. }) => {}
            other => panic!("{changes:?}: {other:?}"),
        }
    }
    assert!(after(&region(1), &[(REMOVE, 11, 1)]).is_err(), "the last voter stays");
}

/// The region's roles and raft-core's configuration, computed apart from each other, say the same after any accepted changes.
#[test]
fn the_region_and_the_configuration_of_raft_agree() {
    let menu = |store: u64| [(ADD, 10 + store, store), (LEARN, 10 + store, store), (REMOVE, 10 + store, store)];
    let singles: Vec<_> = (1..=4).flat_map(menu).collect();
    let mut choices: Vec<Vec<_>> = singles.iter().map(|one| vec![*one]).collect();
    choices.extend(singles.iter().flat_map(|a| singles.iter().map(|b| vec![*a, *b])));
    choices.push(Vec::new());
    let (mut seen, mut todo) = (Vec::new(), vec![region(2)]);
    while let Some(now) = todo.pop() {
        let known = roles(&now);
        if seen.contains(&known) {
            continue;
        }
        seen.push(known);
        let configuration = Configuration::from_conf_state(&conf_state(&now));
        for changes in &choices {
            let requests: Vec<_> = changes.iter().map(|(kind, id, store)| change(*kind, *id, *store)).collect();
            let Ok(next) = region_after(&now, &requests) else { continue };
            let raft = encode(&command(requests)).unwrap().into_v2();
            let expected = Changer::new(&configuration).apply(&raft).unwrap();
            assert_eq!(Configuration::from_conf_state(&conf_state(&next)), expected, "{changes:?} in {now:?}");
            todo.push(next);
        }
    }
    assert!(seen.len() > 30, "{} regions", seen.len());
}

fn command(changes: Vec<ChangePeerRequest>) -> RaftCmdRequest {
    let change_peer_v2 = Some(ChangePeerV2Request { changes });
    let request = AdminRequest { cmd_type: AdminCmdType::ChangePeerV2 as i32, change_peer_v2, ..Default::default() };
    RaftCmdRequest { admin_request: Some(request), ..Default::default() }
}

fn older_command(change: ChangePeerRequest) -> RaftCmdRequest {
    let cmd_type = AdminCmdType::ChangePeer as i32;
    let request = AdminRequest { cmd_type, change_peer: Some(change), ..Default::default() };
    RaftCmdRequest { admin_request: Some(request), ..Default::default() }
}

fn entry(change: &Change) -> Entry {
    use prost::Message;
    let (entry_type, data) = match change {
        Change::V1(change) => (EntryType::EntryConfChange, change.encode_to_vec()),
        Change::V2(change) => (EntryType::EntryConfChangeV2, change.encode_to_vec()),
    };
    Entry { entry_type: entry_type as i32, data: data.into(), index: 41, ..Default::default() }
}

#[test]
fn what_is_encoded_is_decoded() {
    let commands = [
        older_command(change(REMOVE, 12, 2)),
        command(vec![change(LEARN, 13, 3)]),
        command(vec![change(ADD, 13, 3), change(LEARN, 12, 2)]),
        command(Vec::new()),
    ];
    for command in commands {
        let change = encode(&command).unwrap();
        let (decoded, raft) = decode(&entry(&change)).unwrap();
        assert_eq!((decoded, raft), (command, change.into_v2()));
    }
    assert!(encode(&RaftCmdRequest::default()).is_none());
}

#[test]
fn an_entry_without_its_command_or_with_another_one_is_an_error() {
    let one = encode(&command(vec![change(ADD, 13, 3)])).unwrap().into_v2();
    let other = encode(&command(vec![change(ADD, 14, 4)])).unwrap().into_v2();
    let without = Change::V2(proto::eraftpb::ConfChangeV2 { context: Default::default(), ..one.clone() });
    let mixed = Change::V2(proto::eraftpb::ConfChangeV2 { context: other.context, ..one });
    for broken in [without, mixed] {
        assert!(matches!(decode(&entry(&broken)), Err(Error::Corrupted(_))));
    }
    assert!(decode(&Entry::default()).is_err(), "no change of members at all");
}
