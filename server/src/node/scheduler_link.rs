//! What the store tells the scheduler, and where it learns the addresses of other stores.
//!
//! Reports are fire and forget: raft threads hand them over without waiting. Region reports go through the client's stream, which
//! keeps the newest of each region while the scheduler is away; of the store's own reports only the newest is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{RegionHeartbeatSender, SchedulerClient};
use proto::raft_cmdpb::{AdminRequest, AdminResponse};
use proto::{metapb, pdpb};
use raftstore::orders::command_of;
use raftstore::{AdminCommand, RequestHeader, Router};
use slog::{Logger, debug, info};
use storage::Engine;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
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

/// The tasks behind a [`Link`]; they end when it is dropped.
pub(super) struct LinkTask {
    reporter: JoinHandle<()>,
    orders: JoinHandle<()>,
}

impl Drop for LinkTask {
    fn drop(&mut self) {
        self.reporter.abort();
        self.orders.abort();
    }
}

/// What the scheduler wants done with regions, in its answers to their leaders' reports.
pub(super) struct Orders(mpsc::Receiver<pdpb::RegionHeartbeatResponse>);

/// Hands the orders to the regions, as commands like those of anybody else.
async fn follow<E: Engine>(mut orders: Orders, router: Router<E>, log: Logger) {
    while let Some(answer) = orders.0.recv().await {
        if let Some((header, request)) = command_of(answer) {
            tokio::spawn(carry_out(header, request, router.clone(), log.clone()));
        }
    }
}

/// Tries of one order, and the pause between them. After that it has to be given again, with the next report of the region.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// A region that is busy, such as one whose leader has just been elected, is asked again soon: the next report may be a minute away.
/// The epoch in the order sees to it that nothing is done twice.
async fn carry_out<E: Engine>(header: RequestHeader, request: AdminRequest, router: Router<E>, log: Logger) {
    let (region_id, what) = (header.region_id, request.cmd_type().as_str_name());
    for _ in 0..TRIES {
        let (answer, outcome) = oneshot::channel();
        let callback = Box::new(move |result: raftstore::Result<AdminResponse>| {
            // Nobody waits any more when the store stops.
            let _ = answer.send(result);
        });
        router.admin(AdminCommand { header: header.clone(), request: request.clone(), callback });
        match outcome.await {
            Ok(Ok(_)) => return info!(log, "did what the scheduler ordered"; "region" => region_id, "what" => what),
            Ok(Err(error)) => {
                info!(log, "did not do what the scheduler ordered"; "region" => region_id, "what" => what, "why" => %error);
                if !matches!(error, raftstore::Error::ServerIsBusy { .. }) {
                    return;
                }
            }
            Err(_) => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Link {
    /// A link over which nothing is reported yet.
    pub(super) fn new(scheduler: &SchedulerClient, log: &Logger) -> (Arc<Self>, Orders) {
        let (regions, orders) = scheduler.region_heartbeats();
        let store = watch::Sender::new(None);
        let (scheduler, runtime) = (scheduler.clone(), Handle::current());
        (Arc::new(Self { scheduler, runtime, log: log.clone(), regions, store }), Orders(orders))
    }

    /// Starts reporting, and following the scheduler's orders. `data_dir` is where free space is measured.
    pub(super) fn start<E: Engine>(&self, orders: Orders, router: Router<E>, data_dir: &Path) -> LinkTask {
        let (scheduler, reports, log) = (self.scheduler.clone(), self.store.subscribe(), self.log.clone());
        LinkTask {
            reporter: tokio::spawn(report_store(scheduler, reports, data_dir.to_path_buf(), log.clone())),
            orders: tokio::spawn(follow(orders, router, log)),
        }
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

    /// A region asks now and then, while it is without a leader.
    fn ask_region(&self, region_id: u64, callback: raftstore::RegionCallback) {
        let (scheduler, log) = (self.scheduler.clone(), self.log.clone());
        self.runtime.spawn(async move {
            match scheduler.get_region_by_id(region_id).await {
                Ok(known) => {
                    if let Some(region) = known.and_then(|known| known.region) {
                        callback(region);
                    }
                }
                Err(error) => {
                    debug!(log, "the scheduler was not asked for a region"; "region" => region_id, "error" => %error);
                }
            }
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
