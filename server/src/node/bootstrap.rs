//! Becoming a member of the cluster: identity, registration, first regions.
//!
//! Each step can be repeated, so a crash anywhere in between does no harm. The scheduler's record is the truth about the first
//! regions: whichever store proposes them first wins, and then every store makes its own peers of what the scheduler knows.

use std::time::Duration;

use client::{Error as SchedulerError, SchedulerClient};
use proto::metapb::{Region, Store, StoreState};
use proto::raft_serverpb::StoreIdent;
use raftstore::Engines;
use raftstore::store::bootstrap::{create_initial_peer, initial_id_count, initial_regions, read_ident, write_ident};
use slog::{Logger, info};
use storage::Engine;
use storage::raw::WallClock as _;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::{Error, Result};

/// The version that a store registers with: the TiKV whose protocol it speaks, because tools compare it with what they need.
const PROTOCOL_VERSION: &str = "7.5.0";
/// How often a store looks whether the others have come.
const POLL: Duration = Duration::from_millis(50);
/// How often it says so.
const POLLS_PER_LINE: u32 = 100;

/// The identity in the engines; a new store gets one from the scheduler and writes it, synced, before anything else.
///
/// # Errors
/// The engines belong to another cluster: nothing is changed. The scheduler or the engines fail.
pub(super) async fn identity<E: Engine>(
    engines: &Engines<E>,
    scheduler: &SchedulerClient,
    log: &Logger,
) -> Result<StoreIdent> {
    let cluster_id = scheduler.cluster_id();
    if let Some(ident) = read_ident(engines).map_err(raftstore_error)? {
        if ident.cluster_id != cluster_id {
            return Err(wrong_cluster(ident.store_id, ident.cluster_id, cluster_id));
        }
        return Ok(ident);
    }
    let store_id = scheduler.alloc_id().await.map_err(scheduler_error)?;
    let ident = StoreIdent { cluster_id, store_id, ..Default::default() };
    write_ident(engines, &ident).map_err(raftstore_error)?;
    info!(log, "new store"; "store" => store_id, "cluster" => cluster_id);
    Ok(ident)
}

/// The data folder is of another cluster than the scheduler.
pub(super) fn wrong_cluster(store_id: u64, folder: u64, scheduler: u64) -> Error {
    Error::Raftstore(format!(
        "the data folder belongs to store {store_id} of cluster {folder}, the scheduler to cluster {scheduler}; name the \
         scheduler of that cluster, or an empty data folder to join this one as a new store"
    ))
}

/// Registers this store, or tells the scheduler its present address.
///
/// # Errors
/// The store was removed from the cluster, or the scheduler fails.
pub(super) async fn register(ident: &StoreIdent, config: &Config, scheduler: &SchedulerClient) -> Result<Store> {
    let store = Store {
        id: ident.store_id,
        address: config.server.public_addr().to_owned(),
        status_address: config.server.status_addr.clone(),
        version: PROTOCOL_VERSION.to_owned(),
        start_timestamp: i64::try_from(SystemClock.unix_seconds()).unwrap_or(0),
        deploy_path: config.storage.data_dir.display().to_string(),
        ..Default::default()
    };
    scheduler.put_store(store.clone()).await.map_err(scheduler_error)?;
    Ok(store)
}

/// Waits until the cluster has its first regions, proposing them once enough stores are there, and makes this store's peers.
///
/// # Errors
/// The scheduler or the engines fail.
pub(super) async fn first_regions<E: Engine>(
    engines: &Engines<E>,
    store: &Store,
    scheduler: &SchedulerClient,
    log: &Logger,
) -> Result<()> {
    let mut polls = 0_u32;
    while !scheduler.is_bootstrapped().await.map_err(scheduler_error)? {
        match propose_regions(store, scheduler).await? {
            Proposed::Done => info!(log, "proposed the first regions of the cluster"),
            Proposed::Waiting { stores, needed } => {
                if polls.is_multiple_of(POLLS_PER_LINE) {
                    info!(log, "waiting for more stores to start the cluster"; "stores" => stores, "needed" => needed);
                }
                polls += 1;
                tokio::time::sleep(POLL).await;
            }
        }
    }
    let regions = scheduler.scan_regions(b"", b"", 0).await.map_err(scheduler_error)?;
    for region in regions.into_iter().filter_map(|region| region.region) {
        if create_initial_peer(engines, store.id, &region).map_err(raftstore_error)? {
            info!(log, "made the first peer of a region"; "region" => region.id);
        }
    }
    Ok(())
}

enum Proposed {
    Done,
    Waiting { stores: usize, needed: usize },
}

async fn propose_regions(store: &Store, scheduler: &SchedulerClient) -> Result<Proposed> {
    let needed = scheduler.get_cluster_config().await.map_err(scheduler_error)?.max_peer_count.max(1) as usize;
    let stores = scheduler.get_all_stores().await.map_err(scheduler_error)?;
    let mut ids: Vec<u64> = stores.iter().filter(|s| s.state == StoreState::Up as i32).map(|s| s.id).collect();
    if ids.len() < needed {
        return Ok(Proposed::Waiting { stores: ids.len(), needed });
    }
    ids.sort_unstable();
    ids.truncate(needed);
    let count = u32::try_from(initial_id_count(needed)).unwrap_or(u32::MAX);
    let mut new_ids = scheduler.alloc_ids(count).await.map_err(scheduler_error)?;
    let regions: Vec<Region> = initial_regions(&ids, &mut new_ids)
        .ok_or_else(|| Error::Scheduler("it gave fewer ids than it was asked for".to_owned()))?;
    match scheduler.bootstrap(store.clone(), regions).await {
        Ok(()) | Err(SchedulerError::AlreadyBootstrapped { .. }) => Ok(Proposed::Done),
        Err(error) => Err(scheduler_error(error)),
    }
}

pub(super) fn scheduler_error(error: SchedulerError) -> Error {
    Error::Scheduler(error.to_string())
}

pub(super) fn raftstore_error(error: raftstore::Error) -> Error {
    match error {
        raftstore::Error::Engine(error) => Error::Storage(error),
        other => Error::Raftstore(other.to_string()),
    }
}
