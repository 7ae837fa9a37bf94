//! Lab tests for real: stores on the threads of production, clients on threads, a clock that runs by itself.
//!
//! What cannot be seen here are the beliefs of peers between two steps, so most of the simulator's invariants are not checked. What is:
//! the clients' history, equal data after equal logs, and the ranges of regions.
//!
//! | file | what it holds |
//! |---|---|
//! | `store.rs` | a store |
//! | `disk.rs` | engines that a crash cuts off |
//! | `network.rs` | the links between stores |
//! | `scheduler.rs` | the way to the scheduler |
//! | `client.rs` | a client |
//! | `driver.rs` | the cluster in the hands of a test |
//! | `checks.rs` | what must hold, and what is told when it does not |

mod checks;
mod client;
pub mod disk;
mod driver;
mod network;
mod scheduler;
mod store;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proto::metapb::Region;
use raftstore::Config;
use raftstore::store::Layout;
use storage::Engine;

use self::disk::{Cut, LabEngine};
use self::network::{Routers, ThreadNetwork};
use self::scheduler::NearScheduler;
use self::store::ThreadStore;
use super::driver::lock;
use super::work::Work;
use crate::clock::VirtualTime;
use crate::history::History;
use crate::rng::SeededRng;
use crate::sim::SimScheduler;

/// How long a tick of the raft clock takes.
pub const TICK: Duration = Duration::from_millis(20);

/// What clients and stores share.
pub struct Shared<E: Engine> {
    seed: u64,
    began: Instant,
    routers: Routers<E>,
    scheduler: Arc<SimScheduler>,
    history: Mutex<History>,
    complaint: Mutex<Option<String>>,
}

impl<E: Engine> Shared<E> {
    fn now(&self) -> VirtualTime {
        VirtualTime::from_micros(self.began.elapsed().as_micros() as u64)
    }

    fn rng(&self, client: u64) -> SeededRng {
        SeededRng::stream(self.seed, &format!("client {client}"))
    }
}

struct ThreadClient {
    thread: JoinHandle<Work>,
    stop: Arc<AtomicBool>,
}

/// See the module.
pub struct ThreadCluster<E: LabEngine> {
    name: String,
    config: Config,
    layout: Layout,
    stores: BTreeMap<u64, ThreadStore<E>>,
    clients: BTreeMap<u64, ThreadClient>,
    shared: Arc<Shared<Cut<E>>>,
    network: ThreadNetwork<Cut<E>>,
    rng: SeededRng,
    crashes: u64,
    folder: Option<tempfile::TempDir>,
    failed: Cell<bool>,
}

impl<E: LabEngine> ThreadCluster<E> {
    /// Stores with the first regions, running.
    ///
    /// # Panics
    /// If a store cannot be made or started.
    pub fn new(name: &str, seed: u64, stores: u64, config: Config, layout: Layout) -> Self {
        let ids: Vec<u64> = (1..=stores).collect();
        let (scheduler, regions) = SimScheduler::new(&ids, ids.len());
        let network = ThreadNetwork::new(SeededRng::stream(seed, "network"));
        let folder = tempfile::Builder::new().prefix(&format!("lab-{name}-")).tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("no folder for the stores: {error}"));
        let shared = Shared {
            seed,
            began: Instant::now(),
            routers: network.routers().clone(),
            scheduler: Arc::new(scheduler),
            history: Mutex::default(),
            complaint: Mutex::default(),
        };
        let mut cluster = Self {
            name: name.to_owned(),
            config,
            layout,
            stores: BTreeMap::new(),
            clients: BTreeMap::new(),
            shared: Arc::new(shared),
            network,
            rng: SeededRng::stream(seed, "crashes"),
            crashes: 0,
            folder: Some(folder),
            failed: Cell::new(false),
        };
        for id in ids {
            cluster.create(id, &regions).unwrap_or_else(|error| panic!("store {id} cannot be made: {error}"));
        }
        cluster
    }

    fn create(&mut self, id: u64, regions: &[Region]) -> raftstore::Result<()> {
        let folder = self.folder.as_ref().expect("invariant: a folder until the end").path();
        let store = ThreadStore::create(id, folder.join(format!("store-{id}")), regions)?;
        self.stores.insert(id, store);
        self.run_store(id)
    }

    fn run_store(&mut self, id: u64) -> raftstore::Result<()> {
        let store = self.stores.get_mut(&id).unwrap_or_else(|| panic!("contract of the test: no store {id}"));
        let scheduler = Arc::new(NearScheduler {
            scheduler: self.shared.scheduler.clone(),
            routers: self.shared.routers.clone(),
            began: self.shared.began,
        });
        let (router, snapshots) = store.start((self.config.clone(), self.layout), self.network.wire(), scheduler)?;
        lock(self.network.folders()).insert(id, snapshots);
        lock(self.network.routers()).insert(id, router);
        Ok(())
    }

    fn stop_all(&mut self) {
        self.clients.values().for_each(|client| client.stop.store(true, Ordering::Relaxed));
        for client in std::mem::take(&mut self.clients).into_values() {
            // A client that panicked has printed why.
            let _ = client.thread.join();
        }
        lock(self.network.routers()).clear();
        self.stores.values_mut().for_each(ThreadStore::stop);
    }
}

impl<E: LabEngine> Drop for ThreadCluster<E> {
    fn drop(&mut self) {
        self.stop_all();
        // An engine that is open still writes into its folder, which could not be removed then.
        self.stores.clear();
        // What a failed run leaves on disk may be what explains it.
        if let Some(folder) = self.folder.take().filter(|_| self.failed.get()) {
            println!("the stores' folders are kept in {}", folder.keep().display());
        }
    }
}
