//! The end of a peer: what is left of it on its store, who learns of it, and that it never comes back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proto::{
    eraftpb::{Message, MessageType},
    metapb::{Peer, Region, RegionEpoch},
    raft_serverpb::{PeerState, RaftMessage, RegionLocalState},
};
use raftstore::{Config, Error, keys, store::region_states};
use storage::{Cf, Cursor, Reader};

use crate::{
    common::{Cluster, put},
    conf_change::{LEARN, REMOVE, ask, change, must_change, region},
    split::{cluster, header_of, with_config},
};

fn state_of(cluster: &mut Cluster, store: u64) -> RegionLocalState {
    let id = cluster.regions[0].id;
    let states = region_states(&cluster.store(store).engines.kv).unwrap();
    states.into_iter().find(|state| state.region.as_ref().is_some_and(|region| region.id == id)).unwrap()
}

fn count<R: Reader>(reader: &R, cf: Cf, start: &[u8], end: &[u8]) -> usize {
    let mut cursor = reader.cursor(cf, Some(start), (!end.is_empty()).then_some(end)).unwrap();
    let mut found = 0;
    cursor.seek_to_first();
    while cursor.valid() {
        found += 1;
        cursor.next();
    }
    found
}

/// Records of the first region in a store's raft engine.
fn log_records(cluster: &mut Cluster, store: u64) -> usize {
    let id = cluster.regions[0].id;
    let raft = cluster.store(store).engines.raft.clone();
    let log = count(&raft, Cf::Default, &keys::raft_log(id, 0), &keys::raft_log(id, u64::MAX));
    log + usize::from(raft.get(Cf::Default, &keys::raft_state(id)).unwrap().is_some())
}

/// Invariant S-TOMB, and that nobody else on the store is touched.
pub(crate) fn assert_destroyed(cluster: &mut Cluster, store: u64, peer: Peer) {
    let (id, neighbour) = (cluster.regions[0].id, cluster.regions[1].clone());
    let (start, end) = (cluster.regions[0].start_key.clone(), cluster.regions[0].end_key.clone());
    let state = state_of(cluster, store);
    assert_eq!((state.state(), &state.removed_records[..]), (PeerState::Tombstone, &[peer][..]), "store {store}");
    let kv = cluster.store(store).engines.kv.clone();
    for cf in Cf::DATA {
        assert_eq!(count(&kv, cf, &start, &end), 0, "{cf:?}");
    }
    assert!(kv.get(Cf::Raft, &keys::apply_state(id)).unwrap().is_none());
    assert_eq!(log_records(cluster, store), 0);
    let router = cluster.store(store).parts.as_ref().unwrap().router.clone();
    assert_eq!(router.region_ids(), [neighbour.id]);
    assert_eq!(router.meta().lock().region(id), None);
    assert_eq!(router.meta().lock().region(neighbour.id), Some(&neighbour));
    assert!(router.statuses().iter().all(|status| status.region.id != id));
}

pub(crate) fn assert_there(cluster: &mut Cluster, store: u64) {
    assert_eq!(state_of(cluster, store).state(), PeerState::Normal);
    assert!(log_records(cluster, store) > 0);
}

/// Removes a store's peer; returns the peer.
fn remove(cluster: &mut Cluster, store: u64) -> Peer {
    let peer = cluster.header(store).peer;
    must_change(cluster, change(REMOVE, peer));
    peer
}

#[test]
fn a_removed_follower_leaves_a_tombstone_and_nothing_else_3b() {
    let (mut cluster, leader) = cluster();
    let gone = leader % 3 + 1;
    cluster.must_put("a", "1");
    cluster.tick(5);
    let peer = remove(&mut cluster, gone);
    assert_destroyed(&mut cluster, gone, peer);
    let refused = cluster.read(cluster.header(gone));
    cluster.settle();
    assert!(matches!(refused.error(), Error::RegionNotFound { .. }));
    cluster.must_put("a", "2");
    // It stays so.
    cluster.crash(gone, 0);
    cluster.start(gone);
    cluster.tick(50);
    assert_destroyed(&mut cluster, gone, peer);
    cluster.must_put("a", "3");
}

#[test]
fn a_removed_leader_is_destroyed_after_it_has_handed_over_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let peer = remove(&mut cluster, leader);
    cluster.tick(5);
    assert_destroyed(&mut cluster, leader, peer);
    cluster.must_put("a", "2");
}

#[test]
fn down_to_one_member_whoever_goes_first_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let (first, second) = (leader, leader % 3 + 1);
    for store in [first, second] {
        let peer = remove(&mut cluster, store);
        cluster.tick(5);
        assert_destroyed(&mut cluster, store, peer);
    }
    let last = (leader + 1) % 3 + 1;
    assert_eq!(cluster.leader(), Some(last));
    cluster.must_put("a", "2");
    assert!(cluster.must_get("a").unwrap().starts_with(b"2"));
}

/// Invariant S-APPLY-STOP: writes that stand behind the removal in the same batch are not applied by the one that is removed.
#[test]
fn nothing_is_applied_behind_the_own_removal_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let gone = leader % 3 + 1;
    cluster.lazy.extend(1..=3);
    let header = cluster.header(leader);
    let removal = cluster.admin(header.clone(), change(REMOVE, cluster.header(gone).peer));
    cluster.settle();
    let behind = cluster.write(header, vec![put("b", "2")]);
    cluster.tick(3);
    assert!(removal.take().is_none() && behind.take().is_none());
    cluster.lazy.clear();
    // The one that goes is first to apply.
    cluster.store(gone).parts.as_mut().unwrap().apply_workers[0].round().unwrap();
    let kv = cluster.store(gone).engines.kv.clone();
    assert!(kv.get(Cf::Raw, b"b").unwrap().is_none() && kv.get(Cf::Raw, b"a").unwrap().is_none());
    cluster.settle();
    assert!(removal.take().unwrap().is_ok() && behind.take().unwrap().is_ok());
    let peer = cluster.header(gone).peer;
    assert_destroyed(&mut cluster, gone, peer);
    assert!(cluster.must_get("b").is_some());
}

/// Every arrow of: entry committed → tombstone synced → peer told → log cleared.
#[test]
fn a_crash_at_any_step_of_the_end_is_made_up_for_3b() {
    for steps in 0..=3 {
        let (mut cluster, leader) = cluster();
        cluster.must_put("a", "1");
        cluster.tick(3);
        let gone = leader % 3 + 1;
        let peer = cluster.header(gone).peer;
        cluster.lazy.insert(gone);
        must_change(&mut cluster, change(REMOVE, peer));
        cluster.tick(1);
        assert_there(&mut cluster, gone);
        let parts = cluster.store(gone).parts.as_mut().unwrap();
        if steps >= 1 {
            assert!(parts.apply_workers[0].round().unwrap() > 0);
        }
        if steps >= 2 {
            parts.pollers[0].round(usize::MAX).unwrap();
        }
        if steps >= 3 {
            assert!(parts.log_writer.as_mut().unwrap().round().unwrap() > 0);
        }
        let expected = if steps >= 1 { PeerState::Tombstone } else { PeerState::Normal };
        assert_eq!(state_of(&mut cluster, gone).state(), expected);
        assert_eq!(log_records(&mut cluster, gone) == 0, steps >= 3, "the log goes last");
        cluster.crash(gone, 0);
        assert_eq!(state_of(&mut cluster, gone).state(), expected, "step {steps}: the tombstone is synced");
        cluster.lazy.clear();
        cluster.start(gone);
        cluster.settle();
        assert_eq!(log_records(&mut cluster, gone) == 0, steps >= 1, "step {steps}");
        // What had not applied its removal is told by the others that it is gone.
        cluster.tick(100);
        assert_destroyed(&mut cluster, gone, peer);
        cluster.must_put("a", "2");
    }
}

#[test]
fn who_was_away_while_it_was_removed_is_told_by_the_members_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let gone = leader % 3 + 1;
    cluster.isolated.insert(gone);
    let peer = remove(&mut cluster, gone);
    let term = |cluster: &mut Cluster| {
        let router = &cluster.store(leader).parts.as_ref().unwrap().router;
        router.statuses().into_iter().map(|status| status.term).max().unwrap()
    };
    let before = term(&mut cluster);
    cluster.tick(100);
    assert_there(&mut cluster, gone);
    cluster.isolated.clear();
    cluster.tick(40);
    assert_destroyed(&mut cluster, gone, peer);
    assert_eq!((cluster.leader(), term(&mut cluster)), (Some(leader), before), "it has disturbed nobody");
}

/// A learner asks for no votes; it has to ask whether it is a member.
#[test]
fn a_learner_that_was_away_asks_after_a_while_3b() {
    let (mut cluster, leader) = with_config(Config { max_leader_missing_ticks: 30, ..Config::default() });
    let gone = leader % 3 + 1;
    let peer = cluster.header(gone).peer;
    must_change(&mut cluster, change(LEARN, peer));
    cluster.tick(3);
    cluster.isolated.insert(gone);
    remove(&mut cluster, gone);
    cluster.isolated.clear();
    cluster.tick(20);
    assert_there(&mut cluster, gone);
    cluster.tick(15);
    assert_destroyed(&mut cluster, gone, Peer { role: proto::metapb::PeerRole::Learner as i32, ..peer });
}

/// All the members that it knows are gone, too: the scheduler knows.
#[test]
fn who_finds_no_member_asks_the_scheduler_3b() {
    let (mut cluster, leader) = with_config(Config { max_leader_missing_ticks: 30, ..Config::default() });
    let gone = leader % 3 + 1;
    let peer = cluster.header(gone).peer;
    cluster.isolated.insert(gone);
    cluster.tick(70);
    assert_there(&mut cluster, gone);
    // What the scheduler says counts if it is newer than what the peer knows, and does not name the peer.
    let known = |conf_ver, peers: Vec<Peer>, cluster: &Cluster| Region {
        region_epoch: Some(RegionEpoch { conf_ver, version: 1 }),
        peers,
        ..cluster.regions[0].clone()
    };
    let strangers = vec![Peer { id: 900, store_id: 8, ..Default::default() }];
    let all = cluster.regions[0].peers.clone();
    for answer in [known(1, strangers.clone(), &cluster), known(9, all, &cluster)] {
        cluster.reports.known.lock().unwrap().insert(answer.id, answer);
        cluster.tick(40);
        assert_there(&mut cluster, gone);
    }
    let answer = known(9, strangers, &cluster);
    cluster.reports.known.lock().unwrap().insert(answer.id, answer);
    cluster.tick(40);
    assert_destroyed(&mut cluster, gone, peer);
}

pub(crate) fn message(cluster: &Cluster, from: u64, to: Peer, conf_ver: u64) -> RaftMessage {
    let from_peer = cluster.header(from).peer;
    RaftMessage {
        region_id: cluster.regions[0].id,
        from_peer: Some(from_peer),
        to_peer: Some(to),
        region_epoch: Some(RegionEpoch { conf_ver, version: 1 }),
        message: Some(Message {
            msg_type: MessageType::MsgHeartbeat as i32,
            from: from_peer.id,
            to: to.id,
            term: 50,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn deliver(cluster: &mut Cluster, store: u64, message: RaftMessage) {
    cluster.store(store).parts.as_ref().unwrap().router.raft_message(message);
    cluster.settle();
}

#[test]
fn a_message_for_a_younger_peer_ends_the_older_one_and_none_brings_it_back_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let store = leader % 3 + 1;
    cluster.isolated.insert(store);
    let peer = cluster.header(store).peer;
    let (older, younger) = (Peer { id: peer.id - 1, ..peer }, Peer { id: 500, ..peer });
    let late = message(&cluster, leader, older, 9);
    deliver(&mut cluster, store, late);
    let stale_tombstone = RaftMessage { is_tombstone: true, message: None, ..message(&cluster, leader, peer, 1) };
    deliver(&mut cluster, store, stale_tombstone);
    assert_there(&mut cluster, store);
    let wanted = message(&cluster, leader, younger, 3);
    deliver(&mut cluster, store, wanted);
    assert_destroyed(&mut cluster, store, peer);
    for to in [older, peer] {
        let late = message(&cluster, leader, to, 9);
        deliver(&mut cluster, store, late);
        assert_destroyed(&mut cluster, store, peer);
    }
}

/// S-CB-ONCE: whoever waits for something of a peer that goes is told.
#[test]
fn nobody_waits_for_a_peer_that_is_gone_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.isolated.insert(leader);
    let header = cluster.header(leader);
    let write = cluster.write(header.clone(), vec![put("a", "2")]);
    let read = cluster.read(header.clone());
    cluster.settle();
    assert!(write.take().is_none() && read.take().is_none());
    let younger = Peer { id: 500, ..header.peer };
    let wanted = message(&cluster, leader % 3 + 1, younger, 3);
    deliver(&mut cluster, leader, wanted);
    // The write is in the log, perhaps not in this one alone: somebody may commit it yet.
    assert!(matches!(write.error(), Error::OutcomeUnknown { .. }));
    assert!(matches!(read.error(), Error::RegionNotFound { .. }));
    let late = cluster.write(header.clone(), vec![put("a", "2")]);
    cluster.settle();
    assert!(matches!(late.error(), Error::RegionNotFound { .. }));
    assert_destroyed(&mut cluster, leader, header.peer);
}

/// Two members, and the one that is removed leads: it was proposed by the other one, which was deposed since. Exactly the notice that the
/// removal is committed is lost. The one that stays needs a vote of the one that is gone, until it is told by the tombstone.
#[test]
fn of_two_members_the_one_that_stays_serves_on_although_the_notice_is_lost_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let third = (leader + 1) % 3 + 1;
    remove(&mut cluster, third);
    let (stays, goes) = (leader, leader % 3 + 1);
    let peer = cluster.header(goes).peer;
    // The removal reaches the one that goes, its acknowledgement does not come back, and the leader steps down.
    cluster.lost = Box::new(move |message| message.from_peer.is_some_and(|from| from.store_id == goes));
    let answer = ask(&mut cluster, change(REMOVE, peer));
    cluster.tick(60);
    assert_eq!(cluster.leader(), None);
    // The next leader will commit it; from then on, nothing of it that says so arrives.
    let id = cluster.regions[0].id;
    let statuses = cluster.store(goes).parts.as_ref().unwrap().router.statuses();
    let removal = statuses.iter().find(|status| status.region.id == id).unwrap().last;
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = lost.clone();
    cluster.lost = Box::new(move |message| {
        let told = message.message.as_ref().is_some_and(|inner| {
            matches!(inner.msg_type(), MessageType::MsgAppend | MessageType::MsgHeartbeat) && inner.commit >= removal
        });
        let hit = told && message.region_id == id && message.from_peer.is_some_and(|from| from.store_id == goes);
        counted.fetch_add(usize::from(hit), Ordering::Relaxed);
        hit
    });
    cluster.lazy.insert(goes);
    for _ in 0..100 {
        if cluster.leader() == Some(goes) {
            break;
        }
        cluster.tick_store(goes);
    }
    assert_eq!(cluster.leader(), Some(goes));
    assert_there(&mut cluster, goes);
    cluster.lazy.clear();
    cluster.tick(1);
    assert!(lost.load(Ordering::Relaxed) > 0, "there was a notice to lose");
    assert_destroyed(&mut cluster, goes, peer);
    assert!(state_of(&mut cluster, stays).region.unwrap().peers.len() == 2, "it does not know");
    assert!(answer.take().is_none_or(|answer| answer.is_err()));
    cluster.tick(100);
    assert_eq!(cluster.leader(), Some(stays));
    assert_eq!(region(&mut cluster).peers.len(), 1);
    cluster.must_put("a", "2");
    assert!(cluster.must_get("a").unwrap().starts_with(b"2"));
    let refused = cluster.write(header_of(&cluster.regions[0].clone(), goes), vec![put("a", "3")]);
    cluster.settle();
    assert!(matches!(refused.error(), Error::RegionNotFound { .. }));
}

/// The same with the rule of the leader in force: the one that is removed follows, and has not heard that its removal is committed.
#[test]
fn of_two_members_the_leader_serves_on_and_the_removed_one_learns_it_later_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let third = (leader + 1) % 3 + 1;
    remove(&mut cluster, third);
    let goes = leader % 3 + 1;
    let peer = cluster.header(goes).peer;
    cluster.tick(3);
    let router = cluster.store(leader).parts.as_ref().unwrap().router.clone();
    let id = cluster.regions[0].id;
    let commit = router.statuses().iter().find(|status| status.region.id == id).unwrap().commit;
    cluster.lost = Box::new(move |message| {
        message.to_peer.is_some_and(|to| to.store_id == goes)
            && message.message.as_ref().is_some_and(|inner| inner.commit > commit)
    });
    must_change(&mut cluster, change(REMOVE, peer));
    cluster.must_put("a", "2");
    assert_there(&mut cluster, goes);
    cluster.lost = Box::new(|_| false);
    cluster.tick(100);
    assert_destroyed(&mut cluster, goes, peer);
    assert_eq!(cluster.leader(), Some(leader));
    cluster.must_put("a", "3");
}
