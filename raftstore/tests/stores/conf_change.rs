//! Changes of members: what becomes of the region on every store, and what is refused.

use proto::{
    eraftpb::ConfChangeType,
    metapb::{Peer, PeerRole, Region, RegionEpoch},
    raft_cmdpb::{AdminCmdType, AdminRequest, AdminResponse, ChangePeerRequest, ChangePeerV2Request},
};
use raftstore::{Error, RequestHeader};

use crate::{
    common::{Answer, Cluster, put},
    split::{cluster, header_of, on_disk, split_at},
    transfer::transfer_to,
};

pub(crate) const ADD: ConfChangeType = ConfChangeType::AddNode;
pub(crate) const LEARN: ConfChangeType = ConfChangeType::AddLearnerNode;
pub(crate) const REMOVE: ConfChangeType = ConfChangeType::RemoveNode;

fn single(kind: ConfChangeType, peer: Peer) -> ChangePeerRequest {
    ChangePeerRequest { change_type: kind as i32, peer: Some(peer) }
}

pub(crate) fn change(kind: ConfChangeType, peer: Peer) -> AdminRequest {
    let change_peer = Some(single(kind, peer));
    AdminRequest { cmd_type: AdminCmdType::ChangePeer as i32, change_peer, ..Default::default() }
}

pub(crate) fn changes(all: &[(ConfChangeType, Peer)]) -> AdminRequest {
    let changes = all.iter().map(|(kind, peer)| single(*kind, *peer)).collect();
    let change_peer_v2 = Some(ChangePeerV2Request { changes });
    AdminRequest { cmd_type: AdminCmdType::ChangePeerV2 as i32, change_peer_v2, ..Default::default() }
}

/// The first region as its leader has it on disk.
pub(crate) fn region(cluster: &mut Cluster) -> Region {
    let leader = cluster.leader().expect("there is a leader");
    let id = cluster.regions[0].id;
    on_disk(cluster, leader).into_iter().find(|region| region.id == id).unwrap()
}

pub(crate) fn ask(cluster: &mut Cluster, request: AdminRequest) -> Answer<AdminResponse> {
    let (leader, region) = (cluster.leader().expect("there is a leader"), region(cluster));
    cluster.admin(header_of(&region, leader), request)
}

/// Orders a change, as often as it takes.
pub(crate) fn must_change(cluster: &mut Cluster, request: AdminRequest) -> Region {
    for _ in 0..20 {
        let answer = ask(cluster, request.clone());
        cluster.settle();
        match answer.take().expect("answered") {
            Ok(response) => {
                let older = response.change_peer.and_then(|response| response.region);
                let newer = response.change_peer_v2.and_then(|response| response.region);
                return older.or(newer).expect("the answer to a change of members");
            }
            Err(Error::ServerIsBusy { .. }) => cluster.tick(1),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("still busy");
}

fn roles(region: &Region) -> Vec<(u64, PeerRole)> {
    region.peers.iter().map(|peer| (peer.store_id, peer.role())).collect()
}

fn epoch(region: &Region) -> (u64, u64) {
    region.region_epoch.map(|epoch| (epoch.conf_ver, epoch.version)).unwrap()
}

#[test]
fn every_member_and_the_scheduler_learn_of_a_removal_at_once_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let (gone, stays) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.reports.regions.lock().unwrap().clear();
    let peer = cluster.header(gone).peer;
    let after = must_change(&mut cluster, change(REMOVE, peer));
    assert_eq!(epoch(&after), (2, 1));
    assert!(after.peers.iter().all(|peer| peer.store_id != gone) && after.peers.len() == 2);
    for store in [leader, stays] {
        cluster.tick(1);
        assert!(on_disk(&mut cluster, store).contains(&after), "store {store}");
        let router = cluster.store(store).parts.as_ref().unwrap().router.clone();
        assert_eq!(router.meta().lock().region(after.id), Some(&after), "S-META-AGREE");
    }
    let heartbeats = cluster.reports.regions.lock().unwrap();
    assert!(heartbeats.iter().any(|heartbeat| heartbeat.region.as_ref() == Some(&after)));
}

#[test]
fn a_leader_hands_over_before_it_goes_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let peer = cluster.header(leader).peer;
    let answer = ask(&mut cluster, change(REMOVE, peer));
    cluster.settle();
    let error = answer.error();
    assert!(matches!(error, Error::ServerIsBusy { .. }) && error.is_retryable(), "{error}");
    let next = cluster.leader().unwrap();
    assert_ne!(next, leader, "without a tick");
    let after = must_change(&mut cluster, change(REMOVE, peer));
    assert_eq!((after.peers.len(), cluster.leader()), (2, Some(next)));
    cluster.must_put("a", "2");
    // The same for a leader that would lose its vote only.
    let peer = cluster.header(next).peer;
    let after = must_change(&mut cluster, change(LEARN, peer));
    assert_eq!(after.peers.iter().find(|peer| peer.store_id == next).unwrap().role(), PeerRole::Learner);
    assert_ne!(cluster.leader(), Some(next));
    cluster.must_put("a", "3");
}

#[test]
fn the_last_voter_stays_3b() {
    let (mut cluster, leader) = cluster();
    for store in (1..=3).filter(|store| *store != leader) {
        let peer = cluster.header(store).peer;
        must_change(&mut cluster, change(if store == 1 { LEARN } else { REMOVE }, peer));
    }
    let peer = cluster.header(leader).peer;
    for kind in [REMOVE, LEARN] {
        let answer = ask(&mut cluster, change(kind, peer));
        cluster.settle();
        assert!(matches!(answer.error(), Error::AdminRefused { .. }));
    }
    cluster.must_put("a", "1");
}

#[test]
fn a_learner_has_the_data_and_no_say_3b() {
    let (mut cluster, leader) = cluster();
    let (learner, voter) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let peer = cluster.header(learner).peer;
    let after = must_change(&mut cluster, change(LEARN, peer));
    assert_eq!(roles(&after).into_iter().filter(|(_, role)| *role == PeerRole::Learner).count(), 1);
    cluster.must_put("a", "1");
    cluster.tick(4);
    let kv = cluster.store(learner).engines.kv.clone();
    assert!(storage::Reader::get(&kv, storage::Cf::Raw, b"a").unwrap().is_some());
    let answer = ask(&mut cluster, transfer_to(peer));
    cluster.settle();
    assert!(matches!(answer.error(), Error::AdminRefused { .. }));
    // The two voters are a majority of the voters; the learner and one voter are none.
    cluster.isolated.insert(voter);
    let alone = cluster.write(cluster.header(leader), vec![put("a", "2")]);
    cluster.tick(5);
    assert!(alone.take().is_none());
    cluster.isolated.clear();
    cluster.tick(5);
    assert!(alone.take().expect("decided").is_ok());
    let after = must_change(&mut cluster, change(ADD, peer));
    assert!(roles(&after).iter().all(|(_, role)| *role == PeerRole::Voter));
    assert_eq!(epoch(&after), (3, 1));
}

#[test]
fn several_changes_at_once_pass_through_a_joint_configuration_that_is_left_by_itself_3b() {
    let (mut cluster, leader) = cluster();
    let (a, b) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let (peer_a, peer_b) = (cluster.header(a).peer, cluster.header(b).peer);
    must_change(&mut cluster, change(LEARN, peer_a));
    let joint = must_change(&mut cluster, changes(&[(ADD, peer_a), (LEARN, peer_b)]));
    let role = |region: &Region, store| region.peers.iter().find(|peer| peer.store_id == store).unwrap().role();
    assert_eq!((role(&joint, a), role(&joint, b)), (PeerRole::IncomingVoter, PeerRole::DemotingVoter));
    assert_eq!(epoch(&joint), (4, 1));
    let after = region(&mut cluster);
    assert_eq!((role(&after, a), role(&after, b)), (PeerRole::Voter, PeerRole::Learner));
    assert_eq!(epoch(&after), (6, 1));
    cluster.must_put("a", "1");
    // A leader that would lose its vote in the joint configuration hands over first, too.
    let peer = cluster.header(leader).peer;
    must_change(&mut cluster, changes(&[(ADD, peer_b), (LEARN, peer)]));
    cluster.tick(2);
    let after = region(&mut cluster);
    assert_eq!((role(&after, leader), role(&after, b)), (PeerRole::Learner, PeerRole::Voter));
    assert_ne!(cluster.leader(), Some(leader));
    cluster.must_put("a", "2");
}

#[test]
fn a_joint_configuration_survives_a_crash_and_is_left_by_the_next_leader_3b() {
    let (mut cluster, leader) = cluster();
    let (a, b) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let (peer_a, peer_b) = (cluster.header(a).peer, cluster.header(b).peer);
    must_change(&mut cluster, change(LEARN, peer_a));
    // Everybody has the change in the log; nobody has applied it.
    cluster.lazy.extend(1..=3);
    let answer = ask(&mut cluster, changes(&[(ADD, peer_a), (LEARN, peer_b)]));
    cluster.settle();
    assert!(answer.take().is_none());
    for store in 1..=3 {
        cluster.crash(store, 0);
        cluster.start(store);
    }
    cluster.lazy.clear();
    cluster.elect(None);
    cluster.tick(10);
    let after = region(&mut cluster);
    assert_eq!((after.peers.iter().filter(|p| p.role() == PeerRole::Voter).count(), epoch(&after)), (2, (6, 1)));
    cluster.must_put("a", "1");
}

#[test]
fn the_same_change_sent_many_times_is_made_once_3b() {
    let (mut cluster, leader) = cluster();
    let peer = cluster.header(leader % 3 + 1).peer;
    let header = header_of(&region(&mut cluster), leader);
    let answers: Vec<_> = (0..3).map(|_| cluster.admin(header.clone(), change(REMOVE, peer))).collect();
    cluster.settle();
    let late = cluster.admin(header, change(REMOVE, peer));
    cluster.settle();
    let done = answers.iter().filter(|answer| answer.take().expect("answered").is_ok()).count();
    assert_eq!(done, 1);
    assert!(matches!(late.error(), Error::EpochNotMatch { .. }));
    assert_eq!(epoch(&region(&mut cluster)), (2, 1));
}

/// S-EPOCH-APPLY, and S-SPLIT-IDS by construction: the ids were given for three peers.
#[test]
fn a_split_that_comes_behind_a_change_of_members_changes_nothing_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let (slow, gone) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.lazy.extend([slow, gone]);
    let peer = cluster.header(gone).peer;
    let after = must_change(&mut cluster, change(REMOVE, peer));
    // The next leader has the change in its log and has not applied it; so it does not campaign, but it may be told to lead.
    cluster.isolated.insert(leader);
    for _ in 0..100 {
        cluster.tick(1);
    }
    assert_ne!(cluster.leader(), Some(slow), "nobody campaigns over a change that it has not applied");
    cluster.isolated.clear();
    cluster.lazy.clear();
    cluster.elect(None);
    // What was made for the epoch before is refused, by whoever leads.
    let leader = cluster.leader().unwrap();
    let old = RegionEpoch { conf_ver: 1, version: 1 };
    let header = RequestHeader { epoch: old, ..header_of(&after, leader) };
    let answer = cluster.admin(header, split_at(&["g"]));
    cluster.settle();
    assert!(matches!(answer.error(), Error::EpochNotMatch { .. }));
    assert_eq!(epoch(&region(&mut cluster)), (2, 1));
}
