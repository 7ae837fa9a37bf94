//! S-META-AGREE: what a store knows of a region says the same in all places: the peer in memory, the map of regions with its index, the
//! record on disk. S-SNAP-RANGE: what is being restored has a member on this store. Checked on every peer that a poll has changed, and on
//! every store that has written.
//!
//! The record may be ahead of the peer: the apply worker writes first and tells afterwards. They are compared when both have applied
//! the same entries.

use prost::Message;
use proto::metapb::Region;
use proto::raft_serverpb::{PeerState, RaftApplyState, RegionLocalState};
use raftstore::keys;
use raftstore::peer::Peer;
use raftstore::store::StoreMeta;
use storage::{Cf, Reader};

use super::disk::SimDisk;

/// Compares a peer with the map of its store, and with the record of its region on the disk.
///
/// # Errors
/// Which two say what.
pub fn check_peer(
    peer: &Peer<SimDisk>,
    meta: &StoreMeta,
    local: Option<&RegionLocalState>,
    kv: &SimDisk,
) -> Result<(), String> {
    let id = peer.region_id();
    let in_map = meta.region(id);
    if !peer.is_initialized() {
        // In the map it is uninitialised, too, unless a split has just made its region.
        return match (meta.uninitialized(id), in_map) {
            (Some(known), None) if known == peer.peer().id => Ok(()),
            (None, Some(region)) if region.peers.contains(peer.peer()) => Ok(()),
            (known, _) => {
                Err(format!("uninitialised peer {:?} is in the map as {known:?}, region {in_map:?}", peer.peer()))
            }
        };
    }
    if in_map != Some(peer.region()) || meta.uninitialized(id).is_some() {
        return Err(format!("the peer has {:?}, the map {in_map:?}", peer.region()));
    }
    if !meta.overlapping(&peer.region().start_key, &peer.region().end_key).any(|region| region.id == id) {
        return Err(format!("{:?} is not in the index", peer.region()));
    }
    let applied = kv.get(Cf::Raft, &keys::apply_state(id)).ok().flatten();
    let applied = applied.and_then(|value| RaftApplyState::decode(value).ok());
    let same = applied.is_some_and(|applied| applied.applied_index == peer.applied_index());
    let local = local.filter(|local| same && local.state() == PeerState::Normal);
    match local.and_then(|local| local.region.as_ref()) {
        Some(region) if region != peer.region() => Err(format!(
            "the peer has {:?}, the record {region:?}, both at index {}",
            peer.region(),
            peer.applied_index()
        )),
        _ => Ok(()),
    }
}

/// Checks that each region on the map of a store has its peer there.
///
/// # Errors
/// One that has none.
pub fn check_map(meta: &StoreMeta, has_peer: impl Fn(u64) -> bool) -> Result<(), String> {
    let lost = meta.overlapping(b"", b"").find(|region| !has_peer(region.id));
    lost.map_or(Ok(()), |region| Err(format!("{region:?} is on the map, and there is no peer of it")))
}

/// Checks the records of regions that are being restored.
///
/// # Errors
/// One that has no member on this store.
pub fn check_restoring(store: u64, states: &[RegionLocalState]) -> Result<(), String> {
    let is_member = |region: &Region| region.peers.iter().any(|peer| peer.store_id == store);
    let restoring = states.iter().filter(|state| state.state() == PeerState::Applying);
    match restoring.filter_map(|state| state.region.as_ref()).find(|region| !is_member(region)) {
        Some(region) => Err(format!("store {store} restores {region:?}, of which it is no member")),
        None => Ok(()),
    }
}
