//! Runs groups under faults over a range of seeds, or one seed again.
//!
//! Exit code 0: every seed held every rule. 1: a seed failed; its verdict is on standard output. 2: bad usage.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use test_raft::campaign::{Campaign, Failure, Options, run_seed};
use test_raft::group::{Breakage, Counts};

/// Runs Raft groups under faults and checks every rule after every step.
#[derive(Parser)]
#[command(name = "sim-raft")]
struct Arguments {
    /// The seeds to run: `a..b`, or one seed.
    #[arg(long, value_parser = parse_seeds, default_value = "0..5000")]
    seeds: Range<u64>,
    /// Runs this seed twice, compares the two, and prints what came of it.
    #[arg(long)]
    replay: Option<u64>,
    /// Prints every step of the replayed seed.
    #[arg(long, requires = "replay")]
    trace: bool,
    /// Breaks a promise of the nodes' owner on purpose, to see that it is noticed.
    #[arg(long, value_parser = parse_breakage)]
    broken: Option<Breakage>,
    /// Lists these promises, each with the rules of which one must notice it.
    #[arg(long)]
    list_broken: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("{part:?} is not a seed: {error}"));
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

fn parse_breakage(name: &str) -> Result<Breakage, String> {
    let names: Vec<_> = Breakage::ALL.iter().map(|breakage| breakage.name()).collect();
    Breakage::named(name).ok_or_else(|| format!("not one of {}", names.join(", ")))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list_broken {
        Breakage::ALL.iter().for_each(|broken| println!("{} {}", broken.name(), broken.caught_by().join(" ")));
        return ExitCode::SUCCESS;
    }
    let options = Options { breakage: arguments.broken, in_words: arguments.trace };
    match arguments.replay {
        Some(seed) => replay(seed, &options),
        None => campaign(arguments.seeds, &options),
    }
}

fn campaign(seeds: Range<u64>, options: &Options) -> ExitCode {
    let (started, mut reported) = (Instant::now(), Instant::now());
    let (mut clean, mut counts) = (0, Counts::default());
    println!("seeds {}..{}", seeds.start, seeds.end);
    for seed in seeds {
        match run_seed(seed, options) {
            Ok(report) => {
                clean += 1;
                counts += report.counts;
            }
            Err(failure) => {
                print_totals(clean, &counts, started);
                return fail(&failure);
            }
        }
        if reported.elapsed().as_secs() >= 10 {
            print_totals(clean, &counts, started);
            reported = Instant::now();
        }
    }
    print_totals(clean, &counts, started);
    ExitCode::SUCCESS
}

fn fail(failure: &Failure) -> ExitCode {
    println!("{failure}");
    ExitCode::FAILURE
}

fn print_totals(clean: u64, counts: &Counts, started: Instant) {
    let seconds = started.elapsed().as_secs_f64().max(0.001);
    println!("{clean} seeds clean, {:.0} seeds/s; {counts}", clean as f64 / seconds);
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    let again = Campaign::new(seed, &Options { in_words: false, ..*options }).run();
    let mut campaign = Campaign::new(seed, options);
    let outcome = campaign.run();
    campaign.world.trace.lines().iter().for_each(|line| println!("{line}"));
    let digest = campaign.world.trace.digest();
    match (outcome, again) {
        (Ok(report), Ok(other)) => {
            let same = report == other;
            println!(
                "seed {seed}: digest {digest:016x}, the second run is {}",
                if same { "the same" } else { "DIFFERENT" }
            );
            println!("clean: {}", report.counts);
            if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        (Err(failure), _) | (_, Err(failure)) => {
            println!("seed {seed}: digest {digest:016x}");
            fail(&failure)
        }
    }
}
