//! The fault plan of a run: what breaks, when, for how long, all drawn from the seed before the run starts.
//!
//! A run has two phases. In the **fault phase** stores crash (losing what their disks had not synced), links lose,
//! delay, duplicate and reorder, the cluster splits, disks slow down. Then everything heals at once, and in the **heal
//! phase** nothing breaks any more: every region must elect a leader and serve, or the run fails with a stuck report.
//!
//! Faults of one kind do not add up: each one says what holds from then on.

use std::collections::BTreeSet;

use storage::engine::mem::MemFault;

use crate::clock::VirtualTime;
use crate::network::{LinkQuality, NodeId};
use crate::rng::SeededRng;

/// Whom a fault hits. Leaders are looked up when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// This store.
    Store(NodeId),
    /// A store that leads a region; the one of the first region if several do.
    Leader,
}

/// One thing that happens to the cluster from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies: memory is gone, of the un-synced writes a prefix survives. It restarts after `down` microseconds.
    Crash { victim: Victim, down: u64 },
    /// All stores die in the same moment; each restarts after `down` microseconds.
    CrashAll { down: u64 },
    /// The stores of `side` and the others cannot reach each other.
    Partition { side: BTreeSet<NodeId> },
    /// The victim alone on its side.
    Isolate { victim: Victim },
    /// The victim can send but hears nothing (`inbound`), or hears and cannot send.
    OneWay { victim: Victim, inbound: bool },
    /// All links are whole again; their quality stays.
    Reconnect,
    /// The quality of all links from now on.
    SetNetwork(LinkQuality),
    /// Every sync of the store takes this many microseconds from now on.
    SetDisk { store: NodeId, sync_micros: u64 },
    /// The next write or sync of the store's log disk (`log`) or data disk fails in this way; a store does not survive that.
    FailDisk { store: NodeId, log: bool, kind: MemFault },
}

impl Fault {
    /// Its name in the trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::CrashAll { .. } => "crash_all",
            Self::Partition { .. } => "partition",
            Self::Isolate { .. } => "isolate",
            Self::OneWay { .. } => "one_way",
            Self::Reconnect => "reconnect",
            Self::SetNetwork(_) => "set_network",
            Self::SetDisk { .. } => "set_disk",
            Self::FailDisk { .. } => "fail_disk",
        }
    }
}

/// Which kinds of faults a plan may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultMix {
    /// Crashes and restarts.
    pub crashes: bool,
    /// Partitions, whole and one-way.
    pub partitions: bool,
    /// Loss, duplicates, reordering, long delays.
    pub unreliable: bool,
    /// Slow syncs.
    pub slow_disks: bool,
    /// Failing writes and full disks.
    pub failing_disks: bool,
}

impl FaultMix {
    /// Everything.
    pub const ALL: Self =
        Self { crashes: true, partitions: true, unreliable: true, slow_disks: true, failing_disks: true };
    /// Nothing.
    pub const NONE: Self =
        Self { crashes: false, partitions: false, unreliable: false, slow_disks: false, failing_disks: false };

    /// A mix drawn from the seed: each kind with a chance of three in four, failing disks of one in two.
    pub fn draw(rng: &mut SeededRng) -> Self {
        Self {
            crashes: rng.chance(750),
            partitions: rng.chance(750),
            unreliable: rng.chance(750),
            slow_disks: rng.chance(750),
            failing_disks: rng.chance(500),
        }
    }
}

/// A sync on a healthy disk, in microseconds.
pub const HEALTHY_SYNC: u64 = 200;

/// The faults of one run in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// What happens when.
    pub faults: Vec<(VirtualTime, Fault)>,
    /// When the fault phase ends and everything heals.
    pub heal_at: VirtualTime,
}

impl FaultPlan {
    /// Draws a plan for `stores`: from 0.5 virtual seconds (a first election may be undisturbed) to `heal_at`, a fault
    /// every 50 to 700 milliseconds (or, in a calmer seed, 3000), so that the density is constant over the phase.
    pub fn draw(rng: &mut SeededRng, mix: FaultMix, stores: &[NodeId], heal_at: VirtualTime) -> Self {
        let kinds = kinds(mix);
        let longest_pause = *rng.pick(&[700_000, 700_000, 3_000_000]).unwrap_or(&700_000);
        let mut plan = Self { faults: Vec::new(), heal_at };
        if mix.unreliable && rng.chance(500) {
            plan.faults.push((VirtualTime::ZERO, Fault::SetNetwork(draw_quality(rng))));
        }
        let mut at = VirtualTime::from_millis(rng.within(100..=900));
        while at < heal_at {
            if let Some(kind) = rng.pick(&kinds) {
                let fault = draw_fault(rng, *kind, stores);
                plan.faults.push((at, fault));
            }
            at = at + rng.within(50_000..=longest_pause);
        }
        plan
    }

    /// The longest time that a crashed store of this plan stays down.
    pub fn longest_downtime(&self) -> u64 {
        let downtime = |(_, fault): &(VirtualTime, Fault)| match fault {
            Fault::Crash { down, .. } | Fault::CrashAll { down } => *down,
            _ => 0,
        };
        self.faults.iter().map(downtime).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Crash,
    CrashAll,
    Cut,
    Reconnect,
    Quality,
    SlowDisk,
    FailDisk,
}

fn kinds(mix: FaultMix) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if mix.crashes {
        kinds.extend([Kind::Crash, Kind::Crash, Kind::Crash, Kind::CrashAll]);
    }
    if mix.partitions {
        kinds.extend([Kind::Cut, Kind::Cut, Kind::Reconnect, Kind::Reconnect]);
    }
    if mix.unreliable {
        kinds.push(Kind::Quality);
    }
    if mix.slow_disks {
        kinds.push(Kind::SlowDisk);
    }
    if mix.failing_disks {
        kinds.push(Kind::FailDisk);
    }
    kinds
}

fn draw_fault(rng: &mut SeededRng, kind: Kind, stores: &[NodeId]) -> Fault {
    match kind {
        Kind::Crash => Fault::Crash { victim: draw_victim(rng, stores), down: draw_downtime(rng) },
        Kind::CrashAll => Fault::CrashAll { down: draw_downtime(rng) },
        Kind::Cut => draw_cut(rng, stores),
        Kind::Reconnect => Fault::Reconnect,
        Kind::Quality => Fault::SetNetwork(draw_quality(rng)),
        Kind::FailDisk => Fault::FailDisk {
            store: draw_store(rng, stores),
            log: rng.chance(500),
            kind: if rng.chance(500) { MemFault::Io } else { MemFault::DiskFull },
        },
        Kind::SlowDisk => Fault::SetDisk {
            store: draw_store(rng, stores),
            sync_micros: if rng.chance(500) { HEALTHY_SYNC } else { rng.within(HEALTHY_SYNC..=100_000) },
        },
    }
}

fn draw_store(rng: &mut SeededRng, stores: &[NodeId]) -> NodeId {
    rng.pick(stores).copied().unwrap_or_default()
}

fn draw_cut(rng: &mut SeededRng, stores: &[NodeId]) -> Fault {
    match rng.below(4) {
        0 => Fault::Isolate { victim: Victim::Leader },
        1 => Fault::OneWay { victim: draw_victim(rng, stores), inbound: rng.chance(500) },
        _ => Fault::Partition { side: stores.iter().copied().filter(|_| rng.chance(500)).collect() },
    }
}

fn draw_victim(rng: &mut SeededRng, stores: &[NodeId]) -> Victim {
    match rng.pick(stores) {
        Some(store) if rng.chance(500) => Victim::Store(*store),
        _ => Victim::Leader,
    }
}

/// Half of the restarts come at once, before anybody noticed; the others after an election or two.
fn draw_downtime(rng: &mut SeededRng) -> u64 {
    if rng.chance(500) { rng.within(1_000..=100_000) } else { rng.within(100_000..=3_000_000) }
}

fn draw_quality(rng: &mut SeededRng) -> LinkQuality {
    let min_delay = rng.within(50..=2_000);
    LinkQuality {
        drop_permille: rng.within(0..=200) as u32,
        duplicate_permille: rng.within(0..=100) as u32,
        reorder_permille: rng.within(0..=100) as u32,
        min_delay,
        max_delay: min_delay + rng.within(0..=60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, mix: FaultMix) -> FaultPlan {
        FaultPlan::draw(&mut SeededRng::stream(seed, "faults"), mix, &[1, 2, 3], VirtualTime::from_millis(10_000))
    }

    #[test]
    fn plans_follow_the_seed_and_stay_inside_the_fault_phase() {
        assert_eq!(plan(4, FaultMix::ALL), plan(4, FaultMix::ALL));
        assert_ne!(plan(4, FaultMix::ALL), plan(5, FaultMix::ALL));
        for seed in 0..100 {
            let plan = plan(seed, FaultMix::ALL);
            assert!(plan.faults.len() >= 3, "seed {seed}");
            assert!(plan.faults.is_sorted_by_key(|(at, _)| *at));
            assert!(plan.faults.iter().all(|(at, _)| *at < plan.heal_at));
        }
    }

    #[test]
    fn a_mix_draws_only_its_kinds_and_all_of_them() {
        assert!(plan(1, FaultMix::NONE).faults.is_empty());
        let crashes = FaultMix { crashes: true, ..FaultMix::NONE };
        assert!(plan(1, crashes).faults.iter().all(|(_, fault)| fault.name().starts_with("crash")));
        let names: BTreeSet<_> =
            (0..50).flat_map(|seed| plan(seed, FaultMix::ALL).faults).map(|(_, fault)| fault.name()).collect();
        assert_eq!(names.len(), 9, "{names:?}");
    }
}
