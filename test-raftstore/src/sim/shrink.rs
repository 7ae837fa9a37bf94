//! Makes a failing run smaller: drops events from outside as long as the run still breaks the same rule.
//!
//! The search is delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input"): halves first, then
//! ever smaller pieces, each tried away; what the failing run did not get to is gone with the first try. Runs are deterministic, so
//! the outcome is the same each time.

use std::collections::BTreeSet;

use super::driver::Simulation;
use super::external::{External, Externals};
use super::options::Options;
use crate::verdict::Failure;

/// What shrinking came to.
pub struct Shrunk {
    /// How many events from outside the run had before it failed.
    pub before: usize,
    /// Those that are still needed.
    pub needed: Externals,
    /// How the smallest run fails.
    pub failure: Failure,
    /// Its options; a run with them fails in this way.
    pub options: Options,
    /// How many runs it took.
    pub runs: usize,
}

struct Search<'a> {
    seed: u64,
    options: &'a Options,
    rule: &'static str,
    runs: usize,
}

impl Search<'_> {
    /// Runs with these events alone. If the same rule breaks: what took place until then, and the failure.
    fn fails_with(&mut self, kept: &[External]) -> Option<(Vec<External>, Failure)> {
        self.runs += 1;
        let only = Externals(kept.iter().copied().collect());
        let options = Options { only: Some(only), ..self.options.clone() };
        let mut simulation = Simulation::new(self.seed, options);
        let failure = simulation.run().err().filter(|failure| failure.id == self.rule)?;
        Some((simulation.externals().0.into_iter().collect(), failure))
    }
}

/// Shrinks the run of `seed`; `None` if it does not fail. Gives up after `limit` runs with what it has.
pub fn shrink(seed: u64, options: &Options, limit: usize) -> Option<Shrunk> {
    let mut simulation = Simulation::new(seed, options.clone());
    let mut failure = simulation.run().err()?;
    let mut kept: Vec<External> = simulation.externals().0.into_iter().collect();
    let before = kept.len();
    let mut search = Search { seed, options, rule: failure.id, runs: 1 };
    let mut pieces = 2;
    while !kept.is_empty() && search.runs < limit {
        let size = kept.len().div_ceil(pieces);
        let starts = (0..kept.len()).step_by(size);
        let smaller = starts.take(limit - search.runs).find_map(|start| {
            let without = [&kept[..start], &kept[(start + size).min(kept.len())..]].concat();
            search.fails_with(&without)
        });
        match smaller {
            Some((seen, smaller)) => {
                kept = seen;
                failure = smaller;
                pieces = (pieces - 1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(kept.len()),
        }
    }
    let needed = Externals(kept.iter().copied().collect::<BTreeSet<_>>());
    let options = Options { only: Some(needed.clone()), ..options.clone() };
    Some(Shrunk { before, needed, failure, options, runs: search.runs })
}
