//! Handing over the leadership by request.

use proto::{
    eraftpb::MessageType,
    metapb::Peer,
    raft_cmdpb::{AdminCmdType, AdminRequest, TransferLeaderRequest},
};
use raftstore::{Config, Error, store::Layout};

use crate::{
    common::{Cluster, put},
    conf_change::{REMOVE, change},
    log_gc::compact_log,
};

pub(crate) fn transfer_to(peer: Peer) -> AdminRequest {
    let transfer_leader = Some(TransferLeaderRequest { peer: Some(peer), ..Default::default() });
    AdminRequest { cmd_type: AdminCmdType::TransferLeader as i32, transfer_leader, ..Default::default() }
}

fn cluster() -> (Cluster, u64) {
    let mut cluster = Cluster::new(Layout::default());
    let leader = cluster.elect(None);
    (cluster, leader)
}

fn last_index(cluster: &mut Cluster, store: u64) -> u64 {
    let region = cluster.regions[0].id;
    let statuses = cluster.store(store).parts.as_ref().unwrap().router.statuses();
    statuses.iter().find(|status| status.region.id == region).unwrap().last
}

#[test]
fn a_follower_leads_without_a_tick_and_without_an_entry_for_it_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    cluster.tick(1);
    let target = leader % 3 + 1;
    let before = last_index(&mut cluster, leader);
    let answer = cluster.admin(cluster.header(leader), transfer_to(cluster.header(target).peer));
    cluster.settle();
    let response = answer.take().expect("answered").expect("begun");
    assert_eq!(response.cmd_type(), AdminCmdType::TransferLeader);
    assert!(response.transfer_leader.is_some());
    assert_eq!(cluster.leader(), Some(target));
    cluster.tick(1);
    assert_eq!(last_index(&mut cluster, target), before + 1, "nothing but the new leader's own entry");
    cluster.must_put("a", "2");
    assert!(cluster.must_get("a").unwrap().starts_with(b"2"));
    // To whom leads already: nothing happens.
    let answer = cluster.admin(cluster.header(target), transfer_to(cluster.header(target).peer));
    cluster.settle();
    assert!(answer.take().unwrap().is_ok());
    assert_eq!(cluster.leader(), Some(target));
}

/// Invariants R-XFER-QUIET and R-XFER-BOUND.
#[test]
fn while_a_transfer_runs_nothing_is_proposed_and_it_ends_after_an_election_timeout_3b() {
    let (mut cluster, leader) = cluster();
    cluster.must_put("a", "1");
    let (target, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.lost = Box::new(|message| {
        message.message.as_ref().is_some_and(|inner| inner.msg_type() == MessageType::MsgTimeoutNow)
    });
    let first = cluster.admin(cluster.header(leader), transfer_to(cluster.header(target).peer));
    cluster.settle();
    assert!(first.take().unwrap().is_ok());
    cluster.tick(1);
    let before = last_index(&mut cluster, leader);
    let write = cluster.write(cluster.header(leader), vec![put("a", "2")]);
    let elsewhere = cluster.admin(cluster.header(leader), transfer_to(cluster.header(other).peer));
    let again = cluster.admin(cluster.header(leader), transfer_to(cluster.header(target).peer));
    let read = cluster.read(cluster.header(leader));
    let removal = cluster.admin(cluster.header(leader), change(REMOVE, cluster.header(other).peer));
    cluster.settle();
    assert!(!matches!(removal.error(), Error::OutcomeUnknown { .. }), "R-DROP-TOLD: raft has refused it");
    match write.error() {
        Error::NotLeader { leader, .. } => assert_eq!(leader.unwrap().store_id, target, "who is about to lead"),
        error => panic!("{error}"),
    }
    assert!(matches!(elsewhere.error(), Error::ServerIsBusy { .. }));
    assert!(again.take().unwrap().is_ok());
    assert!(read.take().unwrap().is_ok(), "reads need no entry");
    assert_eq!(last_index(&mut cluster, leader), before);
    cluster.tick(Config::default().election_ticks);
    assert_eq!(cluster.leader(), Some(leader));
    cluster.must_put("a", "3");
}

#[test]
fn only_a_leader_hands_over_and_only_to_a_member_3b() {
    let (mut cluster, leader) = cluster();
    let follower = leader % 3 + 1;
    let asked = cluster.admin(cluster.header(follower), transfer_to(cluster.header(follower).peer));
    let stranger = cluster.admin(cluster.header(leader), transfer_to(Peer { id: 999, store_id: 9, ..Peer::default() }));
    cluster.settle();
    assert!(matches!(asked.error(), Error::NotLeader { .. }));
    assert!(matches!(stranger.error(), Error::AdminRefused { .. }));
    assert_eq!(cluster.leader(), Some(leader));
    cluster.must_put("a", "1");
}

/// Clients would be sent to a peer that cannot serve, and back, for an election timeout.
#[test]
fn a_peer_that_has_to_catch_up_is_not_told_to_lead_3b() {
    for by_snapshot in [false, true] {
        let (mut cluster, leader) = cluster();
        cluster.must_put("a", "1");
        cluster.tick(1);
        let target = leader % 3 + 1;
        cluster.isolated.insert(target);
        let entries = if by_snapshot { 5 } else { 130 };
        (0..entries).for_each(|number| cluster.must_put("a", &number.to_string()));
        if by_snapshot {
            cluster.tick(1);
            let last = last_index(&mut cluster, leader);
            let compacted = cluster.admin(cluster.header(leader), compact_log(last - 1));
            cluster.settle();
            assert!(compacted.take().unwrap().is_ok());
        }
        let answer = cluster.admin(cluster.header(leader), transfer_to(cluster.header(target).peer));
        cluster.settle();
        match answer.error() {
            Error::ServerIsBusy { reason } => assert!(reason.contains("catch up"), "{reason}"),
            other => panic!("{other}"),
        }
        cluster.must_put("a", "served");
        cluster.isolated.clear();
        cluster.tick(10);
        let answer = cluster.admin(cluster.header(leader), transfer_to(cluster.header(target).peer));
        cluster.settle();
        assert!(answer.take().unwrap().is_ok(), "it has caught up");
        assert_eq!(cluster.leader(), Some(target));
    }
}
