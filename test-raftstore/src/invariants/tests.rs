//! Each rule accepts the lawful course of events and refuses the one it is there for.

use super::*;
use crate::view::{DurableEntry, EntryId, LogView, PeerRole, Promise, TransferView};

struct Disks(Vec<(u64, DurableEntry)>);

impl DiskProbe for Disks {
    fn durable_entry(&self, store: u64, _region: u64, _peer: u64, _index: u64) -> DurableEntry {
        self.0.iter().find(|(other, _)| *other == store).map_or(DurableEntry::Missing, |(_, entry)| *entry)
    }
}

fn entry(term: u64, digest: u64) -> EntryId {
    EntryId { term, digest: Some(digest), changes_members: false }
}

/// A peer on store `id` with peer id `id`, log terms from index 1 on.
fn peer(id: u64, role: PeerRole, term: u64, terms: &[u64]) -> PeerView {
    let mut log = LogView::new(0, 0);
    log.replace_from(1, terms.iter().map(|term| entry(*term, 100 + *term)));
    PeerView {
        key: PeerKey { store: id, region: 1 },
        peer: id,
        incarnation: 1,
        role,
        term,
        last: terms.len() as u64,
        log,
        voters: vec![1, 2, 3],
        ..PeerView::default()
    }
}

struct Lab {
    view: ClusterView,
    invariants: Invariants,
    disks: Disks,
}

impl Lab {
    fn new() -> Self {
        let mut view = ClusterView::default();
        (1..=3).for_each(|id| {
            view.stores.insert((1, id), id);
        });
        let all_hold = (1..=3).map(|id| (id, DurableEntry::Compacted)).collect();
        Self { view, invariants: Invariants::all(), disks: Disks(all_hold) }
    }

    fn see(&mut self, peer: PeerView) -> Result<(), &'static str> {
        let key = peer.key;
        self.view.peers.insert(key, peer);
        self.invariants.check(&mut self.view, &[key], &self.disks).map_err(|violation| violation.id)
    }

    fn send(&mut self, from: u64, term: u64, promise: Promise) -> Result<(), &'static str> {
        let message = SentMessage { key: PeerKey { store: from, region: 1 }, from, to: 9, term, promise };
        self.invariants.on_send(&message).map_err(|violation| violation.id)
    }
}

#[test]
fn two_leaders_need_two_terms() {
    let mut lab = Lab::new();
    assert_eq!(lab.see(peer(1, PeerRole::Leader, 2, &[2])), Ok(()));
    assert_eq!(lab.see(peer(2, PeerRole::Leader, 3, &[2, 3])), Ok(()));
    assert_eq!(lab.see(peer(3, PeerRole::Leader, 3, &[2, 3])), Err("R-ELECT"));
}

#[test]
fn a_vote_is_given_once_a_term() {
    let mut lab = Lab::new();
    assert_eq!(lab.send(1, 2, Promise::Vote { candidate: 2 }), Ok(()));
    assert_eq!(lab.send(1, 2, Promise::Vote { candidate: 2 }), Ok(()));
    assert_eq!(lab.send(1, 3, Promise::Vote { candidate: 3 }), Ok(()));
    assert_eq!(lab.send(1, 2, Promise::Vote { candidate: 3 }), Err("R-VOTE"));
}

#[test]
fn a_leader_does_not_rewrite_its_log() {
    let mut lab = Lab::new();
    assert_eq!(lab.see(peer(1, PeerRole::Leader, 2, &[1, 2])), Ok(()));
    let mut longer = lab.view.peers[&PeerKey { store: 1, region: 1 }].clone();
    longer.log.replace_from(3, [entry(2, 102)]);
    longer.last = 3;
    assert_eq!(lab.see(longer.clone()), Ok(()));
    longer.log.mark_seen();
    longer.log.replace_from(3, [entry(2, 102)]);
    assert_eq!(lab.see(longer), Err("R-APPEND-ONLY"));
}

#[test]
fn logs_that_meet_are_equal_below() {
    let mut lab = Lab::new();
    assert_eq!(lab.see(peer(1, PeerRole::Follower, 3, &[1, 2, 3])), Ok(()));
    assert_eq!(lab.see(peer(2, PeerRole::Follower, 3, &[1, 1])), Ok(()));
    assert_eq!(lab.see(peer(3, PeerRole::Follower, 3, &[1, 1, 3])), Err("R-LOG-MATCH"));
    let mut lab = Lab::new();
    let mut other = peer(2, PeerRole::Follower, 3, &[1]);
    other.log.replace_from(1, [entry(1, 7)]);
    assert_eq!(lab.see(peer(1, PeerRole::Follower, 3, &[1])), Ok(()));
    assert_eq!(lab.see(other), Err("R-LOG-MATCH"));
}

#[test]
fn numbers_do_not_go_back_in_one_life() {
    let mut lab = Lab::new();
    let at = |commit, applied, incarnation| PeerView {
        commit,
        applied,
        incarnation,
        ..peer(1, PeerRole::Follower, 2, &[1, 2, 2])
    };
    assert_eq!(lab.see(at(2, 2, 1)), Ok(()));
    assert_eq!(lab.see(at(1, 1, 2)), Ok(()), "a crash may lose what was not synced");
    assert_eq!(lab.see(at(1, 0, 2)), Err("R-MONO"));
}

#[test]
fn a_term_that_was_told_outlives_a_crash() {
    let mut lab = Lab::new();
    assert_eq!(lab.send(1, 4, Promise::Term), Ok(()));
    assert_eq!(lab.send(1, 9, Promise::Nothing), Ok(()));
    assert_eq!(lab.see(PeerView { incarnation: 2, ..peer(1, PeerRole::Follower, 3, &[1]) }), Err("R-MONO"));
}

#[test]
fn indices_are_ordered() {
    let with =
        |truncated, applied, commit| PeerView { truncated, applied, commit, ..peer(1, PeerRole::Follower, 1, &[1; 4]) };
    assert_eq!(Lab::new().see(with(1, 2, 4)), Ok(()));
    assert_eq!(Lab::new().see(with(3, 2, 4)), Err("R-ORDER"));
    assert_eq!(Lab::new().see(with(1, 3, 2)), Err("R-ORDER"));
    assert_eq!(Lab::new().see(with(1, 2, 5)), Err("R-ORDER"));
}

#[test]
fn a_commit_needs_a_quorum_of_disks() {
    let leader = || PeerView { commit: 2, ..peer(1, PeerRole::Leader, 2, &[1, 2]) };
    let mut lab = Lab::new();
    lab.disks = Disks(vec![(1, DurableEntry::Term(2)), (3, DurableEntry::Term(2))]);
    assert_eq!(lab.see(leader()), Ok(()));
    let mut lab = Lab::new();
    lab.disks = Disks(vec![(1, DurableEntry::Term(2)), (3, DurableEntry::Term(1))]);
    assert_eq!(lab.see(leader()), Err("R-COMMIT-QUORUM"));
    let mut lab = Lab::new();
    lab.disks = Disks(vec![(1, DurableEntry::Term(2)), (3, DurableEntry::Term(2))]);
    let joint = PeerView { voters_outgoing: vec![2], ..leader() };
    assert_eq!(lab.see(joint), Err("R-COMMIT-QUORUM"), "a joint configuration needs both");
}

#[test]
fn a_voter_that_acknowledged_and_was_then_removed_takes_nothing_away() {
    let leader = PeerView { commit: 2, ..peer(1, PeerRole::Leader, 2, &[1, 2]) };
    let mut lab = Lab::new();
    lab.disks = Disks(vec![(1, DurableEntry::Term(2)), (3, DurableEntry::Buried)]);
    assert_eq!(lab.see(leader), Ok(()));
}

#[test]
fn an_index_is_committed_as_one_entry() {
    let mut lab = Lab::new();
    let committed = |id, terms: &[u64]| PeerView { commit: 2, ..peer(id, PeerRole::Follower, 4, terms) };
    assert_eq!(lab.see(committed(1, &[1, 2])), Ok(()));
    assert_eq!(lab.see(committed(2, &[1, 2])), Ok(()));
    assert_eq!(lab.see(committed(3, &[1, 3])), Err("R-APPLY-SAME"));
}

#[test]
fn later_leaders_hold_what_was_committed() {
    let committed = || PeerView { commit: 2, ..peer(1, PeerRole::Follower, 2, &[1, 2]) };
    let mut lab = Lab::new();
    assert_eq!(lab.see(committed()), Ok(()));
    assert_eq!(lab.see(peer(2, PeerRole::Leader, 3, &[1, 2, 3])), Ok(()));
    let mut lab = Lab::new();
    assert_eq!(lab.see(committed()), Ok(()));
    assert_eq!(lab.see(peer(2, PeerRole::Leader, 3, &[1])), Err("R-COMPLETE"));
    let mut lab = Lab::new();
    assert_eq!(lab.see(peer(2, PeerRole::Leader, 3, &[1])), Ok(()));
    assert_eq!(lab.see(committed()), Err("R-COMPLETE"), "a deposed leader commits behind the new one's back");
}

#[test]
fn a_leader_commits_by_entries_of_its_own_term() {
    let leader = |commit| PeerView { commit, ..peer(1, PeerRole::Leader, 3, &[1, 2, 3]) };
    let mut lab = Lab::new();
    assert_eq!(lab.see(leader(1)), Ok(()));
    let mut later = lab.view.peers[&PeerKey { store: 1, region: 1 }].clone();
    later.commit = 3;
    assert_eq!(lab.see(later), Ok(()));
    let mut lab = Lab::new();
    assert_eq!(lab.see(leader(1)), Ok(()));
    let mut later = lab.view.peers[&PeerKey { store: 1, region: 1 }].clone();
    later.commit = 2;
    assert_eq!(lab.see(later), Err("R-COMMIT-TERM"));
}

/// A leader of term 2 whose entries at these indices change the members.
fn leader_with_changes(terms: &[u64], changes: &[u64], applied: u64) -> PeerView {
    let mut leader = peer(1, PeerRole::Leader, 2, terms);
    let kind =
        |(index, term): (u64, &u64)| EntryId { changes_members: changes.contains(&index), ..entry(*term, *term) };
    leader.log.replace_from(1, (1..).zip(terms).map(kind));
    PeerView { commit: applied, applied, ..leader }
}

#[test]
fn a_leader_changes_the_members_one_step_at_a_time() {
    let see = |terms: &[u64], changes: &[u64], applied| Lab::new().see(leader_with_changes(terms, changes, applied));
    assert_eq!(see(&[2, 2, 2], &[2], 0), Ok(()));
    assert_eq!(see(&[2, 2, 2], &[2, 3], 2), Ok(()), "the first one is in force");
    assert_eq!(see(&[2, 2, 2], &[2, 3], 1), Err("R-CONF-ONE"));
    assert_eq!(see(&[1, 1, 1, 2], &[2, 3], 0), Ok(()), "its predecessor had applied the first one");
    assert_eq!(see(&[1, 1, 1, 2], &[3, 4], 0), Err("R-CONF-ONE"));
}

/// A leader hands over since so many ticks, at this time of its clock, and has appended so many entries since the last look.
fn hand_over(lab: &mut Lab, elapsed: u64, ticks: u64, appended: usize) -> Result<(), &'static str> {
    let known = lab.view.peers.get(&PeerKey { store: 1, region: 1 });
    let mut leader = known.cloned().unwrap_or_else(|| peer(1, PeerRole::Leader, 2, &[1, 2]));
    leader.log.replace_from(leader.last + 1, (0..appended).map(|_| entry(2, 102)));
    leader.last += appended as u64;
    let transfer = Some(TransferView { to: 2, elapsed, limit: 10 });
    lab.see(PeerView { transfer, ticks, ..leader })
}

#[test]
fn who_hands_over_appends_nothing() {
    let mut lab = Lab::new();
    assert_eq!(hand_over(&mut lab, 3, 13, 0), Ok(()));
    assert_eq!(hand_over(&mut lab, 9, 19, 0), Ok(()));
    assert_eq!(hand_over(&mut lab, 0, 20, 1), Ok(()), "that one was given up, and this is another");
    assert_eq!(hand_over(&mut lab, 1, 21, 1), Err("R-XFER-QUIET"));
}

#[test]
fn a_transfer_ends_after_an_election_timeout() {
    assert_eq!(hand_over(&mut Lab::new(), 10, 20, 0), Err("R-XFER-BOUND"));
    let mut lab = Lab::new();
    assert_eq!(hand_over(&mut lab, 0, 10, 0), Ok(()));
    assert_eq!(hand_over(&mut lab, 0, 11, 0), Err("R-XFER-BOUND"), "its clock stands still");
    let mut lab = Lab::new();
    assert_eq!(hand_over(&mut lab, 0, 10, 0), Ok(()));
    let leader = lab.view.peers.get_mut(&PeerKey { store: 1, region: 1 }).unwrap();
    leader.voters_before = Some((vec![1, 3], Vec::new()));
    assert_eq!(hand_over(&mut lab, 0, 11, 0), Ok(()), "the target lost its vote, and has it again");
}
