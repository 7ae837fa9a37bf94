//! What the store tells the scheduler, and where it learns the addresses of other stores.
//!
//! Reports are fire and forget: raft threads hand them over without waiting. Region reports go through the client's stream, which
//! keeps the newest of each region while the scheduler is away; of the store's own reports only the newest is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use client::{RegionHeartbeatSender, SchedulerClient};
use proto::{metapb, pdpb};
use slog::{Logger, debug};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::transport::{Addresses, Lookup};
use storage::raw::WallClock as _;

/// Implements raftstore's link over the scheduler's client.
pub(super) struct Link {
    scheduler: SchedulerClient,
    runtime: Handle,
    log: Logger,
    regions: RegionHeartbeatSender,
    store: watch::Sender<Option<pdpb::StoreStats>>,
}

/// The task behind a [`Link`]; ends when it is dropped.
pub(super) struct LinkTask(JoinHandle<()>);

impl Drop for LinkTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Starts reporting. `data_dir` is where free space is measured.
    pub(super) fn start(scheduler: &SchedulerClient, data_dir: &Path, log: &Logger) -> (Arc<Self>, LinkTask) {
        let (regions, mut answers) = scheduler.region_heartbeats();
        let (store, reports) = watch::channel(None);
        let reporter = report_store(scheduler.clone(), reports, data_dir.to_path_buf(), log.clone());
        let task = tokio::spawn(async move {
            // Answers carry what the scheduler wants done with a region. Nothing of that is known yet, but they must be read.
            let ignore_answers = async { while answers.recv().await.is_some() {} };
            tokio::join!(reporter, ignore_answers);
        });
        let (scheduler, runtime) = (scheduler.clone(), Handle::current());
        (Arc::new(Self { scheduler, runtime, log: log.clone(), regions, store }), LinkTask(task))
    }
}

impl raftstore::SchedulerLink for Link {
    fn region_heartbeat(&self, heartbeat: pdpb::RegionHeartbeatRequest) {
        self.regions.send(heartbeat);
    }

    fn store_heartbeat(&self, stats: pdpb::StoreStats) {
        self.store.send_replace(Some(stats));
    }

    /// A region asks once at a time and waits for the answer, so there are no more of these tasks than regions.
    fn ask_split(&self, region: metapb::Region, new_regions: u32, callback: raftstore::SplitIdsCallback) {
        let scheduler = self.scheduler.clone();
        self.runtime.spawn(async move {
            let ids = scheduler.ask_batch_split(region, new_regions).await;
            callback(ids.map_err(|error| error.to_string()));
        });
    }

    fn report_split(&self, parts: Vec<metapb::Region>) {
        let (scheduler, log) = (self.scheduler.clone(), self.log.clone());
        self.runtime.spawn(async move {
            if let Err(error) = scheduler.report_batch_split(parts).await {
                debug!(log, "the report of a split did not reach the scheduler"; "error" => %error);
            }
        });
    }
}

async fn report_store(
    scheduler: SchedulerClient,
    mut reports: watch::Receiver<Option<pdpb::StoreStats>>,
    data_dir: PathBuf,
    log: Logger,
) {
    let start_time = u32::try_from(SystemClock.unix_seconds()).unwrap_or(u32::MAX);
    while reports.changed().await.is_ok() {
        let Some(mut stats) = reports.borrow_and_update().clone() else { continue };
        stats.start_time = start_time;
        if let Ok(space) = rustix::fs::statvfs(&data_dir) {
            stats.capacity = space.f_blocks.saturating_mul(space.f_frsize);
            stats.available = space.f_bavail.saturating_mul(space.f_frsize);
            stats.used_size = stats.capacity.saturating_sub(space.f_bfree.saturating_mul(space.f_frsize));
        }
        if let Err(error) = scheduler.store_heartbeat(stats).await {
            debug!(log, "the store's report did not reach the scheduler"; "error" => %error);
        }
    }
}

/// Addresses of stores, asked of the scheduler each time a connection is tried, because they may have moved. While the
/// scheduler is away the last known address is used.
#[derive(Clone)]
pub(super) struct StoreAddresses {
    scheduler: SchedulerClient,
    known: Arc<Mutex<BTreeMap<u64, String>>>,
}

impl StoreAddresses {
    pub(super) fn new(scheduler: SchedulerClient) -> Self {
        Self { scheduler, known: Arc::default() }
    }
}

impl Addresses for StoreAddresses {
    async fn lookup(&self, store_id: u64) -> Lookup {
        let asked = self.scheduler.get_store(store_id).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(store) if store.state == metapb::StoreState::Tombstone as i32 => Lookup::Gone,
            Ok(store) => {
                known.insert(store_id, store.address.clone());
                Lookup::At(store.address)
            }
            Err(error) => match known.get(&store_id) {
                Some(address) => Lookup::At(address.clone()),
                None => Lookup::Unknown(error.to_string()),
            },
        }
    }
}
