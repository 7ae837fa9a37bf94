//! The store itself: who it is, which regions it starts with, and the loading of its peers.
//!
//! [`build`] makes the stages of a store from two engines that hold its identity; a driver then runs them.

pub mod bootstrap;
mod create;
mod load;
mod machine;
mod meta;
mod tombstone;

use std::sync::Arc;

use crossbeam_channel::unbounded;
use proto::raft_serverpb::RegionLocalState;
use slog::{Logger, o};
use storage::{Cf, Cursor, Engine, Reader};

pub use machine::StoreMachine;
pub use meta::{SharedMeta, StoreMeta};
pub use tombstone::Tombstone;
pub(crate) use tombstone::put_tombstone;

use crate::{
    apply::ApplyWorker,
    batch::Router,
    config::Config,
    env::{Engines, SchedulerLink, Transport},
    error::{Error, Result},
    keys,
    log_writer::LogWriter,
    metrics::Metrics,
    peer::PeerContext,
    peer_storage::decode,
    poller::{Downstream, PersistRoute, RaftPoller},
    snapshot::SnapshotStore,
    worker::Worker,
};

/// How the stages of a store are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pollers of the raft stage, at least 1.
    pub pollers: usize,
    /// Apply workers, at least 1. A region always goes to the same one.
    pub apply_workers: usize,
    /// Write the raft log in a stage of its own. Without, each poller writes at the end of its round.
    pub log_writer: bool,
    /// Background workers, at least 1. They share one queue.
    pub background_workers: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Layout { pollers: 1, apply_workers: 1, log_writer: true, background_workers: 2 }
    }
}

/// The stages of a store.
pub struct StoreParts<E: Engine, T: Transport> {
    /// Way to the peers.
    pub router: Router<E>,
    /// The raft stage.
    pub pollers: Vec<RaftPoller<E, T>>,
    /// The persist stage, if it is one of its own.
    pub log_writer: Option<LogWriter<E, T>>,
    /// The apply stage.
    pub apply_workers: Vec<ApplyWorker<E>>,
    /// The background workers.
    pub workers: Vec<Worker<E>>,
}

/// Loads the store whose data is in `engines` and makes its stages.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense, [`Error::Corrupted`] for data that makes none, the engines' errors.
pub fn build<E: Engine, T: Transport>(
    config: Config,
    layout: Layout,
    engines: Engines<E>,
    snapshots: SnapshotStore,
    transport: T,
    scheduler: Arc<dyn SchedulerLink>,
    logger: &Logger,
) -> Result<StoreParts<E, T>> {
    config.validate()?;
    let ident = bootstrap::read_ident(&engines)?
        .ok_or_else(|| Error::Corrupted("the engines hold no store ident; bootstrap the store first".to_owned()))?;
    let logger = logger.new(o!("store" => ident.store_id));
    let (config, metrics) = (Arc::new(config), Arc::new(Metrics::default()));
    let machine = StoreMachine::new(ident.store_id, &config, scheduler.clone());
    let (router, ready) = Router::new(Box::new(machine), config.mailbox_capacity, metrics.clone());
    let context = Arc::new(PeerContext {
        store_id: ident.store_id,
        engines: engines.clone(),
        config: config.clone(),
        metrics,
        meta: router.meta().clone(),
        snapshots: snapshots.clone(),
        logger: logger.clone(),
    });
    let (persist_sender, persist_tasks) = unbounded();
    let writer = || {
        let max_bytes = config.max_write_batch_bytes;
        LogWriter::new(engines.clone(), transport.clone(), router.clone(), persist_tasks.clone(), max_bytes)
    };
    let (background, background_tasks) = unbounded();
    let (apply_senders, apply_workers): (Vec<_>, Vec<_>) = (0..layout.apply_workers.max(1))
        .map(|_| {
            let (sender, tasks) = unbounded();
            let (kv, router) = (engines.kv.clone(), router.clone());
            (sender, ApplyWorker::new(ident.store_id, kv, router, tasks, background.clone()))
        })
        .unzip();
    let worker = || {
        let (engines, snapshots, tasks) = (engines.clone(), snapshots.clone(), background_tasks.clone());
        Worker::new(&config, engines, router.clone(), snapshots, tasks, logger.clone())
    };
    let workers = (0..layout.background_workers.max(1)).map(|_| worker()).collect();
    let downstream = Downstream { apply: apply_senders, background };
    let pollers = (0..layout.pollers.max(1))
        .map(|_| {
            let persist = match layout.log_writer {
                true => PersistRoute::Stage(persist_sender.clone()),
                false => PersistRoute::Inline(writer()),
            };
            let (router, ready, transport) = (router.clone(), ready.clone(), transport.clone());
            RaftPoller::new(context.clone(), router, ready, transport, persist, downstream.clone(), scheduler.clone())
        })
        .collect();
    let log_writer = layout.log_writer.then(writer);
    load::load_peers(&context, &router)?;
    Ok(StoreParts { router, pollers, log_writer, apply_workers, workers })
}

/// All region states of a kv engine, ordered by region id.
///
/// # Errors
/// [`Error::Corrupted`] if one does not decode; the engine's errors.
pub fn region_states<R: Reader>(kv: &R) -> Result<Vec<RegionLocalState>> {
    let (start, end) = keys::region_state_range();
    let mut cursor = kv.cursor(Cf::Raft, Some(&start), Some(&end))?;
    let mut states = Vec::new();
    cursor.seek_to_first();
    while cursor.valid() {
        keys::region_id_of_state(cursor.key())?;
        states.push(decode(bytes::Bytes::copy_from_slice(cursor.value()), cursor.key())?);
        cursor.next();
    }
    cursor.status()?;
    Ok(states)
}
