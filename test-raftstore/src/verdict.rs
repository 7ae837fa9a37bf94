//! How a failing run says so: the kind of failure, the rule that was broken, the seed, the step, and how to see it again.

use std::fmt;
use std::path::PathBuf;

/// The four kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// An invariant or the linearizability check is violated.
    Safety,
    /// No progress in a phase without faults.
    Stuck,
    /// A panic, two runs of one seed that differ, a callback that was not answered.
    Contract,
    /// Steps, memory, messages or the check beyond their bound.
    Resource,
}

impl FailureKind {
    /// Its name in a verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Stuck => "stuck",
            Self::Contract => "contract",
            Self::Resource => "resource",
        }
    }
}

/// A failed run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// The broken rule: an invariant's id such as `R-ELECT`, `LINEARIZABLE`, `L-LEADER`, `PANIC`, ….
    pub id: &'static str,
    /// The name of the test or campaign.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// The first bad step.
    pub step: u64,
    /// What is wrong, one fact a line.
    pub details: Box<str>,
    /// Where the trace was written.
    pub trace: Option<PathBuf>,
    /// The command that shows the same failure again.
    pub replay: Box<str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "FAIL {}  seed {}  step {}  {}  ({})",
            self.name,
            self.seed,
            self.step,
            self.id,
            self.kind.name()
        )?;
        for line in self.details.lines() {
            writeln!(formatter, "  {line}")?;
        }
        if let Some(trace) = &self.trace {
            writeln!(formatter, "  trace   {}", trace.display())?;
        }
        write!(formatter, "  replay  {}", self.replay)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_rule_seed_step_and_replay() {
        let failure = Failure {
            kind: FailureKind::Safety,
            id: "R-ELECT",
            name: "sim".to_string(),
            seed: 40961,
            step: 1832,
            details: "region 1 term 7: peers 2 and 3 both lead".into(),
            trace: Some(PathBuf::from("target/lab/sim-40961/trace.jsonl")),
            replay: "make replay SEED=40961".into(),
        };
        let text = failure.to_string();
        assert!(text.starts_with("FAIL sim  seed 40961  step 1832  R-ELECT  (safety)\n  region 1 term 7"), "{text}");
        assert!(text.ends_with("replay  make replay SEED=40961"), "{text}");
    }
}
