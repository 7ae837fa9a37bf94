//! From a configuration to a running store: ports, data folder, engines.

use std::sync::Arc;

use raftstore::Engines;
use slog::Logger;
use storage::raw::WallClock;
use storage::{Engine, RocksEngine, RocksOptions};

use super::replicated::{self, EngineExtras, Membership};
use super::{Node, Ports, standalone};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data_dir::{DataDir, Kind, Owner};
use crate::{Error, Result};

/// Starts a store without replication over RocksDB.
///
/// # Errors
/// A busy port, a data folder that cannot be used, an engine that does not open.
pub async fn open_standalone(config: &Config, log: &Logger) -> Result<Node> {
    let ports = Ports::bind(&config.server).await?;
    let mut dir = DataDir::open(&config.storage.data_dir, Kind::Standalone)?;
    let mut options = kv_options(config);
    // Here the engine's own log is synced by every write, as the raft log is in a replicated store.
    options.primed_wal_files = 2;
    // Only here: a replica that lags may still have to apply a compare-and-swap that was decided before a pair expired, and would
    // decide otherwise than the others if a compaction had dropped the pair. So a replicated store keeps expired pairs until they
    // are overwritten or deleted; readers do not see them.
    options.expiry = Some(storage::engine::rocks::Expiry::new(Arc::new(|| SystemClock.unix_seconds())));
    let kv = open_engine(dir.kv(), options).await?;
    dir.mark_complete(None)?;
    let engine = kv.clone();
    standalone::serve(ports, kv, config, log, move || {
        engine.sync()?;
        engine.flush()?;
        drop(dir);
        Ok(())
    })
    .await
}

/// Starts a member of a cluster over two RocksDB databases.
///
/// # Errors
/// A busy port, a data folder that cannot be used or belongs to another cluster, a scheduler that refuses this store.
pub async fn open_replicated(config: &Config, log: &Logger) -> Result<Node> {
    let ports = Ports::bind(&config.server).await?;
    let mut dir = DataDir::open(&config.storage.data_dir, Kind::Replicated)?;
    let scheduler = replicated::connect(config, log).await?;
    if let Some(Owner { cluster_id, store_id }) = dir.owner().filter(|o| o.cluster_id != scheduler.cluster_id()) {
        return Err(replicated::wrong_cluster(store_id, cluster_id, scheduler.cluster_id()));
    }
    let kv = open_engine(dir.kv(), kv_options(config)).await?;
    let raft = open_engine(dir.raft(), RocksOptions::raft_log()).await?;
    let engines = Engines { kv: kv.clone(), raft: raft.clone() };
    let ident = replicated::identity(&engines, &scheduler, log).await?;
    dir.mark_complete(Some(Owner { cluster_id: ident.cluster_id, store_id: ident.store_id }))?;
    let extras: Vec<(&'static str, Arc<dyn EngineExtras>)> =
        vec![("kv", Arc::new(kv.clone())), ("raft", Arc::new(raft.clone()))];
    replicated::serve(ports, engines, Membership { ident, scheduler }, extras, config, log, move || {
        // Raft first: nothing that the data has seen may be missing from the log.
        raft.sync()?;
        kv.flush()?;
        raft.flush()?;
        drop(dir);
        Ok(())
    })
    .await
}

impl EngineExtras for RocksEngine {
    fn memory(&self) -> Vec<(&'static str, u64)> {
        // A number that cannot be read is left out; the next reading may succeed.
        self.memory_usage().map_or_else(
            |_| Vec::new(),
            |usage| {
                vec![
                    ("memtables", usage.memtables),
                    ("block_cache", usage.block_cache),
                    ("block_cache_pinned", usage.block_cache_pinned),
                    ("table_readers", usage.table_readers),
                ]
            },
        )
    }
}

/// Opening replays logs and makes files, which takes a while: not on a thread of the async runtime.
async fn open_engine(path: std::path::PathBuf, options: RocksOptions) -> Result<RocksEngine> {
    match tokio::task::spawn_blocking(move || RocksEngine::open(path, options)).await {
        Ok(opened) => Ok(opened?),
        Err(e) => Err(Error::Raftstore(format!("opening an engine failed: {e}"))),
    }
}

fn kv_options(config: &Config) -> RocksOptions {
    let mut options = RocksOptions::kv();
    options.block_cache_bytes = config.storage.block_cache.as_usize();
    options.write_buffer_bytes = config.storage.write_buffer.as_usize();
    options.total_write_buffer_bytes = options.write_buffer_bytes.saturating_mul(3);
    options
}
