//! What both sides have to do.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::allocations;
use crate::group::{Group, Node, Settings};

/// Numbers of proposals that are on their way together.
pub const IN_FLIGHT: [u64; 3] = [1, 16, 256];
/// Entries that the follower of the catch-up lacks.
const BEHIND: u64 = 100_000;
/// Groups of the idle tick.
const GROUPS: u64 = 10_000;
/// Ticks of a round of the idle tick: as many as there are between two heartbeats.
const TICKS: u64 = 2;
const PAYLOAD: usize = 128;

/// One kind of work; its round is what is measured.
pub enum Workload {
    /// Proposes entries at once; the round ends when all nodes have applied them.
    Commit { payload: usize, in_flight: u64 },
    /// A follower gets [`BEHIND`] entries, writes and applies them.
    CatchUp,
    /// [`GROUPS`] groups without clients see [`TICKS`] ticks, with one round of heartbeats and their answers, or without.
    IdleTick { heartbeats: bool },
}

/// All the work, in the order of the report.
pub const WORKLOADS: &[Workload] = &[
    Workload::Commit { payload: 16, in_flight: IN_FLIGHT[0] },
    Workload::Commit { payload: 16, in_flight: IN_FLIGHT[1] },
    Workload::Commit { payload: 16, in_flight: IN_FLIGHT[2] },
    Workload::Commit { payload: PAYLOAD, in_flight: IN_FLIGHT[0] },
    Workload::Commit { payload: PAYLOAD, in_flight: IN_FLIGHT[1] },
    Workload::Commit { payload: PAYLOAD, in_flight: IN_FLIGHT[2] },
    Workload::Commit { payload: 4096, in_flight: IN_FLIGHT[0] },
    Workload::Commit { payload: 4096, in_flight: IN_FLIGHT[1] },
    Workload::Commit { payload: 4096, in_flight: IN_FLIGHT[2] },
    Workload::CatchUp,
    Workload::IdleTick { heartbeats: true },
    Workload::IdleTick { heartbeats: false },
];

impl Workload {
    /// A name with the unit of its figure.
    pub fn name(&self) -> String {
        match self {
            Workload::Commit { payload, in_flight } => format!("commit, {payload} B, {in_flight} in flight, entries/s"),
            Workload::CatchUp => format!("catch-up, {BEHIND} entries of {PAYLOAD} B, entries/s"),
            Workload::IdleTick { heartbeats: true } => {
                format!("idle tick, {GROUPS} groups with heartbeats, group ticks/s")
            }
            Workload::IdleTick { heartbeats: false } => {
                format!("idle tick, {GROUPS} groups, no heartbeat due, group ticks/s")
            }
        }
    }

    /// How much of the unit one round does.
    pub fn units(&self) -> u64 {
        match self {
            Workload::Commit { in_flight, .. } => *in_flight,
            Workload::CatchUp => BEHIND,
            Workload::IdleTick { .. } => GROUPS * TICKS,
        }
    }

    /// Makes everything ready. What is returned does a number of rounds and tells how long they took.
    pub fn prepare<N: Node>(&self) -> Box<dyn FnMut(u64) -> Duration> {
        let settings = Settings::default();
        match *self {
            Workload::Commit { payload, in_flight } => {
                let (mut group, payload) = (Group::<N>::new(&settings), vec![7; payload]);
                Box::new(move |rounds| {
                    let started = processor_time();
                    (0..rounds).for_each(|_| group.commit(in_flight, &payload));
                    processor_time() - started
                })
            }
            Workload::CatchUp => Box::new(move |rounds| (0..rounds).map(|_| catch_up::<N>(&settings)).sum()),
            Workload::IdleTick { heartbeats } => {
                let far = usize::MAX / 4;
                let settings = match heartbeats {
                    true => Settings { heartbeat_tick: TICKS as usize, ..settings },
                    false => Settings { heartbeat_tick: far, election_tick: far + 1, ..settings },
                };
                let mut groups: Vec<Group<N>> = (0..GROUPS).map(|_| Group::new(&settings)).collect();
                Box::new(move |rounds| {
                    let started = processor_time();
                    (0..rounds * TICKS).for_each(|_| groups.iter_mut().for_each(Group::tick));
                    let elapsed = processor_time() - started;
                    assert!(groups.iter().all(Group::is_led), "{}: a leader was lost", N::NAME);
                    elapsed
                })
            }
        }
    }
}

/// One catch-up; only the catching up counts.
fn catch_up<N: Node>(settings: &Settings) -> Duration {
    let mut group = Group::<N>::with_one_behind(settings, BEHIND, PAYLOAD);
    let started = processor_time();
    group.catch_up();
    processor_time() - started
}

/// Allocations for each entry, in rounds of `in_flight` entries.
pub fn allocations_per_entry<N: Node>(in_flight: u64) -> f64 {
    const ENTRIES: u64 = 1 << 14;
    let (mut group, payload) = (Group::<N>::new(&Settings::default()), [7; PAYLOAD]);
    let mut run = || (0..ENTRIES / in_flight).for_each(|_| group.commit(in_flight, &payload));
    run(); // Buffers grow to their size.
    allocations::count_of(run) as f64 / ENTRIES as f64
}

/// Messages for each entry, in rounds of `in_flight` entries: whether both sides do the same work.
pub fn messages_per_entry<N: Node>(in_flight: u64) -> f64 {
    const ROUNDS: u64 = 64;
    let mut group = Group::<N>::new(&Settings::default());
    let before = group.messages();
    (0..ROUNDS).for_each(|_| group.commit(in_flight, &[7; PAYLOAD]));
    (group.messages() - before) as f64 / (ROUNDS * in_flight) as f64
}

/// What this thread has used of a processor. Other programs on the machine take no part in it, as they would in the time of day.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
