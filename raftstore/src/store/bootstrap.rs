//! First start of a store and of a cluster.
//!
//! Every step can be repeated, so a crash between two of them does no harm:
//!
//! 1. The store gets an id from the scheduler and writes its identity to both engines, synced.
//! 2. When enough stores are registered, one of them proposes the first regions to the scheduler ([`initial_regions`]). The
//!    scheduler takes the first proposal it gets and refuses all others, so its record is the truth.
//! 3. Every store asks the scheduler for the regions and makes its own peers of those that are still as bootstrap made them
//!    ([`create_initial_peer`]). It has never voted in them nor acknowledged anything, as it has no record of them; so an empty
//!    log is the right start.

use bytes::Bytes;
use prost::Message;
use proto::{
    metapb::{Peer, Region},
    raft_serverpb::{PeerState, RaftApplyState, RaftTruncatedState, RegionLocalState, StoreIdent},
};
use storage::{Cf, Durability, Engine, WriteBatch};

use crate::{
    env::Engines,
    error::{Error, Result},
    keys,
    peer_storage::read,
    region::{INITIAL_EPOCH, INITIAL_INDEX, INITIAL_TERM, peer_on_store},
};

/// Who the engines belong to; `None` if they are new.
///
/// # Errors
/// [`Error::Corrupted`] if the two engines disagree in a way that no crash explains.
pub fn read_ident<E: Engine>(engines: &Engines<E>) -> Result<Option<StoreIdent>> {
    let kv: Option<StoreIdent> = read(&engines.kv, Cf::Raft, keys::STORE_IDENT)?;
    let raft: Option<StoreIdent> = read(&engines.raft, Cf::Default, keys::STORE_IDENT)?;
    match (kv, raft) {
        (Some(kv), Some(raft)) if kv == raft => Ok(Some(kv)),
        // The raft engine is written first: a crash in between leaves an identity that nothing was done with.
        (None, None) | (None, Some(_)) => Ok(None),
        (Some(kv), None) => Err(Error::Corrupted(format!(
            "the kv engine belongs to {} but the raft engine is empty; restore the raft folder",
            describe(&kv)
        ))),
        (Some(kv), Some(raft)) => Err(Error::Corrupted(format!(
            "the kv engine belongs to {}, the raft engine to {}",
            describe(&kv),
            describe(&raft)
        ))),
    }
}

/// Writes the identity of a new store, synced. Does nothing if it is there already.
///
/// # Errors
/// [`Error::IdentMismatch`] if the engines belong to another store or cluster: nothing is changed then.
pub fn write_ident<E: Engine>(engines: &Engines<E>, ident: &StoreIdent) -> Result<()> {
    if let Some(found) = read_ident(engines)? {
        return match found == *ident {
            true => Ok(()),
            false => Err(Error::IdentMismatch { found: describe(&found), expected: describe(ident) }),
        };
    }
    // lab:begin 2B bootstrap::write_ident  hint="one after the other: which one may a crash leave alone? read_ident knows"
    for (engine, cf) in [(&engines.raft, Cf::Default), (&engines.kv, Cf::Raft)] {
        let mut batch = WriteBatch::new();
        batch.put(cf, keys::STORE_IDENT, ident.encode_to_vec());
        engine.write(batch, Durability::Sync)?;
    }
    Ok(())
    // lab:end
}

fn describe(ident: &StoreIdent) -> String {
    format!("store {} of cluster {}", ident.store_id, ident.cluster_id)
}

/// The bound between the two first regions: above all user data. The official raw client scans in circles when the last region of
/// a cluster holds its range, so the last region starts empty and stays so.
pub fn sentinel_key() -> Bytes {
    storage::codec::encode_bytes(&[0xff; 8]).into()
}

/// The two first regions of a cluster, each with a peer on each of these stores.
///
/// `ids` gives ids that nothing else in the cluster has: one for each region and one for each of its peers.
pub fn initial_regions(store_ids: &[u64], ids: &mut impl Iterator<Item = u64>) -> Option<Vec<Region>> {
    let bounds = [(Bytes::new(), sentinel_key()), (sentinel_key(), Bytes::new())];
    bounds
        .into_iter()
        .map(|(start_key, end_key)| {
            let id = ids.next()?;
            let peer = |store_id: &u64| Some(Peer { id: ids.next()?, store_id: *store_id, ..Default::default() });
            let peers = store_ids.iter().map(peer).collect::<Option<Vec<_>>>()?;
            Some(Region { id, start_key, end_key, region_epoch: Some(INITIAL_EPOCH), peers, ..Default::default() })
        })
        .collect()
}

/// Ids that [`initial_regions`] takes for `stores` stores.
pub fn initial_id_count(stores: usize) -> usize {
    2 * (1 + stores)
}

/// Makes this store's peer of a region that is as bootstrap made it, synced. Returns false, and does nothing, if the region is
/// no longer so, has no peer here, or the store has a record of it already (even one of a destroyed peer).
///
/// # Errors
/// The engine's errors.
pub fn create_initial_peer<E: Engine>(engines: &Engines<E>, store_id: u64, region: &Region) -> Result<bool> {
    if region.region_epoch != Some(INITIAL_EPOCH) || peer_on_store(region, store_id).is_none() {
        return Ok(false);
    }
    // lab:begin 2B bootstrap::create_initial_peer  hint="once only: what may the store know of this region already?"
    if engines.kv.get(Cf::Raft, &keys::region_state(region.id))?.is_some() {
        return Ok(false);
    }
    let mut batch = WriteBatch::new();
    put_first_state(&mut batch, region);
    engines.kv.write(batch, Durability::Sync)?;
    Ok(true)
    // lab:end
}

/// The records of a peer whose region has just come into being: nothing is applied, the log is empty and begins behind the initial
/// index. Its raft state is not among them; one that is missing is taken to be the initial one.
pub(crate) fn put_first_state(batch: &mut WriteBatch, region: &Region) {
    let state =
        RegionLocalState { state: PeerState::Normal as i32, region: Some(region.clone()), ..Default::default() };
    let truncated_state = Some(RaftTruncatedState { index: INITIAL_INDEX, term: INITIAL_TERM });
    let apply = RaftApplyState { applied_index: INITIAL_INDEX, truncated_state, ..Default::default() };
    batch.put(Cf::Raft, keys::region_state(region.id), state.encode_to_vec());
    batch.put(Cf::Raft, keys::apply_state(region.id), apply.encode_to_vec());
}
