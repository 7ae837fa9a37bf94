//! Mixed groups from the command line: many seeds, or one with everything that happens in it.
//!
//! ```text
//! interop --seeds 0..500       run these seeds, tell which of them broke a rule
//! interop --replay 17          run this one twice, compare, and print every event of it
//! ```

use std::ops::Range;
use std::process::ExitCode;

use raft_peer::seeds;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seeds", range] => match parse_range(range) {
            Some(range) => run_many(range),
            None => usage(),
        },
        ["--replay", seed] => match seed.parse() {
            Ok(seed) => replay(seed),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: interop --seeds FIRST..END | interop --replay SEED");
    ExitCode::from(2)
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (first, end) = text.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

fn run_many(range: Range<u64>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let results = seeds::run_all(range, threads, |seed| seeds::run(seed, false));
    let (mut failed, mut events, mut committed, mut reads, mut slowest) = (0, 0, 0, 0, 0);
    let (mut forwarded, mut requests) = (0, 0);
    for (seed, result) in &results {
        match result {
            Ok(outcome) => {
                events += outcome.events;
                committed += outcome.committed;
                reads += outcome.reads;
                forwarded += outcome.forwarded_reads;
                requests += outcome.snapshot_requests;
                slowest = slowest.max(outcome.recovered_in);
            }
            Err(why) => {
                failed += 1;
                println!(
                    "seed {seed}: {}\n  again: {}",
                    why.lines().next().unwrap_or_default(),
                    seeds::replay_command(*seed)
                );
            }
        }
    }
    println!(
        "{} seeds, {failed} failed: {events} events, {committed} entries, {reads} reads and {forwarded} through the leader, \
         {requests} snapshots asked for, recovered within {slowest} ticks",
        results.len()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    let outcome = seeds::run(seed, true);
    let again = seeds::run(seed, false);
    println!("{outcome:?}");
    if outcome == again {
        return ExitCode::SUCCESS;
    }
    println!("the second run was another one: {again:?}");
    ExitCode::FAILURE
}
