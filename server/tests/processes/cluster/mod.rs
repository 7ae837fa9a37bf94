//! A cluster of real processes for the integration tests and benchmarks: one scheduler and N stores on free local ports.
//!
//! Everything lives in one temporary folder under the build's target folder (a real disk, not a shared temp folder): a data
//! folder and a log file per process. Dropping the [`Cluster`] kills every process it started and, when the test is
//! failing, prints the end of every log first. `TINYKV_KEEP=1` keeps the folder. Waiting is always polling with a bound,
//! and a wait that runs out says what it waited for and what it saw last.
//!
//! Store numbers in this module count from 0 in the order of starting; they are not the ids that the scheduler gives out.

// The tests and each benchmark compile this module for themselves and use different parts of it.
#![allow(dead_code)]

pub mod engine;
pub mod ports;
pub mod process;
pub mod rpc;
pub mod status;
pub mod wait;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use process::Process;
use proto::metapb;
use rpc::Located;
use tempfile::TempDir;
use wait::wait_until;

/// How long a started cluster may take to elect and serve. Generous: test machines are busy.
pub const START_BOUND: Duration = Duration::from_secs(60);
/// How long a process may take to stop in good order.
pub const STOP_BOUND: Duration = Duration::from_secs(20);
/// Lines of each log that a failing test prints.
const LOG_TAIL_LINES: usize = 40;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of stores.
    pub stores: usize,
    /// TOML text given to every store as its configuration file.
    pub store_config: Option<String>,
    /// Folder to put the cluster's folder into; the target folder by default.
    pub parent: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { stores: 3, store_config: None, parent: None }
    }
}

/// A store's place on this machine and, while it runs, its process.
struct Store {
    addr: String,
    status_addr: String,
    data_dir: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

/// A scheduler and its stores, all of them processes of their own.
pub struct Cluster {
    folder: TempDir,
    scheduler_addr: String,
    scheduler: Option<Process>,
    stores: Vec<Store>,
    config_file: Option<PathBuf>,
}

impl Cluster {
    /// Starts a cluster of three stores and waits until it serves.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a cluster and waits until every region has a leader that answers.
    pub async fn start_with(options: Options) -> Self {
        let mut cluster = Self::prepare(options);
        cluster.start_scheduler().await;
        for store in 0..cluster.stores.len() {
            cluster.start_store(store);
        }
        cluster.wait_serving(START_BOUND).await;
        cluster
    }

    /// Chooses folders and ports, starts nothing.
    pub fn prepare(options: Options) -> Self {
        let parent = options.parent.unwrap_or_else(default_parent);
        std::fs::create_dir_all(&parent).expect("create the parent folder of the cluster");
        let folder =
            tempfile::Builder::new().prefix("cluster-").tempdir_in(parent).expect("create the cluster's folder");
        let config_file = options.store_config.map(|text| {
            let path = folder.path().join("store.toml");
            std::fs::write(&path, text).expect("write the stores' configuration file");
            path
        });
        let stores = (0..options.stores)
            .map(|number| Store {
                addr: ports::free_address(),
                status_addr: ports::free_address(),
                data_dir: folder.path().join(format!("store-{number}")),
                log: folder.path().join(format!("store-{number}.log")),
                process: None,
            })
            .collect();
        Cluster { folder, scheduler_addr: ports::free_address(), scheduler: None, stores, config_file }
    }

    /// Starts the scheduler (again) and waits until it answers.
    pub async fn start_scheduler(&mut self) {
        assert!(self.scheduler.is_none(), "the scheduler is running already");
        let data_dir = self.folder.path().join("scheduler");
        let args = vec![
            "--addr".to_owned(),
            self.scheduler_addr.clone(),
            "--data-dir".to_owned(),
            data_dir.display().to_string(),
        ];
        let log = self.folder.path().join("scheduler.log");
        self.scheduler = Some(Process::spawn("scheduler", &process::scheduler_binary(), &args, &log));
        let addr = self.scheduler_addr.clone();
        wait_until("the scheduler to answer GetMembers", START_BOUND, || rpc::cluster_id(&addr)).await;
    }

    /// Starts store `number` (again) on its own ports and data folder. Does not wait.
    pub fn start_store(&mut self, number: usize) {
        let args = self.store_args(number);
        let store = &mut self.stores[number];
        assert!(store.process.is_none(), "store {number} is running already");
        store.process = Some(Process::spawn(&format!("store-{number}"), &process::server_binary(), &args, &store.log));
    }

    /// The command line of store `number`.
    pub fn store_args(&self, number: usize) -> Vec<String> {
        let store = &self.stores[number];
        let mut args: Vec<String> = vec![
            "--addr".into(),
            store.addr.clone(),
            "--status-addr".into(),
            store.status_addr.clone(),
            "--scheduler".into(),
            self.scheduler_addr.clone(),
            "--data-dir".into(),
            store.data_dir.display().to_string(),
        ];
        if let Some(path) = &self.config_file {
            args.extend(["--config".to_owned(), path.display().to_string()]);
        }
        args
    }

    /// Kills store `number` with SIGKILL and waits until the process is gone.
    pub fn kill_store(&mut self, number: usize) {
        let mut process = self.stores[number].process.take().expect("a store to kill must be running");
        process.kill();
    }

    /// Kills the scheduler with SIGKILL and waits until the process is gone.
    pub fn kill_scheduler(&mut self) {
        self.scheduler.take().expect("a scheduler to kill must be running").kill();
    }

    /// Stops store `number` with SIGTERM and returns how it ended.
    pub async fn stop_store(&mut self, number: usize) -> ExitStatus {
        let mut process = self.stores[number].process.take().expect("a store to stop must be running");
        process.terminate(STOP_BOUND).await
    }

    /// Stops the scheduler with SIGTERM and returns how it ended.
    pub async fn stop_scheduler(&mut self) -> ExitStatus {
        self.scheduler.take().expect("a scheduler to stop must be running").terminate(STOP_BOUND).await
    }

    /// Panics when a process that should be running has ended by itself.
    pub fn assert_running(&mut self) {
        let stores = self.stores.iter_mut().filter_map(|store| store.process.as_mut());
        for process in self.scheduler.iter_mut().chain(stores) {
            if let Some(status) = process.exit_status() {
                panic!("{} ended by itself: {status}", process.name());
            }
        }
    }

    /// Waits until the regions cover all keys and each has a leader that answers a read.
    pub async fn wait_serving(&mut self, bound: Duration) {
        let addr = self.scheduler_addr.clone();
        let expected_peers = self.stores.len().min(3);
        self.assert_running();
        wait_until("every region to have a leader that serves", bound, || {
            let addr = addr.clone();
            async move { rpc::all_regions_serve(&addr, expected_peers).await }
        })
        .await;
        self.assert_running();
    }

    /// Number of stores, running or not.
    pub fn len(&self) -> usize {
        self.stores.len()
    }

    /// `host:port` of the scheduler.
    pub fn scheduler_addr(&self) -> &str {
        &self.scheduler_addr
    }

    /// `host:port` of a store's gRPC service.
    pub fn store_addr(&self, number: usize) -> &str {
        &self.stores[number].addr
    }

    /// `host:port` of a store's status port.
    pub fn status_addr(&self, number: usize) -> &str {
        &self.stores[number].status_addr
    }

    /// A store's data folder.
    pub fn data_dir(&self, number: usize) -> &Path {
        &self.stores[number].data_dir
    }

    /// The folder that holds everything of this cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process id of a running store.
    pub fn store_pid(&self, number: usize) -> Option<u32> {
        self.stores[number].process.as_ref().map(Process::pid)
    }

    /// Process id of the running scheduler.
    pub fn scheduler_pid(&self) -> Option<u32> {
        self.scheduler.as_ref().map(Process::pid)
    }

    /// Whether the store's process was started and not stopped or killed since.
    pub fn is_started(&self, number: usize) -> bool {
        self.stores[number].process.is_some()
    }

    /// Where the region of `key` is and who leads it, as the scheduler knows it; waits for a leader on a started store.
    pub async fn locate(&self, key: &[u8]) -> Located {
        let addr = self.scheduler_addr.clone();
        let started: Vec<String> =
            self.stores.iter().filter(|store| store.process.is_some()).map(|store| store.addr.clone()).collect();
        wait_until("a leader for the key on a running store", START_BOUND, || {
            let (addr, started) = (addr.clone(), started.clone());
            async move {
                let located = rpc::locate(&addr, key).await?;
                if !started.contains(&located.address) {
                    return Err(format!("the scheduler still names {} as the leader", located.address));
                }
                Ok(located)
            }
        })
        .await
    }

    /// Number of the store that leads the region of `key`.
    pub async fn leader_store(&self, key: &[u8]) -> usize {
        let located = self.locate(key).await;
        self.number_of(&located.address)
    }

    /// Number of the store that listens on `address`.
    pub fn number_of(&self, address: &str) -> usize {
        self.stores.iter().position(|store| store.addr == address).expect("an address of this cluster's stores")
    }

    /// All regions with their leaders.
    pub async fn regions(&self) -> Vec<(metapb::Region, Option<metapb::Peer>)> {
        let addr = self.scheduler_addr.clone();
        wait_until("the scheduler to list the regions", START_BOUND, || rpc::scan_regions(&addr)).await
    }

    /// An official raw client of this cluster, connected within a bound.
    pub async fn raw_client(&self) -> tikv_client::RawClient {
        let addr = self.scheduler_addr.clone();
        wait_until("the official client to connect", START_BOUND, || {
            let addr = addr.clone();
            async move { tikv_client::RawClient::new(vec![addr]).await.map_err(|error| error.to_string()) }
        })
        .await
    }

    fn print_logs(&self) {
        let mut logs = vec![self.folder.path().join("scheduler.log")];
        logs.extend(self.stores.iter().map(|store| store.log.clone()));
        for log in logs {
            eprintln!("---- the end of {} ----\n{}", log.display(), process::tail(&log, LOG_TAIL_LINES));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Processes die with their handles; the logs must be read before the folder goes.
        self.stores.iter_mut().for_each(|store| drop(store.process.take()));
        drop(self.scheduler.take());
        if std::thread::panicking() {
            self.print_logs();
        }
        if std::env::var_os("TINYKV_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept {}", self.folder.path().display());
        }
    }
}

fn default_parent() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}
