//! How a failing seed says so: the rule that broke, the seed, the step, and how to see it again.

use std::fmt;

use crate::invariants::Violation;

/// A failed seed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The first bad step.
    pub step: u64,
    /// What broke.
    pub violation: Violation,
    /// What kind of group it was.
    pub mix: String,
}

impl Failure {
    /// "safety" for a broken rule, "stuck" for a group that makes no progress without faults, "contract" for a panic.
    pub fn kind(&self) -> &'static str {
        match self.violation.id.as_bytes() {
            [b'R', b'-', ..] => "safety",
            [b'L', b'-', ..] => "stuck",
            _ => "contract",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, violation, mix } = self;
        writeln!(f, "FAIL sim-raft  seed {seed}  step {step}  {}  ({})", violation.id, self.kind())?;
        violation.message.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "  group   {mix}")?;
        write!(f, "  replay  make sim-raft REPLAY={seed}")
    }
}

impl std::error::Error for Failure {}
