//! Reads a peer's beliefs off raft-core and its storage into the view that the invariants see.

use std::hash::{Hash, Hasher};
use std::mem::take;

use proto::eraftpb::Entry;
use raft_core::{Raft, Role};
use raftstore::peer::Peer;
use raftstore::peer_storage::PeerStorage;
use rustc_hash::FxHasher;

use super::disk::SimDisk;
use crate::view::{ClusterView, EntryId, LogView, PeerKey, PeerRole, PeerView, TransferView};

/// What has become of a peer since it was looked at last.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// Its role and term then.
    pub leadership_before: Option<(PeerRole, u64)>,
    /// Something is other than it was, so that the invariants have to look at it.
    pub changed: bool,
}

/// Brings the view of one peer up to date.
pub fn observe(view: &mut ClusterView, key: PeerKey, incarnation: u64, peer: &Peer<SimDisk>) -> Observed {
    let raft = &peer.node().raft;
    let stored = raft.store().truncated();
    // While a snapshot is being restored there is no log but what comes behind it.
    let truncated = raft.pending_snapshot().unwrap_or((stored.index, stored.term));
    let known = view.peers.remove(&key);
    let leadership_before = known.as_ref().map(|known| (known.role, known.term));
    let same_life = known.filter(|known| known.incarnation == incarnation && known.peer == peer.peer().id);
    let is_new = same_life.is_none();
    let mut before = same_life.unwrap_or_default();
    if is_new {
        before.log = LogView::new(truncated.0, truncated.1);
    }
    let mut seen = numbers_of(key, incarnation, peer);
    seen.log = take(&mut before.log);
    let first = seen.log.first_index();
    follow_log(&mut seen.log, raft, truncated);
    let log_changed = seen.log.changed_from().is_some() || seen.log.first_index() != first;
    follow_voters(&mut seen, &mut before, raft, is_new);
    let changed = is_new || log_changed || seen.voters_before.is_some() || seen.numbers() != before.numbers();
    if changed {
        view.stores.extend(peer.region().peers.iter().map(|other| ((key.region, other.id), other.store_id)));
    }
    view.peers.insert(key, seen);
    Observed { leadership_before, changed }
}

/// The view of a peer without its log and its voters.
fn numbers_of(key: PeerKey, incarnation: u64, peer: &Peer<SimDisk>) -> PeerView {
    let raft = &peer.node().raft;
    PeerView {
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
        truncated: raft.store().truncated().index,
        applied: peer.applied_index(),
        commit: raft.committed(),
        last: raft.last_index(),
        transfer: raft.transfer_target().map(|to| TransferView {
            to,
            elapsed: raft.transfer_elapsed() as u64,
            limit: raft.config().election_tick as u64,
        }),
        size_bound: peer.size_bound(),
        ticks: peer.ticks(),
        ..PeerView::default()
    }
}

/// Takes over the voters if they are those of before; otherwise the ones from before are noted as such.
fn follow_voters(seen: &mut PeerView, before: &mut PeerView, raft: &Raft<PeerStorage<SimDisk>>, is_new: bool) {
    let voters = raft.tracker().voters();
    let (incoming, outgoing) = (voters.incoming.voters(), voters.outgoing.voters());
    seen.voters = take(&mut before.voters);
    seen.voters_outgoing = take(&mut before.voters_outgoing);
    if seen.voters != incoming || seen.voters_outgoing != outgoing {
        let before = (take(&mut seen.voters), take(&mut seen.voters_outgoing));
        seen.voters_before = (!is_new).then_some(before);
        seen.voters = incoming.to_vec();
        seen.voters_outgoing = outgoing.to_vec();
    }
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
    let mut hasher = FxHasher::default();
    (entry.entry_type, &entry.data).hash(&mut hasher);
    hasher.finish()
}
