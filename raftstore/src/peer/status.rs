//! What a peer tells people and the scheduler about itself.

use proto::{metapb, pdpb};
use raft_core::Role;
use storage::Engine;

use super::Peer;

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

    /// The leader's report about the region.
    pub(super) fn heartbeat(&self) -> pdpb::RegionHeartbeatRequest {
        let (approximate_size, approximate_keys) = self.approximate_size();
        pdpb::RegionHeartbeatRequest {
            approximate_size,
            approximate_keys,
            region: Some((*self.region).clone()),
            leader: Some(self.peer),
            term: self.term,
            ..Default::default()
        }
    }
}
