//! Many seeds, one after the other, up to the first failure.

use std::path::Path;

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

/// Runs `seeds` until the first failure.
///
/// # Errors
/// That failure.
pub fn run_seeds(
    seeds: impl IntoIterator<Item = u64>,
    options: &Options,
    folder: &Path,
) -> Result<Totals, Box<Failure>> {
    let mut totals = Totals::default();
    for seed in seeds {
        totals.add(&run_seed(seed, options, folder)?);
    }
    Ok(totals)
}
