//! What a lab test runs on: how many stores, which settings, and what the environment asks for.
//!
//! | variable | values | default |
//! |---|---|---|
//! | `DRIVER` | `sim`: one thread, virtual time, everything follows from the seed; `threads`: the driver of production | what the engine needs, `sim` with `mem` |
//! | `ENGINE` | `mem`: the engine in memory, which models what a crash loses; `rocksdb`: folders on disk, on threads alone | `mem` |
//! | `SEEDS` | `7` or `0..50` | ten seeds with `sim`, one with `threads` |

use std::env::{self, VarError};
use std::fmt;
use std::ops::Range;

use raftstore::Config;
use raftstore::split::SplitLimits;
use raftstore::store::Layout;

/// Who runs the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// The simulator.
    Sim,
    /// Threads and a real clock.
    Threads,
}

/// What the stores keep their data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Memory.
    Mem,
    /// RocksDB.
    Rocksdb,
}

/// What the environment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `DRIVER`.
    pub driver: DriverKind,
    /// `ENGINE`.
    pub engine: EngineKind,
    /// `SEEDS`.
    pub seeds: Range<u64>,
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = if self.driver == DriverKind::Sim { "sim" } else { "threads" };
        let engine = if self.engine == EngineKind::Mem { "mem" } else { "rocksdb" };
        write!(formatter, "DRIVER={driver} ENGINE={engine}")
    }
}

impl Environment {
    /// The simulator, whatever the variables say.
    pub fn simulator(seeds: Range<u64>) -> Self {
        Self { driver: DriverKind::Sim, engine: EngineKind::Mem, seeds }
    }

    /// Reads the variables.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read() -> Result<Self, String> {
        let variable = |name: &str| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(error) => Err(format!("{name}: {error}")),
        };
        Self::of(variable("DRIVER")?.as_deref(), variable("ENGINE")?.as_deref(), variable("SEEDS")?.as_deref())
    }

    fn of(driver: Option<&str>, engine: Option<&str>, seeds: Option<&str>) -> Result<Self, String> {
        let engine = match engine.unwrap_or("mem") {
            "mem" => EngineKind::Mem,
            "rocksdb" => EngineKind::Rocksdb,
            other => return Err(format!("ENGINE={other} is not known: mem or rocksdb")),
        };
        let driver = match (driver, engine) {
            (Some("sim"), EngineKind::Rocksdb) => {
                let why = "a simulated disk has to know what a crash loses";
                return Err(format!("DRIVER=sim runs on ENGINE=mem alone: {why}; leave DRIVER out, or say threads"));
            }
            (None, EngineKind::Rocksdb) | (Some("threads"), _) => DriverKind::Threads,
            (None | Some("sim"), EngineKind::Mem) => DriverKind::Sim,
            (Some(other), _) => return Err(format!("DRIVER={other} is not known: sim or threads")),
        };
        if engine == EngineKind::Rocksdb && !cfg!(feature = "rocksdb") {
            let how = "run the tests by `make`, or add --features test-raftstore/rocksdb";
            return Err(format!("ENGINE=rocksdb is not compiled in: {how}"));
        }
        let default = if driver == DriverKind::Sim { 0..10 } else { 0..1 };
        let seeds = seeds.map_or(Ok(default), parse_seeds)?;
        Ok(Self { driver, engine, seeds })
    }
}

/// Reads `7` or `0..50`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("SEEDS: {part:?} is not a seed: {error}"));
    let seeds = match text.split_once("..") {
        Some((first, end)) => number(first)?..number(end)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if seeds.is_empty() { Err(format!("SEEDS={text} holds no seed")) } else { Ok(seeds) }
}

/// What a test runs on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many stores. Each has a peer of both first regions.
    pub stores: u64,
    /// Entries after which the log is compacted; `None`: never.
    pub log_limit: Option<u64>,
    /// Bytes that make a region too large, and bytes of its parts; `None`: regions are split on request alone.
    pub split: Option<(u64, u64)>,
}

impl Setup {
    /// So many stores that neither compact logs nor split regions by themselves.
    pub fn new(stores: u64) -> Self {
        Self { stores, log_limit: None, split: None }
    }

    /// The settings of the stores for a seed.
    pub(crate) fn config(&self, seed: u64) -> (Config, Layout) {
        let never = u64::MAX >> 1;
        let split = self.split.map_or_else(SplitLimits::default, |(max_bytes, split_bytes)| SplitLimits {
            max_bytes,
            split_bytes,
            ..SplitLimits::default()
        });
        let config = Config {
            election_ticks: 10,
            heartbeat_ticks: 2,
            region_heartbeat_ticks: 2,
            store_heartbeat_ticks: 10,
            log_gc_ticks: if self.log_limit.is_some() { 1 } else { never },
            log_gc_threshold: self.log_limit.map_or(never, |limit| limit / 2),
            log_gc_count_limit: self.log_limit.unwrap_or(never),
            log_gc_size_limit: never,
            split_check_ticks: if self.split.is_some() { 2 } else { never },
            split,
            split_wait_ticks: 20,
            read_wait_ticks: 10,
            max_leader_missing_ticks: 40,
            seed,
            ..Config::default()
        };
        (config, Layout { background_workers: 1, ..Layout::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_refused_by_name() {
        let error = |driver, engine, seeds| Environment::of(driver, engine, seeds).unwrap_err();
        assert!(error(Some("fibers"), None, None).contains("DRIVER=fibers"));
        assert!(error(None, Some("sled"), None).contains("ENGINE=sled"));
        assert!(error(Some("sim"), Some("rocksdb"), None).contains("DRIVER=sim"));
        assert!(error(None, None, Some("x")).contains("\"x\""));
        assert!(error(None, None, Some("5..5")).contains("no seed"));
    }

    #[test]
    fn an_engine_on_disk_runs_on_threads() {
        let environment = Environment::of(None, Some("rocksdb"), None);
        if cfg!(feature = "rocksdb") {
            assert_eq!(environment.unwrap().driver, DriverKind::Threads);
        } else {
            assert!(environment.unwrap_err().contains("--features test-raftstore/rocksdb"));
        }
    }

    #[test]
    fn what_is_not_said_is_the_simulator_with_ten_seeds() {
        let environment = Environment::of(None, None, None).unwrap();
        assert_eq!((environment.driver, environment.engine), (DriverKind::Sim, EngineKind::Mem));
        assert_eq!(environment.seeds.count(), 10);
        assert_eq!(Environment::of(Some("threads"), Some("mem"), Some("7")).unwrap().seeds, 7..8);
    }
}
