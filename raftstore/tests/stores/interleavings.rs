//! What a split, a change of members, a scan or a snapshot meets when another change comes in between.
//!
//! A leader puts nothing behind a change of its own that would refuse it. So what stands behind such a change in a log was
//! proposed by the next leader, which has the change from its predecessor and has not applied it.

use std::sync::{Arc, Mutex, atomic::Ordering};

use proto::{
    eraftpb::MessageType,
    metapb::{Peer, Region},
    raft_cmdpb::{AdminRequest, AdminResponse},
    raft_serverpb::{PeerState, RaftMessage},
};
use raftstore::{
    Config, Error, RegionSnapshot,
    store::{Layout, region_states},
};
use storage::{Cf, Cursor, Reader};

use crate::{
    common::{Answer, Cluster, Snapshot, put},
    conf_change::{ADD, LEARN, REMOVE, ask, change, must_change, region},
    destroy::assert_destroyed,
    split::{cluster, header_of, on_disk, parts, split_at},
};

fn conf_ver(region: &Region) -> u64 {
    region.region_epoch.unwrap().conf_ver
}

/// The regions of a store that have a peer there.
fn living(cluster: &mut Cluster, store: u64) -> Vec<u64> {
    let states = region_states(&cluster.store(store).engines.kv).unwrap();
    let normal = states.into_iter().filter(|state| state.state() == PeerState::Normal);
    normal.filter_map(|state| state.region).map(|region| region.id).collect()
}

/// A leader orders a change of members and is cut off; the next one has it in its log, commits it, and applies nothing for now. The
/// members of the region but for `silent` may lead. Returns who leads, and who waits for the change.
fn leader_with_an_inherited_change(
    cluster: &mut Cluster,
    old: u64,
    silent: u64,
    request: AdminRequest,
) -> (u64, Answer<AdminResponse>) {
    cluster.lazy.extend(1..=3);
    cluster.lost = Box::new(move |message| message.to_peer.is_some_and(|to| to.store_id == old));
    let changing = ask(cluster, request);
    cluster.settle();
    cluster.isolated.insert(old);
    cluster.lost = Box::new(move |message| {
        let asks_for_votes = message.message.as_ref().is_some_and(|inner| {
            matches!(inner.msg_type(), MessageType::MsgRequestPreVote | MessageType::MsgRequestVote)
        });
        asks_for_votes && message.from_peer.is_some_and(|from| from.store_id == silent)
    });
    let next = cluster.elect(Some(old));
    assert!(changing.take().is_none(), "the one that has ordered it does not know");
    (next, changing)
}

#[test]
fn a_split_whose_ids_come_behind_a_change_of_members_is_refused_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    cluster.reports.silent.store(true, Ordering::Relaxed);
    let splitting = cluster.admin(cluster.header(leader), split_at(&["g"]));
    cluster.settle();
    let after = must_change(&mut cluster, change(ADD, Peer { id: 700, store_id: fourth, ..Peer::default() }));
    assert!(splitting.take().is_none());
    // Ids for three peers, of which there are four now.
    assert_eq!(cluster.reports.answer_questions(), 1);
    cluster.settle();
    match splitting.error() {
        Error::EpochNotMatch { current } => assert_eq!(current[..], *std::slice::from_ref(&after)),
        other => panic!("{other}"),
    }
    cluster.tick(5);
    for store in 1..=3 {
        assert_eq!(on_disk(&mut cluster, store)[0], after, "store {store}");
    }
    // Asked again, there are ids for all.
    cluster.reports.silent.store(false, Ordering::Relaxed);
    let again = ask(&mut cluster, split_at(&["g"]));
    cluster.settle();
    assert!(parts(&again).iter().all(|part| part.peers.len() == 4));
}

/// S-EPOCH-APPLY: both were lawful when they were proposed. The second one has ids for the members of before.
#[test]
fn a_split_behind_a_change_that_its_leader_has_not_applied_changes_nothing_3b() {
    let (mut cluster, old) = cluster();
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    let peer = Peer { id: 700, store_id: fourth, ..Peer::default() };
    let (next, changing) = leader_with_an_inherited_change(&mut cluster, old, old, change(LEARN, peer));
    let splitting = cluster.admin(cluster.header(next), split_at(&["g"]));
    cluster.settle();
    assert!(splitting.take().is_none(), "it is proposed");
    cluster.lazy.clear();
    cluster.settle();
    match splitting.error() {
        Error::EpochNotMatch { current } => assert_eq!(current.iter().map(conf_ver).collect::<Vec<_>>(), [2]),
        other => panic!("{other}"),
    }
    cluster.isolated.clear();
    cluster.tick(10);
    assert!(changing.take().unwrap().is_ok(), "the change itself was made");
    let neighbour = cluster.regions[1].clone();
    let after = region(&mut cluster);
    for store in 1..=4 {
        let found = on_disk(&mut cluster, store);
        assert_eq!(found.iter().filter(|region| **region != neighbour).collect::<Vec<_>>(), [&after], "store {store}");
    }
    cluster.must_put("a", "2");
}

/// S-APPLY-STOP: one batch holds the removal of a peer and a split.
#[test]
fn a_peer_makes_no_regions_of_a_split_behind_its_own_removal_3b() {
    let (mut cluster, old) = cluster();
    cluster.must_put("a", "1");
    let (gone, id) = (old % 3 + 1, cluster.regions[0].id);
    let peer = cluster.header(gone).peer;
    let (next, changing) = leader_with_an_inherited_change(&mut cluster, old, gone, change(REMOVE, peer));
    assert_ne!(next, gone);
    let splitting = cluster.admin(cluster.header(next), split_at(&["g"]));
    cluster.tick(3);
    assert!(splitting.take().is_none(), "it is proposed");
    // The one that goes is first to apply.
    assert!(cluster.store(gone).parts.as_mut().unwrap().apply_workers[0].round().unwrap() > 0);
    let neighbour = cluster.regions[1].id;
    assert_eq!(living(&mut cluster, gone), [neighbour]);
    cluster.isolated.clear();
    cluster.lazy.clear();
    cluster.tick(10);
    assert!(matches!(splitting.error(), Error::EpochNotMatch { .. }));
    assert!(changing.take().unwrap().is_ok());
    for store in [old, next] {
        assert_eq!(living(&mut cluster, store), [id, neighbour], "store {store}");
    }
    assert_eq!(living(&mut cluster, gone), [neighbour]);
    cluster.must_put("a", "2");
}

/// The second split has ids of its own, and cuts at a key that is a bound by then.
#[test]
fn the_same_split_twice_in_the_log_is_made_once_3b() {
    let (mut cluster, leader) = cluster();
    cluster.lazy.extend((1..=3).filter(|store| *store != leader));
    let first = cluster.admin(cluster.header(leader), split_at(&["g"]));
    cluster.settle();
    let found = parts(&first);
    cluster.isolated.insert(leader);
    let slow = cluster.elect(Some(leader));
    let second = cluster.admin(cluster.header(slow), split_at(&["g"]));
    cluster.settle();
    assert!(second.take().is_none(), "it is proposed");
    cluster.lazy.clear();
    cluster.settle();
    assert!(matches!(second.error(), Error::EpochNotMatch { .. }));
    cluster.isolated.clear();
    cluster.tick(20);
    let ids: Vec<u64> = found.iter().map(|part| part.id).chain([cluster.regions[1].id]).collect();
    for store in 1..=3 {
        let regions = on_disk(&mut cluster, store);
        assert_eq!(regions.iter().map(|region| region.id).collect::<Vec<_>>(), ids, "store {store}");
        assert_eq!(regions[..2], found[..], "store {store}");
    }
}

/// S-READ-REGION: the answer to a read is a snapshot with the region of that moment, whatever becomes of the region.
#[test]
fn a_scan_that_began_before_a_split_sees_the_region_as_it_was_3b() {
    let (mut cluster, leader) = cluster();
    for key in ["a", "f", "h", "x"] {
        cluster.must_put(key, "before");
    }
    let parent = cluster.regions[0].clone();
    let reading = cluster.read(cluster.header(leader));
    cluster.settle();
    let view = reading.take().unwrap().unwrap();
    let mut cursor = view.snapshot.cursor(Cf::Raw, Some(&view.region.start_key), Some(&view.region.end_key)).unwrap();
    cursor.seek_to_first();
    let mut seen = vec![cursor.key().to_vec()];

    let splitting = cluster.admin(cluster.header(leader), split_at(&["g"]));
    cluster.settle();
    let found = parts(&splitting);
    let writing = cluster.write(header_of(&found[1], leader), vec![put("i", "after"), put("x", "after")]);
    cluster.settle();
    assert!(writing.take().unwrap().is_ok());

    cursor.next();
    while cursor.valid() {
        assert!(cursor.value().starts_with(b"before"));
        seen.push(cursor.key().to_vec());
        cursor.next();
    }
    assert_eq!(seen, [b"a", b"f", b"h", b"x"]);
    assert_eq!(*view.region, parent);
    // A range read of the right part has no key that could be compared with a bound.
    let right = cluster.read(header_of(&found[1], leader));
    cluster.settle();
    let right = right.take().unwrap().unwrap();
    assert_eq!(*right.region, found[1]);
    assert!(right.snapshot.get(Cf::Raw, b"i").unwrap().is_some());
}

/// S-SNAP-RANGE, S-MEMBER: the network holds a snapshot back until its receiver was removed and another peer has come to the store.
#[test]
fn a_snapshot_for_a_peer_that_was_replaced_since_is_dropped_3b() {
    let (mut cluster, _) = cluster();
    cluster.must_put("a", "1");
    let fourth = cluster.add_store();
    let incarnation = |id| Peer { id, store_id: fourth, ..Peer::default() };
    let held: Arc<Mutex<Vec<RaftMessage>>> = Arc::default();
    let kept = held.clone();
    cluster.lost = Box::new(move |message| {
        let is_snapshot = message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some());
        if is_snapshot {
            kept.lock().unwrap().push(message.clone());
        }
        is_snapshot
    });
    must_change(&mut cluster, change(LEARN, incarnation(700)));
    cluster.tick(10);
    let late = held.lock().unwrap().first().cloned().expect("a snapshot is on its way");
    must_change(&mut cluster, change(REMOVE, incarnation(700)));
    must_change(&mut cluster, change(LEARN, incarnation(701)));
    cluster.tick(5);
    let deliver_late = |cluster: &mut Cluster| {
        cluster.store(fourth).parts.as_ref().unwrap().router.raft_message(late.clone());
        cluster.settle();
    };
    let restored = |cluster: &mut Cluster| {
        let router = cluster.store(fourth).parts.as_ref().unwrap().router.clone();
        let id = cluster.regions[0].id;
        let peer = router.statuses().iter().find(|status| status.region.id == id).map(|status| status.peer.id);
        (router.metrics().snapshots_restored.get(), peer)
    };
    cluster.carry(&late, late.from_peer.unwrap().store_id, fourth).unwrap();
    deliver_late(&mut cluster);
    assert_eq!(restored(&mut cluster).0, 0);
    assert!(living(&mut cluster, fourth).is_empty());
    cluster.lost = Box::new(|_| false);
    cluster.tick(20);
    assert_eq!(restored(&mut cluster), (1, Some(701)));
    deliver_late(&mut cluster);
    cluster.tick(5);
    assert_eq!(restored(&mut cluster), (1, Some(701)));
    let after = region(&mut cluster);
    assert_eq!(on_disk(&mut cluster, fourth), [after]);
    cluster.must_put("b", "2");
    cluster.tick(3);
    assert!(cluster.store(fourth).engines.kv.get(Cf::Raw, b"b").unwrap().is_some());
}

/// A read that is confirmed before a change of its region is committed; its snapshot is taken when the change is applied and the peer has not
/// heard of that yet. Returns who waits for the read, and who for the change.
fn overtaken_read(
    change: impl Fn(&Cluster, u64) -> AdminRequest,
) -> (Answer<RegionSnapshot<Snapshot>>, Answer<AdminResponse>) {
    let config = Config { messages_per_round: 1, log_gc_ticks: u64::MAX >> 1, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    let leader = cluster.elect(None);
    cluster.must_put("a", "1");
    cluster.lazy.insert(leader);
    let held: Arc<Mutex<Vec<RaftMessage>>> = Arc::default();
    let kept = held.clone();
    cluster.lost = Box::new(move |message| {
        let confirms =
            message.message.as_ref().is_some_and(|inner| inner.msg_type() == MessageType::MsgHeartbeatResponse);
        if confirms {
            kept.lock().unwrap().push(message.clone());
        }
        confirms
    });
    let read = cluster.read(cluster.header(leader));
    cluster.settle();
    assert!(read.take().is_none() && !held.lock().unwrap().is_empty());
    let changing = cluster.admin(cluster.header(leader), change(&cluster, leader));
    cluster.settle();
    assert!(changing.take().is_none(), "it is committed and not applied");
    // First the confirmations are in the mailbox, then the word that the change is applied.
    let router = cluster.store(leader).parts.as_ref().unwrap().router.clone();
    held.lock().unwrap().drain(..).for_each(|message| router.raft_message(message));
    assert!(cluster.store(leader).parts.as_mut().unwrap().apply_workers[0].round().unwrap() > 0);
    cluster.lazy.clear();
    cluster.lost = Box::new(|_| false);
    cluster.settle();
    (read, changing)
}

/// Invariant S-READ-REGION: a split overtakes the read.
#[test]
fn a_read_is_checked_against_the_region_in_its_snapshot_3b() {
    let (read, splitting) = overtaken_read(|_, _| split_at(&["g"]));
    let found = parts(&splitting);
    match read.error() {
        Error::EpochNotMatch { current } => {
            assert!(current.iter().all(|region| found.contains(region)), "S-READ-REGION: {current:?}");
        }
        error => panic!("{error}"),
    }
}

/// Invariant S-READ-REGION: a change of members, which hinders no read, overtakes it.
#[test]
fn a_read_is_handed_the_region_in_its_snapshot_3b() {
    let (read, changing) = overtaken_read(|cluster, leader| change(REMOVE, cluster.header(leader % 3 + 1).peer));
    let changed = changing.take().unwrap().unwrap().change_peer.unwrap().region.unwrap();
    assert_eq!(*read.take().unwrap().unwrap().region, changed, "S-READ-REGION");
}

/// Invariant S-APPLY-STOP: entries and the word of the peer's end come in one round; the log is cleared, so the entries must not be written
/// behind that.
#[test]
fn entries_that_come_with_the_end_are_not_written_behind_it_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.tick(2);
    let gone = leader % 3 + 1;
    let (header, peer) = (cluster.header(leader), cluster.header(gone).peer);
    cluster.lazy.extend(1..=3);
    let removal = cluster.admin(header.clone(), change(REMOVE, peer));
    cluster.tick(2);
    // Nobody has applied the removal, so the leader still sends to the one that goes.
    let held: Arc<Mutex<Vec<RaftMessage>>> = Arc::default();
    let kept = held.clone();
    cluster.lost = Box::new(move |message| {
        let late = message.to_peer.is_some_and(|to| to.id == peer.id)
            && message.message.as_ref().is_some_and(|inner| inner.msg_type() == MessageType::MsgAppend);
        if late {
            kept.lock().unwrap().push(message.clone());
        }
        late
    });
    let behind = cluster.write(header, vec![put("b", "2")]);
    cluster.settle();
    let late = std::mem::take(&mut *held.lock().unwrap());
    assert!(late.iter().any(|message| !message.message.as_ref().unwrap().entries.is_empty()));
    let router = cluster.store(gone).parts.as_ref().unwrap().router.clone();
    late.into_iter().for_each(|message| router.raft_message(message));
    assert!(cluster.store(gone).parts.as_mut().unwrap().apply_workers[0].round().unwrap() > 0);
    cluster.lazy.clear();
    cluster.settle();
    assert!(removal.take().unwrap().is_ok() && behind.take().unwrap().is_ok());
    assert_destroyed(&mut cluster, gone, peer);
}
