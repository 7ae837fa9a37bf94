//! The client of the scheduler that stores use; the protocol is `pdpb.PD`.
//!
//! Each call has a deadline of three seconds an attempt and is tried again with backoff for about five seconds while the transport
//! fails. All calls are safe to repeat: ids and timestamps that get lost are never handed out twice, and a bootstrap that had
//! succeeded unseen comes back as [`Error::AlreadyBootstrapped`].

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::{metapb, operatorpb, pdpb};
use slog::{Logger, info};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::region_heartbeats::{self, RegionHeartbeatSender};
use crate::timestamps::Timestamps;

/// A handle on the scheduler; clones share one connection.
#[derive(Clone)]
pub struct SchedulerClient {
    connection: Arc<Connection>,
    timestamps: Timestamps,
}

impl SchedulerClient {
    /// Connects through the first endpoint that answers, `host:port` or `http://host:port`; learns the cluster id and the leader.
    /// Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`] and [`Error::NotAScheduler`] for a wrong address, [`Error::Unreachable`] (retryable) when nothing answers.
    pub async fn connect(endpoints: Vec<String>, logger: Logger) -> Result<Self> {
        let connection = Arc::new(Connection::open(endpoints, logger).await?);
        Ok(Self { timestamps: Timestamps::new(connection.clone()), connection })
    }

    /// [`SchedulerClient::connect`], again and again for up to `patience` while the scheduler cannot be reached: at the start of
    /// a cluster all processes come up at once.
    pub async fn connect_within(endpoints: Vec<String>, patience: Duration, logger: Logger) -> Result<Self> {
        let deadline = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        loop {
            match Self::connect(endpoints.clone(), logger.clone()).await {
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    info!(logger, "waiting for the scheduler"; "error" => %error);
                    tokio::time::sleep(backoff.step()).await;
                }
                result => return result,
            }
        }
    }

    /// The id of the cluster; it never changes.
    pub fn cluster_id(&self) -> u64 {
        self.connection.cluster_id()
    }

    /// One id that no one else gets, for a store, a region or a peer.
    pub async fn alloc_id(&self) -> Result<u64> {
        Ok(*self.alloc_ids(1).await?.end())
    }

    /// `count` (at least 1) consecutive ids.
    pub async fn alloc_ids(&self, count: u32) -> Result<RangeInclusive<u64>> {
        let count = count.max(1);
        let request = pdpb::AllocIdRequest { header: self.connection.header(), count };
        let send = |mut client: Client, request| async move { client.alloc_id(request).await };
        let response = self.connection.call("AllocID", request, send).await?;
        // On the wire `id` is the largest one.
        match response.id.checked_sub(u64::from(count) - 1) {
            Some(first @ 1..) => Ok(first..=response.id),
            _ => Err(Error::MissingField { method: "AllocID", field: "id" }),
        }
    }

    /// Does the cluster have its first regions?
    pub async fn is_bootstrapped(&self) -> Result<bool> {
        let request = pdpb::IsBootstrappedRequest { header: self.connection.header() };
        let send = |mut client: Client, request| async move { client.is_bootstrapped(request).await };
        Ok(self.connection.call("IsBootstrapped", request, send).await?.bootstrapped)
    }

    /// Gives the cluster its first regions, which cover the key space; one store wins.
    ///
    /// # Errors
    /// [`Error::AlreadyBootstrapped`] when another store was faster, or an earlier attempt of this one had succeeded.
    pub async fn bootstrap(&self, store: metapb::Store, regions: Vec<metapb::Region>) -> Result<()> {
        let request = pdpb::BootstrapRequest {
            header: self.connection.header(),
            store: Some(store),
            region: regions.first().cloned(),
            regions,
        };
        let send = |mut client: Client, request| async move { client.bootstrap(request).await };
        self.connection.call("Bootstrap", request, send).await.map(drop)
    }

    /// Registers a store or updates its address, labels and version.
    pub async fn put_store(&self, store: metapb::Store) -> Result<()> {
        let request = pdpb::PutStoreRequest { header: self.connection.header(), store: Some(store) };
        let send = |mut client: Client, request| async move { client.put_store(request).await };
        self.connection.call("PutStore", request, send).await.map(drop)
    }

    /// A store's record, e.g. to find its address. A removed store has the state `Tombstone`.
    ///
    /// # Errors
    /// [`Error::StoreNotFound`] for an id that was never registered.
    pub async fn get_store(&self, store_id: u64) -> Result<metapb::Store> {
        let request = pdpb::GetStoreRequest { header: self.connection.header(), store_id };
        let send = |mut client: Client, request| async move { client.get_store(request).await };
        match self.connection.call("GetStore", request, send).await {
            Ok(response) => response.store.ok_or(Error::MissingField { method: "GetStore", field: "store" }),
            Err(Error::Refused { message, .. }) if message.contains("not found") => {
                Err(Error::StoreNotFound { store_id, message })
            }
            Err(error) => Err(error),
        }
    }

    /// All stores that have not been removed, ordered by id.
    pub async fn get_all_stores(&self) -> Result<Vec<metapb::Store>> {
        let request = pdpb::GetAllStoresRequest { header: self.connection.header(), exclude_tombstone_stores: true };
        let send = |mut client: Client, request| async move { client.get_all_stores(request).await };
        Ok(self.connection.call("GetAllStores", request, send).await?.stores)
    }

    /// The cluster's settings, of which `max_peer_count` is the number of replicas of a region.
    pub async fn get_cluster_config(&self) -> Result<metapb::Cluster> {
        let request = pdpb::GetClusterConfigRequest { header: self.connection.header() };
        let send = |mut client: Client, request| async move { client.get_cluster_config(request).await };
        let response = self.connection.call("GetClusterConfig", request, send).await?;
        response.cluster.ok_or(Error::MissingField { method: "GetClusterConfig", field: "cluster" })
    }

    /// The regions that overlap `[start_key, end_key)` (`end_key` empty: to the end) in key order, `limit` of them at most (0: all).
    pub async fn scan_regions(&self, start_key: &[u8], end_key: &[u8], limit: u32) -> Result<Vec<pdpb::Region>> {
        let request = pdpb::ScanRegionsRequest {
            header: self.connection.header(),
            start_key: start_key.to_vec().into(),
            end_key: end_key.to_vec().into(),
            limit: limit.try_into().unwrap_or(i32::MAX),
        };
        let send = |mut client: Client, request| async move { client.scan_regions(request).await };
        Ok(self.connection.call("ScanRegions", request, send).await?.regions)
    }

    /// The region that holds `key`, with its leader if the scheduler knows it. `None` while no region is known for the key.
    pub async fn get_region(&self, key: &[u8]) -> Result<Option<pdpb::Region>> {
        let request = pdpb::GetRegionRequest {
            header: self.connection.header(),
            region_key: key.to_vec().into(),
            ..Default::default()
        };
        let send = |mut client: Client, request| async move { client.get_region(request).await };
        Ok(region_of(self.connection.call("GetRegion", request, send).await?))
    }

    /// The region with this id. `None`: the scheduler does not know it (any more).
    pub async fn get_region_by_id(&self, region_id: u64) -> Result<Option<pdpb::Region>> {
        let request = pdpb::GetRegionByIdRequest { header: self.connection.header(), region_id, ..Default::default() };
        let send = |mut client: Client, request| async move { client.get_region_by_id(request).await };
        Ok(region_of(self.connection.call("GetRegionByID", request, send).await?))
    }

    /// Reports a store's condition; the answer carries wishes of the scheduler.
    pub async fn store_heartbeat(&self, stats: pdpb::StoreStats) -> Result<pdpb::StoreHeartbeatResponse> {
        let request = pdpb::StoreHeartbeatRequest { header: self.connection.header(), stats: Some(stats) };
        let send = |mut client: Client, request| async move { client.store_heartbeat(request).await };
        self.connection.call("StoreHeartbeat", request, send).await
    }

    /// Ids for the `split_count` regions that a split of `region` will create, one peer id for each of its peers.
    pub async fn ask_batch_split(&self, region: metapb::Region, split_count: u32) -> Result<Vec<pdpb::SplitId>> {
        let request = pdpb::AskBatchSplitRequest {
            header: self.connection.header(),
            region: Some(region),
            split_count,
            ..Default::default()
        };
        let send = |mut client: Client, request| async move { client.ask_batch_split(request).await };
        Ok(self.connection.call("AskBatchSplit", request, send).await?.ids)
    }

    /// Tells the scheduler about all regions that came out of a split, so that no key is without a region until their heartbeats.
    pub async fn report_batch_split(&self, regions: Vec<metapb::Region>) -> Result<()> {
        let request = pdpb::ReportBatchSplitRequest { header: self.connection.header(), regions };
        let send = |mut client: Client, request| async move { client.report_batch_split(request).await };
        self.connection.call("ReportBatchSplit", request, send).await.map(drop)
    }

    /// Has something done with a region, step by step, in place of what was ordered for it before. `header` is filled in here. Returns what
    /// was ordered, for people; [`SchedulerClient::get_operator`] tells what becomes of it.
    ///
    /// # Errors
    /// [`Error::Refused`] for what cannot be done.
    pub async fn add_operator(&self, request: operatorpb::AddOperatorRequest) -> Result<String> {
        let request = operatorpb::AddOperatorRequest { header: self.connection.header(), ..request };
        let send = |_: Client, request| {
            let mut operators = self.connection.operators();
            async move { operators.add_operator(request).await }
        };
        Ok(self.connection.call("AddOperator", request, send).await?.description)
    }

    /// What was ordered last for a region, and how that stands.
    ///
    /// # Errors
    /// [`Error::Refused`] if nothing was, or nobody remembers it.
    pub async fn get_operator(&self, region_id: u64) -> Result<(String, pdpb::OperatorStatus)> {
        let request = pdpb::GetOperatorRequest { header: self.connection.header(), region_id };
        let send = |mut client: Client, request| async move { client.get_operator(request).await };
        let response = self.connection.call("GetOperator", request, send).await?;
        Ok((String::from_utf8_lossy(&response.desc).into_owned(), response.status()))
    }

    /// Opens the stream of region heartbeats and keeps it open, reconnecting with backoff, until all senders or the receiver are
    /// dropped. Sending never blocks; headers are filled in here.
    pub fn region_heartbeats(&self) -> (RegionHeartbeatSender, mpsc::Receiver<pdpb::RegionHeartbeatResponse>) {
        region_heartbeats::start(self.connection.clone())
    }

    /// The largest of `count` (1 to 1000) new timestamps, all larger than any handed out before. Calls of many tasks share
    /// one stream and its round trips.
    pub async fn tso(&self, count: u32) -> Result<pdpb::Timestamp> {
        self.timestamps.get(count).await
    }

    /// The timestamp below which old versions may be removed.
    pub async fn get_gc_safe_point(&self) -> Result<u64> {
        let request = pdpb::GetGcSafePointRequest { header: self.connection.header() };
        let send = |mut client: Client, request| async move { client.get_gc_safe_point(request).await };
        Ok(self.connection.call("GetGCSafePoint", request, send).await?.safe_point)
    }
}

type Client = pdpb::pd_client::PdClient<tonic::transport::Channel>;

fn region_of(response: pdpb::GetRegionResponse) -> Option<pdpb::Region> {
    Some(pdpb::Region {
        region: Some(response.region?),
        leader: response.leader,
        down_peers: response.down_peers,
        pending_peers: response.pending_peers,
        ..Default::default()
    })
}
