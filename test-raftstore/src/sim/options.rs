//! What a run is made of, apart from its seed.

use raftstore::Config;
use raftstore::split::SplitLimits;
use raftstore::store::Layout;

use super::crash_points::Watch;
use super::external::Externals;
use super::store::Lies;
use crate::faults::FaultMix;
use crate::rng::SeededRng;
use crate::trace::DEFAULT_CAPACITY;

/// A tick of the raft clock in virtual microseconds. Those of the stores differ from it by a little.
pub const NOMINAL_TICK: u64 = 50_000;

/// Virtual microseconds with faults in a campaign run.
const USUAL_FAULT_TIME: u64 = 6_000_000;

/// Settings of a run. The seed decides everything else.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the test or campaign, for verdicts and trace files.
    pub name: String,
    /// How many stores; `None` draws 1, 3, 4 or 5 from the seed.
    pub stores: Option<u64>,
    /// Peers of a region at the beginning; `None` draws between one and one on every store.
    pub replicas: Option<usize>,
    /// Members of regions come and go.
    pub members_change: bool,
    /// How many clients; `None` draws 1 to 8.
    pub clients: Option<u64>,
    /// Which faults; `None` draws the mix.
    pub faults: Option<FaultMix>,
    /// Length of the fault phase in virtual microseconds.
    pub fault_time: u64,
    /// Virtual microseconds from healing within which everything must be done.
    pub heal_limit: u64,
    /// How many trace events are kept.
    pub trace_capacity: usize,
    /// Promises that the disks break, to prove that it is noticed.
    pub lies: Lies,
    /// A promise that the harness breaks in the stores' name, to prove that it is noticed.
    pub harness_lie: Option<HarnessLie>,
    /// What the broken promise is called on the command line.
    pub lie_name: Option<String>,
    /// Of all that comes from outside only this takes place; everything, if `None`.
    pub only: Option<Externals>,
    /// Settings of the stores; `None` draws them.
    pub config: Option<(Config, Layout)>,
    /// Nothing comes from outside by itself: a test does it all.
    pub scripted: bool,
    /// Numbers what a store does to its disks, and has its power fail at a number.
    pub watch: Option<Watch>,
}

impl Options {
    /// A campaign run: ten virtual seconds, everything else drawn from the seed.
    pub fn campaign() -> Self {
        Self {
            name: "sim".to_string(),
            stores: None,
            replicas: None,
            members_change: true,
            clients: None,
            faults: None,
            fault_time: USUAL_FAULT_TIME,
            heal_limit: 20_000_000,
            trace_capacity: DEFAULT_CAPACITY,
            lies: Lies::default(),
            harness_lie: None,
            lie_name: None,
            only: None,
            config: None,
            scripted: false,
            watch: None,
        }
    }

    /// How many peers the first regions have. From a stream of its own, so that everything else of a seed stays as it is.
    pub(super) fn draw_replicas(&self, seed: u64, stores: u64) -> usize {
        let mut rng = SeededRng::stream(seed, "replicas");
        let drawn = if rng.chance(500) { stores } else { rng.within(1..=stores) };
        match self.scripted {
            true => stores as usize,
            false => self.replicas.unwrap_or(drawn as usize),
        }
    }

    /// The command that runs `seed` again with these options.
    pub fn replay_command(&self, seed: u64) -> String {
        let honest = self.lies == Lies::default() && self.harness_lie.is_none();
        let usual_time = self.fault_time == USUAL_FAULT_TIME;
        if honest && usual_time && self.stores.is_none() && self.faults.is_none() {
            let only = self.only.as_ref().map(|only| format!(" ONLY={only}")).unwrap_or_default();
            return format!("make replay SEED={seed}{only}");
        }
        let mut command = format!("cargo run -p test-raftstore --bin sim -- --replay {seed}");
        if let Some(stores) = self.stores {
            command += &format!(" --stores {stores}");
        }
        if self.faults == Some(FaultMix::ALL) {
            command += " --all-faults";
        }
        if !usual_time {
            command += &format!(" --fault-seconds {}", self.fault_time / 1_000_000);
        }
        if let Some(only) = &self.only {
            command += &format!(" --only {only}");
        }
        if let Some(lie) = &self.lie_name {
            command += &format!(" --lie {lie}");
        }
        command
    }

    /// Three stores under every kind of fault.
    pub fn three_stores(name: &str) -> Self {
        Self { name: name.to_string(), stores: Some(3), faults: Some(FaultMix::ALL), ..Self::campaign() }
    }
}

/// A lie told outside of the disks. Each stands for a bug that a store could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HarnessLie {
    /// Reads are answered from the data of whichever store is asked.
    ReadLocally,
    /// Writes are acknowledged when they are proposed.
    AcknowledgeEarly,
    /// Every request for a vote is granted.
    GrantEveryVote,
    /// Refused appends are reported as taken.
    AcceptEveryAppend,
    /// Some messages of the leader carry other entries than it holds.
    CorruptEntries,
}

/// Settings of the stores of a run. Small limits are drawn as often as large ones, so that every queue fills up in some seed.
pub(super) fn draw_config(rng: &mut SeededRng) -> (Config, Layout) {
    let log_gc_threshold = rng.within(1..=20);
    let config = Config {
        messages_per_round: rng.within(1..=64) as usize,
        mailbox_capacity: rng.within(64..=4096) as usize,
        max_joined_bytes: rng.within(1..=4096) as usize,
        max_readies_in_flight: rng.within(1..=4) as usize,
        max_message_bytes: if rng.chance(300) { 1 } else { rng.within(1..=8192) },
        max_inflight_messages: rng.within(1..=16) as usize,
        max_inflight_bytes: rng.within(256..=65_536),
        entry_cache_bytes: rng.within(0..=8192) as usize,
        max_write_batch_bytes: rng.within(1..=8192) as usize,
        read_wait_ticks: rng.within(1..=40),
        max_leader_missing_ticks: 40,
        region_heartbeat_ticks: rng.within(5..=50),
        store_heartbeat_ticks: rng.within(5..=50),
        log_gc_ticks: rng.within(1..=10),
        split_check_ticks: rng.within(2..=20),
        split: draw_split(rng),
        split_wait_ticks: rng.within(3..=60),
        right_derive: rng.chance(500),
        log_gc_threshold,
        log_gc_count_limit: log_gc_threshold + if rng.chance(600) { rng.within(0..=6) } else { rng.within(0..=60) },
        log_gc_size_limit: if rng.chance(500) { rng.within(200..=3_000) } else { rng.within(500..=50_000) },
        snapshot_wait_ticks: rng.within(20..=200),
        snapshot_gc_ticks: rng.within(5..=50),
        snapshot_gc_patience: rng.within(1..=20) as u32,
        seed: rng.next_u64(),
        ..Config::default()
    };
    let layout = Layout { log_writer: rng.chance(700), background_workers: 1, ..Layout::default() };
    (config, layout)
}

/// Regions that are too large after a few writes, in half of the seeds.
fn draw_split(rng: &mut SeededRng) -> SplitLimits {
    if rng.chance(500) {
        return SplitLimits::default();
    }
    let (split_bytes, split_keys) = (rng.within(50..=1_000), rng.within(1..=5));
    SplitLimits {
        max_bytes: split_bytes * 3 / 2,
        split_bytes,
        max_keys: split_keys * 2,
        split_keys,
        max_cuts: rng.within(1..=4) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_has_the_options_of_the_run() {
        assert_eq!(Options::campaign().replay_command(7), "make replay SEED=7");
        let command = Options::three_stores("t").replay_command(7);
        assert_eq!(command, "cargo run -p test-raftstore --bin sim -- --replay 7 --stores 3 --all-faults");
    }
}
