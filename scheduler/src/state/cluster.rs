//! Everything the scheduler knows but the time: ids, settings, stores, regions, safe points.

use bytes::Bytes;
use proto::metapb::{self, Region, Store, StoreState};
use proto::pdpb::{RegionHeartbeatRequest, RegionHeartbeatResponse, SplitId, StoreStats};
use storage::{Cf, Durability, Engine, WriteBatch};

use super::error::{Error, Result};
use super::gc::{GcState, SafePoints, ServiceSafePoint};
use super::ids::IdAllocator;
use super::operators::Operators;
use super::records::{self, Records, key_of, put_message};
use super::region::RegionInfo;
use super::region_tree::RegionTree;
use super::stores::StoreRegistry;

/// Most regions that one split may create.
const MAX_SPLIT_COUNT: u32 = 1024;

/// What a scheduler is started with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The cluster's id if there is no cluster on disk yet; not 0, and drawn at random so that no two clusters share it. `None`:
    /// there must be a cluster on disk.
    pub new_cluster_id: Option<u64>,
    /// Replicas of a region, until a client changes it.
    pub max_peer_count: u32,
}

/// The state of one cluster; see the module's documentation and [`super`].
pub struct Cluster<E> {
    pub(super) records: Records<E>,
    cluster_id: u64,
    max_peer_count: u32,
    ids: IdAllocator,
    pub(super) stores: StoreRegistry,
    pub(super) regions: RegionTree,
    pub(super) bootstrapped: bool,
    safe_points: SafePoints,
    pub(super) operators: Operators,
}

impl<E: Engine> Cluster<E> {
    /// Loads what is on disk; on an empty one, starts a new cluster and makes its id durable.
    ///
    /// # Errors
    /// [`Error::ForeignData`] when the engine holds something else. Nothing is written then.
    pub fn open(engine: E, options: Options) -> Result<Self> {
        let records = Records::new(engine);
        let cluster_id = match records.load_u64(records::CLUSTER_ID)? {
            Some(cluster_id) => cluster_id,
            None => create(&records, options)?,
        };
        let config: Option<metapb::Cluster> = records.load_message(records::CONFIG)?;
        let mut regions = RegionTree::default();
        for meta in records.load_all::<Region>(records::REGIONS)? {
            let region = RegionInfo::without_leader(meta);
            region.validate().and_then(|()| regions.admit(&region)).map_err(|error| {
                let message = format!("scheduler record of region {}: {error}", region.id());
                Error::Storage(storage::Error::Corrupted { message })
            })?;
            regions.put(region, &Default::default());
        }
        Ok(Self {
            cluster_id,
            max_peer_count: config.map_or(options.max_peer_count, |config| config.max_peer_count),
            ids: IdAllocator::load(&records)?,
            stores: StoreRegistry::load(records.load_all(records::STORES)?),
            regions,
            bootstrapped: records.exists(records::BOOTSTRAPPED)?,
            safe_points: SafePoints::load(&records)?,
            operators: Operators::default(),
            records,
        })
    }

    /// The cluster's id; it never changes.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The stores.
    pub fn stores(&self) -> &StoreRegistry {
        &self.stores
    }

    /// The regions.
    pub fn regions(&self) -> &RegionTree {
        &self.regions
    }

    /// The largest of `count` new ids (0 counts as 1); durable in the sense that none is handed out twice.
    pub fn alloc_ids(&mut self, count: u32) -> Result<u64> {
        self.ids.alloc(&self.records, count)
    }

    /// The settings.
    pub fn config(&self) -> metapb::Cluster {
        metapb::Cluster { id: self.cluster_id, max_peer_count: self.max_peer_count }
    }

    /// Changes the settings, durably. From then on they win over the ones the process is started with.
    pub fn put_config(&mut self, config: metapb::Cluster) -> Result<()> {
        if config.id != 0 && config.id != self.cluster_id {
            let Self { cluster_id, .. } = self;
            return Err(Error::invalid(format!("settings for cluster {}, this is {cluster_id}", config.id)));
        }
        if config.max_peer_count == 0 {
            return Err(Error::invalid("max_peer_count must be at least 1"));
        }
        let mut batch = WriteBatch::new();
        let config = metapb::Cluster { id: self.cluster_id, ..config };
        put_message(&mut batch, Bytes::from_static(records::CONFIG), &config);
        self.records.commit(batch, Durability::Sync)?;
        self.max_peer_count = config.max_peer_count;
        Ok(())
    }

    /// Registers a store, or updates it; durable when it returns.
    ///
    /// # Errors
    /// [`Error::StoreTombstone`] for a removed id, [`Error::DuplicateAddress`] when another live store has the address.
    pub fn put_store(&mut self, store: &Store) -> Result<()> {
        let store = self.stores.admit(store)?;
        self.commit_store(store)
    }

    /// Moves a store to another state, durably. A tombstone is final, and only for a store without regions.
    pub fn set_store_state(&mut self, store_id: u64, state: StoreState) -> Result<()> {
        let mut store = self.stores.get_live(store_id)?.meta.clone();
        let regions = self.regions.load_of(store_id).region_count;
        if state == StoreState::Tombstone && regions > 0 {
            return Err(Error::invalid(format!("store {store_id} still has {regions} regions")));
        }
        store.state = state as i32;
        store.node_state = match state {
            StoreState::Up => metapb::NodeState::Serving,
            StoreState::Offline => metapb::NodeState::Removing,
            StoreState::Tombstone => metapb::NodeState::Removed,
        } as i32;
        self.commit_store(store)
    }

    fn commit_store(&mut self, store: Store) -> Result<()> {
        let mut batch = WriteBatch::new();
        put_message(&mut batch, key_of(records::STORES, store.id), &store);
        self.records.commit(batch, Durability::Sync)?;
        self.stores.put(store);
        Ok(())
    }

    /// Takes a store's report in. Returns the state it is in.
    pub fn store_heartbeat(&mut self, stats: StoreStats, now_ms: u64) -> Result<metapb::NodeState> {
        self.require_bootstrapped()?;
        let store_id = stats.store_id;
        self.stores.on_heartbeat(stats, now_ms)?;
        Ok(self.stores.get(store_id)?.meta.node_state())
    }

    /// Takes a region leader's report in and answers it. The answer names region and epoch; wishes of the scheduler (operators)
    /// travel in the same message.
    ///
    /// # Errors
    /// [`Error::StaleRegion`] and [`Error::Overlap`] as [`RegionTree::admit`] says; nothing is changed then.
    pub fn region_heartbeat(&mut self, heartbeat: RegionHeartbeatRequest) -> Result<RegionHeartbeatResponse> {
        self.require_bootstrapped()?;
        let region = RegionInfo::from_heartbeat(heartbeat)?;
        if let Some(leader) = &region.leader {
            self.stores.get_live(leader.store_id)?;
        }
        let answer = RegionHeartbeatResponse {
            region_id: region.id(),
            region_epoch: Some(region.epoch()),
            target_peer: region.leader,
            ..Default::default()
        };
        self.put_region(region)?;
        Ok(answer)
    }

    /// Ids for a split of `region` into `split_count` more regions.
    ///
    /// # Errors
    /// [`Error::StaleRegion`] when the region is known at a newer epoch, so that the split would fail anyway.
    pub fn ask_split(&mut self, region: &Region, split_count: u32) -> Result<Vec<SplitId>> {
        self.require_bootstrapped()?;
        if split_count == 0 || split_count > MAX_SPLIT_COUNT {
            return Err(Error::invalid(format!("split count {split_count}, allowed are 1 to {MAX_SPLIT_COUNT}")));
        }
        let asked = RegionInfo::without_leader(region.clone());
        asked.validate()?;
        if self.regions.get(asked.id()).is_none() && self.regions.find(&region.start_key).is_none() {
            return Err(Error::UnknownRegion { region_id: asked.id() });
        }
        self.regions.admit(&asked)?;
        let ids_per_region = 1 + region.peers.len() as u32;
        let count = split_count.saturating_mul(ids_per_region);
        let largest = self.alloc_ids(count)?;
        let mut ids = largest - u64::from(count) + 1..=largest;
        let split_id = |_| {
            let new_region_id = ids.next()?;
            Some(SplitId { new_region_id, new_peer_ids: ids.by_ref().take(region.peers.len()).collect() })
        };
        Ok((0..split_count).map_while(split_id).collect())
    }

    /// Takes in what came out of a split, all parts at once, so that no key is without a region until the heartbeats arrive. What
    /// is known already, or newer, stays.
    pub fn report_split(&mut self, regions: Vec<Region>) -> Result<()> {
        self.require_bootstrapped()?;
        // Looked up for all parts first: taking in the new left half displaces the parent, whose leader still leads the right one.
        let parts: Vec<RegionInfo> = regions.into_iter().map(|part| self.with_known_leader(part)).collect();
        for part in &parts {
            part.validate()?;
        }
        for part in parts {
            if self.regions.get(part.id()).is_some_and(|known| known.epoch() == part.epoch()) {
                continue;
            }
            match self.put_region(part) {
                Ok(()) | Err(Error::StaleRegion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// New metadata, with the leader as far as it is known and still a peer.
    fn with_known_leader(&self, meta: Region) -> RegionInfo {
        let known = self.regions.get(meta.id);
        let still_peer = |leader: &metapb::Peer| meta.peers.iter().any(|peer| peer.id == leader.id);
        RegionInfo {
            leader: known.and_then(|known| known.leader).filter(still_peer),
            term: known.map_or(0, |known| known.term),
            meta,
            ..RegionInfo::default()
        }
    }

    /// Accepts a region into the tree, and onto the disk if its metadata changed.
    ///
    /// Not synced: a crash of the machine may bring back older metadata, which the next heartbeats replace, as they replace what was
    /// missed while the scheduler was down. The order of writes is kept, so a region never comes back next to what displaced it.
    fn put_region(&mut self, region: RegionInfo) -> Result<()> {
        let admission = self.regions.admit(&region)?;
        if admission.meta_changed {
            let mut batch = WriteBatch::new();
            for id in &admission.displaced {
                batch.delete(Cf::Default, key_of(records::REGIONS, *id));
            }
            put_message(&mut batch, key_of(records::REGIONS, region.id()), &region.meta);
            self.records.commit(batch, Durability::Buffered)?;
        }
        self.regions.put(region, &admission);
        Ok(())
    }

    /// The timestamp below which old versions may be removed.
    pub fn gc_safe_point(&self) -> u64 {
        self.safe_points.safe_point()
    }

    /// Moves it forward, durably; returns the one that holds now.
    pub fn advance_gc_safe_point(&mut self, safe_point: u64) -> Result<u64> {
        self.safe_points.advance(&self.records, safe_point)
    }

    /// The safe point and the wishes of services.
    pub fn gc_state(&self, now_ms: u64) -> GcState {
        self.safe_points.state(now_ms / 1000)
    }

    /// Registers, renews or (`ttl` in seconds <= 0) withdraws a service's wish to keep versions from `safe_point` on. Returns the
    /// wish with the smallest timestamp; one below it is not accepted.
    pub fn update_service_safe_point(
        &mut self,
        service_id: &Bytes,
        safe_point: u64,
        ttl: i64,
        now_ms: u64,
    ) -> Result<ServiceSafePoint> {
        self.safe_points.update_service(&self.records, service_id, safe_point, ttl, now_ms / 1000)
    }
}

/// Starts a new cluster on an empty engine.
fn create<E: Engine>(records: &Records<E>, options: Options) -> Result<u64> {
    let foreign = |reason: &str| Err(Error::ForeignData { reason: reason.to_owned() });
    if !records.is_empty()? {
        return foreign("there is data, but no cluster id: it is not a scheduler's data");
    }
    match options.new_cluster_id {
        Some(0) => Err(Error::invalid("a cluster id must not be 0")),
        Some(cluster_id) => {
            records.commit_u64(records::CLUSTER_ID, cluster_id)?;
            Ok(cluster_id)
        }
        None => foreign("the cluster's data is gone"),
    }
}
