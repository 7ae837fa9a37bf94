//! What a peer tells people and the scheduler about itself.

use proto::{metapb, pdpb};
use raft_core::Role;
use storage::Engine;

use super::{Effects, Peer};

/// State of a peer for the status page and for tools. Published once a tick and when the role changes.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The region as of the last applied entry.
    pub region: metapb::Region,
    /// The peer on this store.
    pub peer: metapb::Peer,
    /// Its role.
    pub role: Role,
    /// The leader as far as it knows.
    pub leader: Option<metapb::Peer>,
    /// Its term.
    pub term: u64,
    /// Last index that is no longer in its log.
    pub truncated: u64,
    /// Last index known to be committed.
    pub commit: u64,
    /// Last index applied.
    pub applied: u64,
    /// Last index of its log.
    pub last: u64,
}

impl<E: Engine> Peer<E> {
    pub(super) fn status(&self) -> PeerStatus {
        PeerStatus {
            region: (*self.region).clone(),
            peer: self.peer,
            role: self.role,
            leader: self.region.peers.iter().find(|p| p.id == self.leader_id).copied(),
            term: self.term,
            truncated: self.node.store().truncated().index,
            commit: self.node.raft.committed(),
            applied: self.applied,
            last: self.node.raft.last_index(),
        }
    }

    /// Peers that cannot go on from the log as it is, and have not got a snapshot yet.
    fn pending_peers(&self) -> Vec<metapb::Peer> {
        let truncated = self.node.store().truncated().index;
        let lags = |peer: &&metapb::Peer| {
            self.node.raft.tracker().get(peer.id).is_some_and(|progress| progress.matched < truncated)
        };
        self.region.peers.iter().filter(|peer| peer.id != self.peer.id).filter(lags).copied().collect()
    }

    /// The scheduler waits until nobody lags behind before it orders more: it is told at once.
    pub(super) fn report_caught_up(&mut self, effects: &mut Effects<E>) {
        let lagging = self.is_leader() && !self.pending_peers().is_empty();
        if std::mem::replace(&mut self.lagging, lagging) && !lagging && self.is_leader() {
            effects.heartbeats.push(self.heartbeat());
        }
    }

    /// The leader's report about the region.
    pub(super) fn heartbeat(&self) -> pdpb::RegionHeartbeatRequest {
        let (approximate_size, approximate_keys) = self.approximate_size();
        pdpb::RegionHeartbeatRequest {
            approximate_size,
            approximate_keys,
            region: Some((*self.region).clone()),
            leader: Some(self.peer),
            term: self.term,
            pending_peers: self.pending_peers(),
            ..Default::default()
        }
    }
}
