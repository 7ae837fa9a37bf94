//! The registry of stores: who is in the cluster, at which address, and how they are.
//!
//! Invariants: two stores that are not tombstones never share an address; a tombstone never changes again.

use std::collections::BTreeMap;

use proto::metapb::{NodeState, Store, StoreState};
use proto::pdpb::StoreStats;

use super::error::{Error, Result};

/// A store, as registered and as last heard of.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreInfo {
    /// What is on disk.
    pub meta: Store,
    /// From the last heartbeat; forgotten by a restart.
    pub stats: Option<StoreStats>,
    /// When the last heartbeat came, in milliseconds since 1970.
    pub last_heartbeat_ms: Option<u64>,
}

impl StoreInfo {
    /// Removed for good?
    pub fn is_tombstone(&self) -> bool {
        self.meta.state() == StoreState::Tombstone
    }

    /// The record as clients get it, with the time of the last heartbeat in nanoseconds.
    pub fn to_wire(&self) -> Store {
        let mut store = self.meta.clone();
        let nanoseconds = self.last_heartbeat_ms.unwrap_or(0).saturating_mul(1_000_000);
        store.last_heartbeat = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        store
    }
}

/// All stores, by id.
#[derive(Debug, Default)]
pub struct StoreRegistry {
    stores: BTreeMap<u64, StoreInfo>,
}

impl StoreRegistry {
    pub(crate) fn load(stores: Vec<Store>) -> Self {
        let info = |meta: Store| (meta.id, StoreInfo { meta, stats: None, last_heartbeat_ms: None });
        Self { stores: stores.into_iter().map(info).collect() }
    }

    /// The store with this id, tombstones included.
    pub fn get(&self, store_id: u64) -> Result<&StoreInfo> {
        self.stores.get(&store_id).ok_or(Error::UnknownStore { store_id })
    }

    /// The store with this id, unless it is a tombstone.
    pub fn get_live(&self, store_id: u64) -> Result<&StoreInfo> {
        let store = self.get(store_id)?;
        if store.is_tombstone() { Err(Error::StoreTombstone { store_id }) } else { Ok(store) }
    }

    /// All stores, ordered by id, tombstones included.
    pub fn iter(&self) -> impl Iterator<Item = &StoreInfo> {
        self.stores.values()
    }

    /// May this registration be made? Returns the record to keep: the state is the scheduler's to change, not the store's.
    pub(crate) fn admit(&self, store: &Store) -> Result<Store> {
        let store_id = store.id;
        if store_id == 0 {
            return Err(Error::invalid("a store needs an id other than 0"));
        }
        check_address(&store.address)?;
        let known = self.stores.get(&store_id);
        if known.is_some_and(StoreInfo::is_tombstone) {
            return Err(Error::StoreTombstone { store_id });
        }
        let same_address = |other: &&StoreInfo| {
            other.meta.id != store_id && !other.is_tombstone() && other.meta.address == store.address
        };
        if let Some(other) = self.stores.values().find(same_address) {
            return Err(Error::DuplicateAddress { store_id, address: store.address.clone(), holder: other.meta.id });
        }
        let mut admitted = store.clone();
        admitted.last_heartbeat = 0;
        admitted.state = known.map_or(StoreState::Up as i32, |known| known.meta.state);
        admitted.node_state = known.map_or(NodeState::Serving as i32, |known| known.meta.node_state);
        Ok(admitted)
    }

    pub(crate) fn put(&mut self, meta: Store) {
        match self.stores.get_mut(&meta.id) {
            Some(known) => known.meta = meta,
            None => {
                self.stores.insert(meta.id, StoreInfo { meta, stats: None, last_heartbeat_ms: None });
            }
        }
    }

    pub(crate) fn on_heartbeat(&mut self, stats: StoreStats, now_ms: u64) -> Result<()> {
        self.get_live(stats.store_id)?;
        if let Some(store) = self.stores.get_mut(&stats.store_id) {
            store.stats = Some(stats);
            store.last_heartbeat_ms = Some(now_ms);
        }
        Ok(())
    }
}

/// Clients dial `host:port`; anything else would only fail much later, at them.
fn check_address(address: &str) -> Result<()> {
    let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(()) } else { Err(Error::invalid(format!("store address {address:?} is not host:port"))) }
}
