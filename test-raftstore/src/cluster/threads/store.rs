//! A store of a lab test: its disks, and the threads of production while it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_serverpb::{RegionLocalState, StoreIdent};
use raftstore::snapshot::{MemDir, SnapshotStore};
use raftstore::store::{Layout, bootstrap};
use raftstore::threads::RunningStore;
use raftstore::{Config, Engines, Error, Router, SchedulerLink};
use slog::{Discard, Logger, o};
use storage::{Cf, Reader};

use super::super::PATIENCE;
use super::TICK;
use super::disk::{Cut, LabEngine};
use super::network::Wire;
use crate::rng::SeededRng;

/// See the module.
pub struct ThreadStore<E: LabEngine> {
    folder: PathBuf,
    /// `None` while nobody has them open.
    engines: Option<Engines<Cut<E>>>,
    /// The folder of the snapshots that it makes; it outlives a crash.
    snapshot_dir: MemDir,
    running: Option<RunningStore<Cut<E>>>,
}

impl<E: LabEngine> ThreadStore<E> {
    /// New disks, with the store's identity and a peer of each region. It does not run yet.
    pub fn create(id: u64, folder: PathBuf, regions: &[Region]) -> raftstore::Result<Self> {
        let engines = open::<E>(&folder)?;
        bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id: id, ..Default::default() })?;
        for region in regions {
            bootstrap::create_initial_peer(&engines, id, region)?;
        }
        Ok(Self { folder, engines: Some(engines), snapshot_dir: MemDir::new(), running: None })
    }

    /// Starts the store on what its disks hold. Returns how to reach it, and its snapshots.
    pub fn start(
        &mut self,
        (config, layout): (Config, Layout),
        wire: Wire,
        scheduler: Arc<dyn SchedulerLink>,
    ) -> raftstore::Result<(Router<Cut<E>>, SnapshotStore)> {
        let logger = Logger::root(Discard, o!());
        let engines = match &self.engines {
            Some(engines) => engines.clone(),
            None => self.engines.insert(open::<E>(&self.folder)?).clone(),
        };
        let snapshots = SnapshotStore::new(Arc::new(self.snapshot_dir.clone()), engines.kv.clone());
        let parts = raftstore::build(config, layout, engines, snapshots.clone(), wire, scheduler, &logger)?;
        let router = parts.router.clone();
        self.running = Some(raftstore::threads::start(parts, TICK, &logger)?);
        Ok((router, snapshots))
    }

    /// Ends the store's threads in the middle of whatever they do. False if it did not run.
    ///
    /// # Errors
    /// A stage had failed before, or has panicked when its disk was gone: the crash must not cover that.
    pub fn crash(&mut self, rng: &mut SeededRng) -> raftstore::Result<bool> {
        let (Some(running), Some(engines)) = (self.running.take(), self.engines.take()) else { return Ok(false) };
        let fatal = running.fatal().clone();
        if let Ok(error) = fatal.try_recv() {
            return Err(error);
        }
        engines.kv.cut();
        engines.raft.cut();
        let kv = engines.kv.inner().after_crash(rng);
        let raft = engines.raft.inner().after_crash(rng);
        running.stop();
        drop(engines);
        self.engines = kv.zip(raft).map(|(kv, raft)| Engines { kv: Cut::new(kv), raft: Cut::new(raft) });
        match fatal.try_recv() {
            Ok(panic @ Error::Panicked { .. }) => Err(panic),
            // That a write fails is what the crash is.
            _ => Ok(true),
        }
    }

    /// Ends the store in order.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// The threads, while the store runs.
    pub fn running(&self) -> Option<&RunningStore<Cut<E>>> {
        self.running.as_ref()
    }

    /// The data engine, while somebody has it open.
    pub fn kv(&self) -> Option<&Cut<E>> {
        self.engines.as_ref().map(|engines| &engines.kv)
    }

    /// What the data engine holds under a key, whether the store runs or not.
    pub fn stored(&self, cf: Cf, key: &[u8]) -> Option<Bytes> {
        self.read(|kv| kv.get(cf, key).ok().flatten()).flatten()
    }

    /// The records of all regions, whether the store runs or not.
    pub fn region_states(&self) -> Vec<RegionLocalState> {
        self.read(|kv| raftstore::store::region_states(kv).unwrap_or_default()).unwrap_or_default()
    }

    /// Looks into the data engine, which is opened for it if nobody has it open.
    fn read<T>(&self, look: impl FnOnce(&Cut<E>) -> T) -> Option<T> {
        match self.kv() {
            Some(kv) => Some(look(kv)),
            None => open_engine(&self.folder, "kv").ok().map(|kv| look(&Cut::new(kv))),
        }
    }
}

fn open<E: LabEngine>(folder: &Path) -> raftstore::Result<Engines<Cut<E>>> {
    let engine = |name: &str| open_engine(folder, name).map(Cut::new);
    Ok(Engines { kv: engine("kv")?, raft: engine("raft")? })
}

/// A thread that was at work in the store when it crashed lets go of its engines a moment later.
fn open_engine<E: LabEngine>(folder: &Path, name: &str) -> storage::Result<E> {
    for _ in 0..PATIENCE {
        match E::open(folder, name) {
            Err(storage::Error::Busy { .. }) => thread::sleep(TICK),
            other => return other,
        }
    }
    E::open(folder, name)
}
