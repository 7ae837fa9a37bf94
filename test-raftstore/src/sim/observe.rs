//! Reads a peer's beliefs off raft-core and its storage into the view that the invariants see.

use std::collections::BTreeSet;

use proto::eraftpb::Entry;
use raft_core::{Raft, Role};
use raftstore::peer::Peer;
use raftstore::peer_storage::PeerStorage;

use super::disk::SimDisk;
use crate::rng::{FNV_OFFSET, fnv1a_continue};
use crate::view::{ClusterView, EntryId, LogView, PeerKey, PeerRole, PeerView, TransferView};

/// Brings the view of one peer up to date.
pub fn observe(view: &mut ClusterView, key: PeerKey, incarnation: u64, peer: &Peer<SimDisk>) {
    view.stores.extend(peer.region().peers.iter().map(|other| ((key.region, other.id), other.store_id)));
    let raft = &peer.node().raft;
    let stored = raft.store().truncated();
    // While a snapshot is being restored there is no log but what comes behind it.
    let (index, term) = raft.pending_snapshot().unwrap_or((stored.index, stored.term));
    let known =
        view.peers.remove(&key).filter(|known| known.incarnation == incarnation && known.peer == peer.peer().id);
    let configuration = raft.tracker().conf_state();
    let voters: BTreeSet<u64> = configuration.voters.into_iter().collect();
    let voters_outgoing: BTreeSet<u64> = configuration.voters_outgoing.into_iter().collect();
    let before = known.as_ref().map(|known| (known.voters.clone(), known.voters_outgoing.clone()));
    let voters_before = before.filter(|before| (&before.0, &before.1) != (&voters, &voters_outgoing));
    let mut log = known.map_or_else(|| LogView::new(index, term), |known| known.log);
    follow_log(&mut log, raft, (index, term));
    let seen = PeerView {
        key,
        peer: peer.peer().id,
        incarnation,
        role: match raft.role() {
            Role::Leader => PeerRole::Leader,
            Role::Follower => PeerRole::Follower,
            _ => PeerRole::Candidate,
        },
        term: raft.term(),
        vote: raft.vote(),
        leader: raft.leader_id(),
        truncated: stored.index,
        applied: peer.applied_index(),
        commit: raft.committed(),
        last: raft.last_index(),
        log,
        transfer: raft.transfer_target().map(|to| TransferView {
            to,
            elapsed: raft.transfer_elapsed() as u64,
            limit: raft.config().election_tick as u64,
        }),
        size_bound: peer.size_bound(),
        ticks: peer.ticks(),
        voters,
        voters_outgoing,
        voters_before,
    };
    view.peers.insert(key, seen);
}

/// Finds where the log differs from what was seen last, from its end backwards: a log that ends in the same term at the same
/// index is the same log (R-LOG-MATCH, which is checked on everything that is found different).
fn follow_log(log: &mut LogView, raft: &Raft<PeerStorage<SimDisk>>, truncated: (u64, u64)) {
    log.truncate_to(truncated.0, truncated.1);
    let last = raft.last_index();
    let mut from = last.min(log.last_index());
    while from >= log.first_index() && raft.log_term(from) != log.term(from) {
        from -= 1;
    }
    if from < last || from < log.last_index() {
        let entries = (from + 1..=last).map(|index| identify(raft, index));
        log.replace_from(from + 1, entries.collect::<Vec<_>>());
    }
}

fn identify(raft: &Raft<PeerStorage<SimDisk>>, index: u64) -> EntryId {
    let Some(term) = raft.log_term(index) else { panic!("contract: the log has no term at index {index}") };
    // A disk that fails just now tells nothing.
    let found = raft.log_entries(index, index + 1, u64::MAX).ok().and_then(|entries| entries.into_iter().next());
    let found = found.filter(|entry| entry.term == term);
    EntryId {
        term,
        digest: found.as_ref().map(hash),
        changes_members: found.as_ref().is_some_and(raft_core::is_conf_change),
    }
}

fn hash(entry: &Entry) -> u64 {
    let kind = fnv1a_continue(FNV_OFFSET, &entry.entry_type.to_le_bytes());
    fnv1a_continue(kind, &entry.data)
}
