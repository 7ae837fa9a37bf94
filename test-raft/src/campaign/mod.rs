//! The campaign: groups of three to seven nodes under faults drawn from a seed, watched by every rule after every action.
//!
//! A seed has two phases. In the first everything goes wrong that the seed's [`Mix`] allows: messages are lost, held up, doubled and
//! reordered, links are cut in one or both directions, nodes die and forget what their disks had not finished, disks are slow. Then all
//! faults end at once, and the group must elect a leader (L-LEADER), commit (L-COMMIT), apply (L-APPLY), leave a joint configuration (L-CONF) and
//! say what became of reads (L-READ) within a bound, or the run fails with a report that says who waits for whom. The same seed is the same run: [`Report::digest`] is equal.

mod draw;
mod failure;
mod heal;
mod mix;
pub(crate) mod panics;
mod stuck;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use mix::Mix;

use crate::group::{Breakage, Counts, Rng, Trace, World};
use crate::invariants::Violation;
use crate::panics::capture;

/// How a campaign differs from the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A promise that is broken on purpose.
    pub breakage: Option<Breakage>,
    /// Whether to keep the trace in words.
    pub in_words: bool,
}

/// A seed in which every rule held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Two runs with the same digest did the same.
    pub digest: u64,
    /// How much happened.
    pub counts: Counts,
}

/// One seed while it runs.
pub struct Campaign {
    seed: u64,
    rng: Rng,
    mix: Mix,
    /// The group.
    pub world: World,
}

impl Campaign {
    /// The group of `seed`, before anything happened.
    pub fn new(seed: u64, options: &Options) -> Self {
        let mut rng = Rng::new(seed);
        let mix = Mix::draw(&mut rng, seed);
        let trace = if options.in_words { Trace::in_words() } else { Trace::default() };
        let world = World::new(&mix.configs(), &mix.founders(), options.breakage, trace);
        Campaign { seed, rng, mix, world }
    }

    /// Runs the seed to its end.
    ///
    /// # Errors
    /// The first rule that broke, or why the group is stuck.
    pub fn run(&mut self) -> Result<Report, Box<Failure>> {
        let outcome = capture(|| self.run_phases());
        let violation = match outcome {
            Ok(Ok(())) => return Ok(Report { digest: self.world.trace.digest(), counts: self.world.counts }),
            Ok(Err(violation)) => violation,
            Err(message) => panics::as_violation(message),
        };
        Err(Box::new(Failure { seed: self.seed, step: self.world.step, violation, mix: self.mix.to_string() }))
    }

    fn run_phases(&mut self) -> Result<(), Violation> {
        for _ in 0..self.mix.actions {
            let action = self.draw();
            self.world.perform(&action)?;
        }
        self.heal()
    }
}

/// Runs one seed.
///
/// # Errors
/// The first rule that broke, or why the group is stuck.
pub fn run_seed(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    Campaign::new(seed, options).run()
}
