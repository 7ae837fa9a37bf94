//! The cluster of a lab test: a small language for what happens to it, and verdicts when it does not hold.
//!
//! A test says what it wants ([`Setup`]) and what happens ([`Cluster`]); [`run`] repeats it for each seed and lets the driver of the
//! environment run the stores ([`setup`] lists the variables). The same test runs in the simulator and on threads.
//!
//! Whatever waits has a bound in ticks. What breaks ends the test with a verdict: the rule, the seed, the step, and the command that
//! shows it again. Rules that a driver checks by itself, such as the invariants of the simulator, end it at the step that broke them.
//!
//! | file | what it holds |
//! |---|---|
//! | `setup.rs` | how many stores, which settings; the environment |
//! | `driver.rs` | what runs the stores, as a trait; the simulator implements it in `sim/lab.rs` |
//! | `work.rs` | what a client does and what it must be told |
//! | `faults.rs`, `look.rs`, `regions.rs` | a cluster's faults, what can be seen of it, changes of its regions |
//! | `threads/` | stores and clients on threads |
//! | `generic.rs` | the generic test: clients, chaos, crashes, and what must hold afterwards |

pub mod driver;
mod faults;
mod generic;
mod look;
mod regions;
pub mod setup;
mod threads;
pub mod work;

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Mutex;

use bytes::Bytes;
use raftstore::Config;
use raftstore::store::Layout;
use storage::MemEngine;

use self::driver::{Driver, Step, lock};
pub use self::driver::{Pending, Reaction, Summary};
pub use self::generic::{Chaos, generic, generic_seed};
use self::setup::{DriverKind, EngineKind};
pub use self::setup::{Environment, Setup};
use self::threads::ThreadCluster;
use self::work::Work;
use crate::faults::FaultMix;
use crate::history::{Answer, Operation, text};
use crate::rng::SeededRng;
use crate::sim::{Options, Simulation};
use crate::verdict::{Failure, FailureKind};

/// Ticks of an election timeout.
pub const ELECTION: u64 = 10;
/// Ticks within which a healthy cluster does whatever it is asked for: ten election timeouts.
pub const PATIENCE: u64 = 10 * ELECTION;
/// Ticks within which everything has come to rest after all faults have ended.
pub const SETTLING: u64 = 40 * ELECTION;
/// Held by the test that runs on threads.
static ON_THREADS: Mutex<()> = Mutex::new(());
/// Clients of the test itself are counted from here.
const FIRST_TESTER: u64 = 1000;

/// The stores of one run of a test.
pub struct Cluster {
    driver: Box<dyn Driver>,
    /// Random choices of the test, from the seed.
    pub rng: SeededRng,
    setup: Setup,
    tester: u64,
}

/// Runs a test for every seed that the environment asks for, up to the first failure.
///
/// # Panics
/// If a run fails; the verdict is printed.
pub fn run(name: &str, setup: &Setup, body: impl Fn(&mut Cluster)) {
    let environment = Environment::read().unwrap_or_else(|error| panic!("{error}"));
    // Stores with clocks of their own do not share the machine with those of another test.
    let _alone = (environment.driver == DriverKind::Threads).then(|| lock(&ON_THREADS));
    for seed in environment.seeds.clone() {
        println!("{name}  seed {seed}  {environment}");
        if let Err(mut failure) = run_seed(name, setup, &environment, seed, &body) {
            failure.replay = replay_command(name, seed, &environment).into();
            println!("{failure}");
            // The verdict says it all: no second message, no backtrace of the harness.
            resume_unwind(Box::new("the verdict is above"));
        }
    }
}

/// Runs a test for one seed.
///
/// # Errors
/// What broke first.
pub fn run_seed(
    name: &str,
    setup: &Setup,
    environment: &Environment,
    seed: u64,
    body: impl FnOnce(&mut Cluster),
) -> Result<Summary, Box<Failure>> {
    run_on(Cluster::start(name, setup, environment, seed), body)
}

/// Runs a test on a cluster.
///
/// # Errors
/// What broke first.
pub(crate) fn run_on(mut cluster: Cluster, body: impl FnOnce(&mut Cluster)) -> Result<Summary, Box<Failure>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        body(&mut cluster);
        cluster.finish();
    }));
    match outcome {
        Ok(()) => Ok(cluster.driver.summary()),
        Err(payload) => Err(cluster.failure_of(payload)),
    }
}

fn replay_command(name: &str, seed: u64, environment: &Environment) -> String {
    let engine = if environment.engine == EngineKind::Rocksdb { " ENGINE=rocksdb" } else { "" };
    let driver = if environment.driver == DriverKind::Threads { " DRIVER=threads" } else { "" };
    format!("make replay-test TEST={name} SEEDS={seed}{engine}{driver}")
}

fn threads(name: &str, seed: u64, stores: u64, engine: EngineKind, config: Config, layout: Layout) -> Box<dyn Driver> {
    match engine {
        EngineKind::Mem => Box::new(ThreadCluster::<MemEngine>::new(name, seed, stores, config, layout)),
        #[cfg(feature = "rocksdb")]
        EngineKind::Rocksdb => Box::new(ThreadCluster::<storage::RocksEngine>::new(name, seed, stores, config, layout)),
        #[cfg(not(feature = "rocksdb"))]
        EngineKind::Rocksdb => panic!("invariant: the environment was checked"),
    }
}

impl Cluster {
    /// # Panics
    /// If the stores cannot be started.
    fn start(name: &str, setup: &Setup, environment: &Environment, seed: u64) -> Self {
        let (config, layout) = setup.config(seed);
        let driver: Box<dyn Driver> = match environment.driver {
            DriverKind::Sim => {
                let options = Options {
                    name: name.to_owned(),
                    stores: Some(setup.stores),
                    clients: Some(0),
                    faults: Some(FaultMix::NONE),
                    config: Some((config, layout)),
                    scripted: true,
                    ..Options::campaign()
                };
                Box::new(Simulation::new(seed, options))
            }
            DriverKind::Threads => threads(name, seed, setup.stores, environment.engine, config, layout),
        };
        Self::on(driver, setup, seed)
    }

    /// The stores that a driver runs.
    pub(crate) fn on(driver: Box<dyn Driver>, setup: &Setup, seed: u64) -> Self {
        let rng = SeededRng::stream(seed, "test");
        Self { driver, rng, setup: setup.clone(), tester: FIRST_TESTER }
    }

    /// What a run that unwound has failed of.
    fn failure_of(&self, payload: Box<dyn Any + Send>) -> Box<Failure> {
        let payload = match payload.downcast::<Failure>() {
            Ok(failure) => return failure,
            Err(payload) => payload,
        };
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
        self.driver.verdict(FailureKind::Contract, "TEST-PANIC", text.to_owned())
    }

    /// Ends the run with a verdict.
    fn end<T>(&self, failure: Box<Failure>) -> T {
        resume_unwind(failure)
    }

    fn must<T>(&self, step: Step<T>) -> T {
        step.unwrap_or_else(|failure| self.end(failure))
    }

    /// Ends the run: `details` are what is wrong.
    #[track_caller]
    pub fn fail(&self, kind: FailureKind, id: &'static str, details: String) -> ! {
        let at = Location::caller();
        let details = format!("{details}\nat {}:{}", at.file(), at.line());
        self.end(self.driver.verdict(kind, id, details))
    }

    /// Ends the run unless the two are equal.
    #[track_caller]
    pub fn expect_eq<T: PartialEq + Debug>(&self, what: &str, found: T, expected: T) {
        if found != expected {
            self.fail(FailureKind::Safety, "EXPECTED", format!("{what}: found {found:?}, expected {expected:?}"));
        }
    }

    /// Ids of the stores.
    pub fn stores(&self) -> Vec<u64> {
        (1..=self.setup.stores).collect()
    }

    /// Lets time pass.
    pub fn advance(&mut self, ticks: u64) {
        let step = self.driver.advance(ticks);
        self.must(step);
    }

    /// Waits until `condition` holds; the run has failed by the rule `id` if it does not within `ticks`.
    #[track_caller]
    pub fn wait(&mut self, id: &'static str, what: &str, ticks: u64, mut condition: impl FnMut(&mut Self) -> bool) {
        for _ in 0..ticks {
            if condition(self) {
                return;
            }
            self.advance(1);
        }
        if !condition(self) {
            let report = self.driver.describe();
            self.fail(FailureKind::Stuck, id, format!("after {ticks} ticks: {what}\n{report}"));
        }
    }

    /// Gets an operation done by a client that looks for the leader and tries again; `None` if `ticks` are not enough.
    pub fn ask(&mut self, operation: Operation, ticks: u64) -> Option<Answer> {
        self.tester += 1;
        let tester = self.tester;
        self.driver.start_client(Work::errand(tester, operation));
        for _ in 0..ticks {
            let finished = self.driver.finished_clients().into_iter().find(|work| work.client() == tester);
            if let Some(work) = finished {
                return work.answer().cloned();
            }
            self.advance(1);
        }
        self.driver.abandon_client(tester);
        None
    }

    #[track_caller]
    fn must_ask(&mut self, operation: Operation) -> Answer {
        let name = operation.to_string();
        self.ask(operation, PATIENCE).unwrap_or_else(|| {
            let report = self.driver.describe();
            let details = format!("after {PATIENCE} ticks: no store has carried out {name}\n{report}");
            self.fail(FailureKind::Stuck, "L-CLIENT", details)
        })
    }

    /// Writes a key.
    #[track_caller]
    pub fn put(&mut self, key: &str, value: &str) {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        self.must_ask(Operation::Put { key, value });
    }

    /// Deletes a key.
    #[track_caller]
    pub fn delete(&mut self, key: &str) {
        self.must_ask(Operation::Delete { key: Bytes::copy_from_slice(key.as_bytes()) });
    }

    /// Reads a key.
    #[track_caller]
    pub fn get(&mut self, key: &str) -> Option<String> {
        match self.must_ask(Operation::Get { key: Bytes::copy_from_slice(key.as_bytes()) }) {
            Answer::Value(value) => value.map(|value| text(&value)),
            other => self.fail(FailureKind::Contract, "CLIENT-ANSWER", format!("a get was answered with {other:?}")),
        }
    }

    /// Reads all pairs of `[start, end)`.
    #[track_caller]
    pub fn scan(&mut self, start: &str, end: &str) -> Vec<(String, String)> {
        let (start, end) = (Bytes::copy_from_slice(start.as_bytes()), Bytes::copy_from_slice(end.as_bytes()));
        match self.must_ask(Operation::Scan { start, end, limit: usize::MAX }) {
            Answer::Pairs(pairs) => pairs.iter().map(|(key, value)| (text(key), text(value))).collect(),
            other => self.fail(FailureKind::Contract, "CLIENT-ANSWER", format!("a scan was answered with {other:?}")),
        }
    }

    /// Reads a key, which must hold this.
    #[track_caller]
    pub fn must_get(&mut self, key: &str, expected: &str) {
        let found = self.get(key);
        self.expect_eq(&format!("get {key}"), found.as_deref(), Some(expected));
    }

    /// Everything ends well: faults end, all stores come to the same state, every answer can be explained.
    fn finish(&mut self) {
        self.heal();
        self.settle();
        let checked = self.driver.check_end();
        self.must(checked);
    }
}
