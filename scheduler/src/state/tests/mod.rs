//! Tests of the state machine, over an engine that loses what was not synced.

mod bootstrap;
mod cluster;
mod gc;
mod ids;
mod operators;
mod region_tree;
mod splits;
mod tso;

use proto::metapb::{Peer, Region, RegionEpoch, Store};
use proto::pdpb::RegionHeartbeatRequest;
use storage::MemEngine;

use super::*;

pub(super) const CLUSTER_ID: u64 = 77;

pub(super) fn options() -> Options {
    Options { new_cluster_id: Some(CLUSTER_ID), max_peer_count: 3 }
}

pub(super) fn open(engine: &MemEngine) -> Cluster<MemEngine> {
    Cluster::open(engine.clone(), options()).unwrap()
}

pub(super) fn store(id: u64) -> Store {
    Store { id, address: format!("127.0.0.1:{}", 20000 + id), ..Default::default() }
}

/// A region with one peer on each store, whose peer ids are region id * 10 + store id.
pub(super) fn region(id: u64, range: (&str, &str), epoch: (u64, u64), stores: &[u64]) -> Region {
    Region {
        id,
        start_key: range.0.to_owned().into(),
        end_key: range.1.to_owned().into(),
        region_epoch: Some(RegionEpoch { conf_ver: epoch.0, version: epoch.1 }),
        peers: stores.iter().map(|store| peer(id, *store)).collect(),
        ..Default::default()
    }
}

pub(super) fn peer(region_id: u64, store_id: u64) -> Peer {
    Peer { id: region_id * 10 + store_id, store_id, ..Default::default() }
}

/// The region, led from its first store.
pub(super) fn led(meta: Region) -> RegionInfo {
    RegionInfo { leader: meta.peers.first().copied(), meta, approximate_size: 10, ..Default::default() }
}

pub(super) fn heartbeat(info: &RegionInfo) -> RegionHeartbeatRequest {
    RegionHeartbeatRequest {
        region: Some(info.meta.clone()),
        leader: info.leader,
        down_peers: info.down_peers.clone(),
        pending_peers: info.pending_peers.clone(),
        approximate_size: info.approximate_size << 20,
        approximate_keys: info.approximate_keys,
        term: info.term,
        ..Default::default()
    }
}

/// Three stores and the first regions ["", m) and [m, "") at epoch (1, 1).
pub(super) fn bootstrapped(engine: &MemEngine) -> Cluster<MemEngine> {
    let mut cluster = open(engine);
    for id in 1..=3 {
        cluster.put_store(&store(id)).unwrap();
    }
    cluster.bootstrap(&store(1), first_regions()).unwrap();
    cluster
}

pub(super) fn first_regions() -> Vec<Region> {
    vec![region(1, ("", "m"), (1, 1), &[1, 2, 3]), region(2, ("m", ""), (1, 1), &[1, 2, 3])]
}
