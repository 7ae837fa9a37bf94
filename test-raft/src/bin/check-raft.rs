//! Walks through every order of events of a small group, and checks every rule in every state.
//!
//! Exit code 0: no rule broke. 1: one did; a shortest list of events is on standard output. 2: bad usage.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use test_raft::check::{Bounds, check};
use test_raft::group::Breakage;

/// Walks through every order of events of a small Raft group.
#[derive(Parser)]
#[command(name = "check-raft")]
struct Arguments {
    /// Elections take place up to this term; the group starts in term 1.
    #[arg(long)]
    terms: Option<u64>,
    /// Proposals.
    #[arg(long)]
    proposals: Option<u8>,
    /// Crashes.
    #[arg(long)]
    crashes: Option<u8>,
    /// Messages that arrive twice.
    #[arg(long)]
    copies: Option<u8>,
    /// Times that a disk takes its time.
    #[arg(long)]
    delays: Option<u8>,
    /// Changes of membership: the last node is removed, in one step or through a joint configuration.
    #[arg(long)]
    changes: Option<u8>,
    /// Reads, of leaders and through them.
    #[arg(long)]
    reads: Option<u8>,
    /// Messages under way.
    #[arg(long)]
    wire: Option<usize>,
    /// States after which the search ends.
    #[arg(long)]
    states: Option<usize>,
    /// Breaks a promise of the nodes' owner on purpose, to see that it is noticed.
    #[arg(long)]
    broken: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let large = Bounds::large();
    let breakage = match arguments.broken.as_deref().map(|name| (name, Breakage::named(name))) {
        Some((name, None)) => {
            eprintln!("error: {name} is no promise that can be broken");
            return ExitCode::from(2);
        }
        Some((_, breakage)) => breakage,
        None => None,
    };
    let bounds = Bounds {
        max_term: arguments.terms.unwrap_or(large.max_term),
        proposals: arguments.proposals.unwrap_or(large.proposals),
        crashes: arguments.crashes.unwrap_or(large.crashes),
        copies: arguments.copies.unwrap_or(large.copies),
        delays: arguments.delays.unwrap_or(large.delays),
        changes: arguments.changes.unwrap_or(large.changes),
        reads: arguments.reads.unwrap_or(large.reads),
        wire: arguments.wire.unwrap_or(large.wire),
        states: arguments.states.unwrap_or(large.states),
        breakage,
        ..large
    };
    println!("{bounds:?}");
    let started = Instant::now();
    let outcome = check(&bounds);
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Ok(summary) => {
            let end =
                if summary.complete { "all states within the bounds" } else { "as many states as were asked for" };
            println!(
                "no rule broke: {} states, {} moves, depth {}, {seconds:.1} s, {end}",
                summary.states, summary.moves, summary.depth
            );
            ExitCode::SUCCESS
        }
        Err(counterexample) => {
            println!("{counterexample}\n{seconds:.1} s");
            ExitCode::FAILURE
        }
    }
}
