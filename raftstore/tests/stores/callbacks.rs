//! Invariant S-CB-ONCE at the places where it is easily lost: nobody waits for an answer that never comes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use proto::{eraftpb::MessageType, metapb::Peer};
use raftstore::{Config, Error, store::Layout};

use crate::{
    common::{Cluster, put},
    conf_change::{REMOVE, ask, change, must_change},
    destroy::{assert_destroyed, assert_there, deliver, message},
    split::{cluster, header_of},
};

/// The peer has been told that it is not wanted any more, and still waits for its tombstone.
#[test]
fn who_asks_a_peer_that_is_on_its_way_out_is_told_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.isolated.insert(leader);
    cluster.lazy.insert(leader);
    let header = cluster.header(leader);
    let wanted = message(&cluster, leader % 3 + 1, Peer { id: 500, ..header.peer }, 3);
    deliver(&mut cluster, leader, wanted);
    assert_there(&mut cluster, leader);
    let write = cluster.write(header.clone(), vec![put("a", "2")]);
    let read = cluster.read(header.clone());
    let admin = cluster.admin(header.clone(), change(REMOVE, header.peer));
    cluster.settle();
    assert!(matches!(write.error(), Error::RegionNotFound { .. }));
    assert!(matches!(read.error(), Error::RegionNotFound { .. }));
    assert!(matches!(admin.error(), Error::RegionNotFound { .. }));
    cluster.lazy.clear();
    cluster.settle();
    assert_destroyed(&mut cluster, leader, header.peer);
}

/// A leader whose removal was proposed by the one before, and a write behind it: both are committed together, and only the removal is applied
/// here.
#[test]
fn who_waits_behind_the_removal_of_the_own_peer_is_told_3b() {
    let (mut cluster, stays) = cluster();
    cluster.must_put("a", "1");
    let (goes, third) = (stays % 3 + 1, (stays + 1) % 3 + 1);
    let (peer, gone) = (cluster.header(goes).peer, cluster.header(third).peer);
    must_change(&mut cluster, change(REMOVE, gone));
    // The removal reaches the one that goes, its acknowledgement does not come back, and the leader steps down.
    cluster.lost = Box::new(move |message| message.from_peer.is_some_and(|from| from.store_id == goes));
    let removal = ask(&mut cluster, change(REMOVE, peer));
    cluster.tick(60);
    assert_eq!(cluster.leader(), None);
    let held = Arc::new(AtomicBool::new(true));
    let holds = held.clone();
    cluster.lost = Box::new(move |message| {
        let kind = message.message.as_ref().map(|inner| inner.msg_type());
        holds.load(Ordering::Relaxed) && kind == Some(MessageType::MsgAppendResponse)
    });
    for _ in 0..100 {
        if cluster.leader() == Some(goes) {
            break;
        }
        cluster.tick_store(goes);
    }
    let behind = cluster.write(header_of(&cluster.regions[0].clone(), goes), vec![put("a", "2")]);
    cluster.settle();
    assert!(behind.take().is_none(), "it is proposed");
    held.store(false, Ordering::Relaxed);
    cluster.tick(100);
    assert!(matches!(behind.error(), Error::OutcomeUnknown { .. }));
    assert!(removal.take().expect("answered").is_ok(), "it stands where it was proposed");
    assert_destroyed(&mut cluster, goes, peer);
    assert_eq!(cluster.leader(), Some(stays));
}

/// One write is on its way to the disk, the next one waits for it. Nobody will propose that one any more.
#[test]
fn a_write_that_waits_for_the_disk_is_refused_as_soon_as_its_leader_is_deposed_2b() {
    let config = Config { max_readies_in_flight: 1, log_gc_ticks: u64::MAX >> 1, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    let leader = cluster.elect(None);
    cluster.must_put("a", "1");
    let header = cluster.header(leader);
    let poll = |cluster: &mut Cluster| {
        cluster.store(leader).parts.as_mut().unwrap().pollers[0].round(usize::MAX).unwrap();
    };
    let first = cluster.write(header.clone(), vec![put("a", "2")]);
    poll(&mut cluster);
    let second = cluster.write(header.clone(), vec![put("a", "3")]);
    poll(&mut cluster);
    assert!(first.take().is_none() && second.take().is_none());
    let of_a_later_leader = message(&cluster, leader % 3 + 1, header.peer, 1);
    cluster.store(leader).parts.as_ref().unwrap().router.raft_message(of_a_later_leader);
    poll(&mut cluster);
    assert!(matches!(second.error(), Error::NotLeader { .. }), "S-CB-ONCE, without waiting for the disk");
    cluster.elect(None);
    cluster.tick(40);
    assert!(first.take().is_some());
}
