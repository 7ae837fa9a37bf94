//! A region as the scheduler sees it: its metadata and what its leader last said about it.

use proto::metapb::{Peer, Region, RegionEpoch};
use proto::pdpb::{self, PeerStats, RegionHeartbeatRequest};

use super::error::{Error, Result, epoch_text};

/// One region. Only `meta` is kept on disk; the rest is learnt again from heartbeats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegionInfo {
    /// Range, epoch and peers.
    pub meta: Region,
    /// The peer that leads, if a leader has reported since the start.
    pub leader: Option<Peer>,
    /// Peers that the leader has not heard from for a while.
    pub down_peers: Vec<PeerStats>,
    /// Peers that lag behind, e.g. because they wait for a snapshot.
    pub pending_peers: Vec<Peer>,
    /// In mebibytes.
    pub approximate_size: u64,
    /// Number of keys, about.
    pub approximate_keys: u64,
    /// The leader's term; 0 = not known.
    pub term: u64,
}

impl RegionInfo {
    /// A region of which nothing but its metadata is known.
    pub fn without_leader(meta: Region) -> Self {
        Self { meta, ..Self::default() }
    }

    /// The region as its leader reports it.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the heartbeat contradicts itself, see [`RegionInfo::validate`].
    pub fn from_heartbeat(heartbeat: RegionHeartbeatRequest) -> Result<Self> {
        const MEBIBYTE: u64 = 1 << 20;
        let info = Self {
            meta: heartbeat.region.ok_or_else(|| Error::invalid("a region heartbeat needs a region"))?,
            leader: heartbeat.leader,
            down_peers: heartbeat.down_peers,
            pending_peers: heartbeat.pending_peers,
            approximate_size: heartbeat.approximate_size.div_ceil(MEBIBYTE),
            approximate_keys: heartbeat.approximate_keys,
            term: heartbeat.term,
        };
        if info.leader.is_none() {
            return Err(Error::invalid(format!("heartbeat of region {} names no leader", info.meta.id)));
        }
        info.validate()?;
        Ok(info)
    }

    /// The id.
    pub fn id(&self) -> u64 {
        self.meta.id
    }

    /// The epoch; `validate` makes sure that there is one.
    pub fn epoch(&self) -> RegionEpoch {
        self.meta.region_epoch.unwrap_or_default()
    }

    /// Does the range hold `key`?
    pub fn contains(&self, key: &[u8]) -> bool {
        self.meta.start_key.as_ref() <= key && (self.meta.end_key.is_empty() || key < self.meta.end_key.as_ref())
    }

    /// The stores of all peers but the leader's.
    pub fn follower_stores(&self) -> impl Iterator<Item = u64> {
        let leader = self.leader.as_ref().map(|leader| leader.id);
        self.meta.peers.iter().filter(move |peer| Some(peer.id) != leader).map(|peer| peer.store_id)
    }

    /// Does the report make sense by itself?
    pub fn validate(&self) -> Result<()> {
        let Region { id, start_key, end_key, region_epoch, peers, .. } = &self.meta;
        let refuse = |reason: &str| Err(Error::invalid(format!("region {id}: {reason}")));
        if *id == 0 {
            return refuse("the id is 0");
        }
        if region_epoch.is_none_or(|epoch| epoch.conf_ver == 0 || epoch.version == 0) {
            return refuse("the epoch is missing or 0");
        }
        if !end_key.is_empty() && start_key >= end_key {
            return refuse("the range is empty or reversed");
        }
        if peers.is_empty() {
            return refuse("there are no peers");
        }
        for (at, peer) in peers.iter().enumerate() {
            if peer.id == 0 || peer.store_id == 0 {
                return refuse("a peer without id or store");
            }
            if peers[..at].iter().any(|other| other.id == peer.id || other.store_id == peer.store_id) {
                return refuse("two peers share an id or a store");
            }
        }
        match &self.leader {
            Some(leader) if !peers.iter().any(|peer| peer.id == leader.id && peer.store_id == leader.store_id) => {
                refuse("the leader is not among the peers")
            }
            _ => Ok(()),
        }
    }

    /// The region as the region lookups answer.
    pub fn to_wire(&self) -> pdpb::Region {
        pdpb::Region {
            region: Some(self.meta.clone()),
            leader: self.leader,
            down_peers: self.down_peers.clone(),
            pending_peers: self.pending_peers.clone(),
            approximate_size: self.approximate_size,
            approximate_keys: self.approximate_keys,
        }
    }

    /// Epoch and term for messages.
    pub(crate) fn standing(&self) -> String {
        format!("{}, term {}", epoch_text(self.epoch()), self.term)
    }
}
