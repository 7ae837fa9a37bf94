//! Many seeds, one after the other: what the test and the command have in common.
//!
//! A seed that breaks a rule panics inside; here that is caught, so that the others still run and the report can name all of them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Outcome;
use crate::group::Group;
use crate::plan::Plan;
use crate::trace::Trace;

/// Runs one seed.
///
/// # Panics
/// If a rule is broken.
pub fn run(seed: u64, print: bool) -> Outcome {
    let plan = Plan::new(seed);
    if print {
        println!("{plan:#?}");
    }
    Group::new(plan, Trace::new(print)).run()
}

/// The command that repeats a seed.
pub fn replay_command(seed: u64) -> String {
    format!("make interop-replay SEED={seed}")
}

/// Runs seeds on as many threads as asked for. Returns what they came to, in order; for a broken rule what it said.
pub fn run_all<T: Send>(
    seeds: Range<u64>,
    threads: u64,
    one: impl Fn(u64) -> T + Sync,
) -> Vec<(u64, std::result::Result<T, String>)> {
    let (threads, one) = (threads.max(1), &one);
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let mine = seeds.clone().filter(move |seed| seed % threads == worker);
                scope.spawn(move || mine.map(|seed| (seed, guard(|| one(seed)))).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught inside")).collect()
    });
    results.sort_by_key(|(seed, _)| *seed);
    results
}

fn guard<T>(run: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}
