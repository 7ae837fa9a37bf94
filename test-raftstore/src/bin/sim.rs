//! Runs the simulator over a range of seeds, or one seed again, or makes a failing seed smaller.
//!
//! Exit code 0: every seed held every rule. 1: a seed failed; its verdict is on standard output, its trace in `target/lab`.
//! 2: bad usage.

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use test_raftstore::faults::FaultMix;
use test_raftstore::sim::campaign::{Totals, run_seeds};
use test_raftstore::sim::disk::DiskLie;
use test_raftstore::sim::external::Externals;
use test_raftstore::sim::shrink::shrink;
use test_raftstore::sim::{HarnessLie, Options, Simulation};
use test_raftstore::trace::default_folder;

/// A run allocates and frees small things all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs simulated clusters under faults and checks every rule after every step.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The seeds to run: `a..b` (without b), or one seed.
    #[arg(long, value_parser = parse_seeds, default_value = "0..200")]
    seeds: Range<u64>,
    /// Runs this seed twice, compares the two byte by byte, and prints what came of it.
    #[arg(long)]
    replay: Option<u64>,
    /// Drops from this failing seed all that it does not need to fail by the same rule, and prints what is left.
    #[arg(long, conflicts_with = "replay")]
    shrink: Option<u64>,
    /// Writes the trace of the replayed seed to this file.
    #[arg(long, requires = "replay")]
    trace: Option<PathBuf>,
    /// Of all that comes from outside only this takes place: a list such as fault:3,wish:1,operation:2.17
    #[arg(long)]
    only: Option<Externals>,
    /// Seeds that run at a time; as many as there are cores if left out.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// How many stores; drawn from the seed if left out.
    #[arg(long)]
    stores: Option<u64>,
    /// Length of the phase with faults, in virtual seconds.
    #[arg(long)]
    fault_seconds: Option<u64>,
    /// Every kind of fault in every seed; which kinds is drawn from the seed if left out.
    #[arg(long)]
    all_faults: bool,
    /// Breaks a promise on purpose, to see that it is noticed.
    #[arg(long, value_enum)]
    lie: Option<Lie>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lie {
    SyncWithoutSyncing,
    BarrierWithoutSyncing,
    ForgetVote,
    ForgetApplyState,
    ReadLocally,
    AcknowledgeEarly,
    GrantEveryVote,
    AcceptEveryAppend,
    CorruptEntries,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("{part:?} is not a seed: {error}"));
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let faults = arguments.all_faults.then_some(FaultMix::ALL);
    let mut options = Options { stores: arguments.stores, faults, only: arguments.only, ..Options::campaign() };
    if let Some(seconds) = arguments.fault_seconds {
        options.fault_time = seconds * 1_000_000;
    }
    if let Some(lie) = arguments.lie {
        options.lie_name = lie.to_possible_value().map(|value| value.get_name().to_string());
        tell(&mut options, lie);
    }
    match (arguments.replay, arguments.shrink) {
        (Some(seed), _) => replay(seed, &options, arguments.trace),
        (None, Some(seed)) => shrink_seed(seed, &options),
        (None, None) => campaign(arguments.seeds, arguments.threads.map_or_else(all_cores, NonZero::get), &options),
    }
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs that a failing seed is worth.
const SHRINK_RUNS: usize = 2_000;

fn shrink_seed(seed: u64, options: &Options) -> ExitCode {
    let Some(mut shrunk) = shrink(seed, options, SHRINK_RUNS) else {
        println!("seed {seed} is clean: nothing to shrink");
        return ExitCode::SUCCESS;
    };
    let mut simulation = Simulation::new(seed, shrunk.options.clone());
    let again = simulation.run().err().is_some_and(|failure| failure.id == shrunk.failure.id);
    shrunk.failure.trace = simulation.trace().write(&default_folder(), "shrunk", seed).ok();
    println!("{}", shrunk.failure);
    println!(
        "  shrunk  {} events from outside to {} in {} runs; the smallest run {}",
        shrunk.before,
        shrunk.needed.0.len(),
        shrunk.runs,
        if again { "fails again in the same way" } else { "DOES NOT FAIL AGAIN" }
    );
    ExitCode::FAILURE
}

fn tell(options: &mut Options, lie: Lie) {
    match lie {
        Lie::SyncWithoutSyncing => options.lies.raft = Some(DiskLie::SyncWithoutSyncing),
        Lie::BarrierWithoutSyncing => options.lies.kv = Some(DiskLie::BarrierWithoutSyncing),
        Lie::ForgetVote => options.lies.raft = Some(DiskLie::ForgetVote),
        Lie::ForgetApplyState => options.lies.kv = Some(DiskLie::ForgetApplyState),
        Lie::ReadLocally => options.harness_lie = Some(HarnessLie::ReadLocally),
        Lie::AcknowledgeEarly => options.harness_lie = Some(HarnessLie::AcknowledgeEarly),
        Lie::GrantEveryVote => options.harness_lie = Some(HarnessLie::GrantEveryVote),
        Lie::AcceptEveryAppend => options.harness_lie = Some(HarnessLie::AcceptEveryAppend),
        Lie::CorruptEntries => options.harness_lie = Some(HarnessLie::CorruptEntries),
    }
}

fn campaign(seeds: Range<u64>, threads: usize, options: &Options) -> ExitCode {
    println!("seeds {}..{} on {threads} threads", seeds.start, seeds.end);
    let started = Instant::now();
    let mut reported = started;
    let mut totals = Totals::default();
    let outcome = run_seeds(seeds, threads, options, &default_folder(), |report| {
        totals.add(report);
        if reported.elapsed().as_secs() >= 10 {
            print_totals(&totals, started);
            reported = Instant::now();
        }
    });
    if let Err(failure) = &outcome {
        println!("{failure}");
    }
    print_totals(&totals, started);
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_totals(totals: &Totals, started: Instant) {
    let seconds = started.elapsed().as_secs_f64().max(0.001);
    let (ok, failed, unknown) = totals.outcomes;
    println!(
        "{} seeds clean, {:.1} seeds/s, {:.0} steps/s; operations: {ok} ok, {failed} failed, {unknown} unknown; {} crashes, {} messages lost, {} background tasks, {} regions by splits; snapshots: {:?}; members: {:?}",
        totals.seeds,
        totals.seeds as f64 / seconds,
        totals.steps as f64 / seconds,
        totals.crashes,
        totals.lost,
        totals.background_tasks,
        totals.new_regions,
        totals.snapshots,
        totals.members,
    );
}

fn replay(seed: u64, options: &Options, file: Option<PathBuf>) -> ExitCode {
    let mut first = Simulation::new(seed, options.clone());
    let outcome = first.run();
    let mut second = Simulation::new(seed, options.clone());
    let again = second.run();
    let same = first.trace().digest() == second.trace().digest()
        && first.trace().to_json_lines() == second.trace().to_json_lines()
        && outcome.is_ok() == again.is_ok();
    println!(
        "seed {seed}: {} events, digest {:016x}, the second run is {}",
        first.trace().len(),
        first.trace().digest(),
        if same { "identical" } else { "DIFFERENT" }
    );
    if let Some(file) = file {
        if let Err(error) = fs::write(&file, first.trace().to_json_lines()) {
            eprintln!("cannot write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
        println!("trace {}", file.display());
    }
    match outcome {
        Ok(report) => {
            let (ok, failed, unknown) = report.outcomes;
            println!(
                "clean: {} steps, {} virtual; operations: {ok} ok, {failed} failed, {unknown} unknown; {} crashes",
                report.steps, report.time, report.crashes
            );
            if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(mut failure) => {
            failure.trace = first.trace().write(&default_folder(), &options.name, seed).ok();
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
