//! Many seeds, up to the first failure. Each seed runs on one thread; several threads run different seeds.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::driver::{Report, Simulation};
use super::members::MemberCounters;
use super::options::Options;
use super::snapshots::SnapshotCounters;
use crate::verdict::Failure;

/// What a clean campaign came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Events handled.
    pub steps: u64,
    /// Operations that ended ok, failed, unknown.
    pub outcomes: (usize, usize, usize),
    /// Stores that crashed.
    pub crashes: u64,
    /// Tasks that background workers have done.
    pub background_tasks: u64,
    /// Regions at the end of the runs that splits have made.
    pub new_regions: u64,
    /// What became of members.
    pub members: MemberCounters,
    /// What became of snapshots.
    pub snapshots: SnapshotCounters,
    /// Messages lost, at random or at a cut.
    pub lost: u64,
}

impl Totals {
    /// Adds one run.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.steps += report.steps;
        let (ok, failed, unknown) = self.outcomes;
        self.outcomes = (ok + report.outcomes.0, failed + report.outcomes.1, unknown + report.outcomes.2);
        self.crashes += report.crashes;
        self.background_tasks += report.background_tasks;
        self.new_regions += report.regions.saturating_sub(2) as u64;
        self.snapshots.add(&report.snapshots);
        self.members.add(&report.members);
        self.lost += report.network.lost + report.network.cut;
    }
}

/// Runs one seed. A failing run leaves its trace in `folder`.
///
/// # Errors
/// The failure, with the path of the trace if it could be written.
pub fn run_seed(seed: u64, options: &Options, folder: &Path) -> Result<Report, Box<Failure>> {
    let mut simulation = Simulation::new(seed, options.clone());
    simulation.run().map_err(|mut failure| {
        // A verdict without a trace is still a verdict.
        failure.trace = simulation.trace().write(folder, &options.name, seed).ok();
        Box::new(failure)
    })
}

/// Runs `seeds` on `threads` threads and hands every clean report to `on_clean`, in no particular order.
///
/// # Errors
/// The failure of the smallest seed that fails, whatever the threads' order: all smaller ones are run to their ends.
pub fn run_seeds(
    seeds: Range<u64>,
    threads: usize,
    options: &Options,
    folder: &Path,
    on_clean: impl FnMut(&Report) + Send,
) -> Result<(), Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let on_clean = Mutex::new(on_clean);
    let first_failure: Mutex<Option<Box<Failure>>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = || lock(&first_failure).as_ref().is_some_and(|failure| failure.seed < seed);
            if seed >= seeds.end || is_over() {
                return;
            }
            match run_seed(seed, options, folder) {
                Ok(report) => (lock(&on_clean))(&report),
                Err(failure) if !is_over() => *lock(&first_failure) = Some(failure),
                Err(_) => {}
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    first_failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// A panic in `on_clean` ends the campaign anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::HarnessLie;
    use crate::trace::default_folder;

    #[test]
    fn the_smallest_failing_seed_is_told_whatever_the_number_of_threads() {
        let lying = Options { harness_lie: Some(HarnessLie::ReadLocally), ..Options::three_stores("threads") };
        let folder = default_folder().join("threads");
        let failing = |threads| {
            let mut clean = Vec::new();
            let failure = run_seeds(0..50, threads, &lying, &folder, |report| clean.push(report.seed));
            let seed = failure.expect_err("local reads are noticed").seed;
            clean.retain(|clean| *clean < seed);
            clean.sort_unstable();
            assert_eq!(clean, (0..seed).collect::<Vec<_>>(), "every smaller seed was run");
            seed
        };
        assert_eq!(failing(1), failing(3));
    }
}
