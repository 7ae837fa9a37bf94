//! The simulator: seeds a second on one core, and the graded tests of raftstore at ten seeds each.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::report::{Goal, Report};

/// Seeds of the campaign that is timed.
const SEEDS: &str = "0..100";
/// The graded tests of raftstore.
const PROJECTS: [&str; 3] = ["2b", "2c", "3b"];

/// Measures both.
pub fn run(report: &mut Report) {
    let campaign = ["--seeds", SEEDS, "--stores", "5", "--fault-seconds", "9", "--threads", "1"];
    let output = cargo(&["run", "-q", "-p", "test-raftstore", "--bin", "sim", "--"], &campaign);
    let seeds = output.lines().last().and_then(|line| line.split(" seeds/s").next()?.rsplit(' ').next()?.parse().ok());
    let seeds: f64 = seeds.unwrap_or_else(|| panic!("the simulator does not say how fast it is:\n{output}"));
    report.push("seeds of five stores and ten virtual seconds", seeds, "a second and core", Goal::AtLeast(20.0));

    // What the tests need is compiled before their time runs.
    let selected =
        ["-p", "raft-core", "-p", "raftstore", "-p", "test-raftstore", "--lib", "--test", "stores", "--test", "lab"];
    cargo(&["test", "-q", "--no-run"], &selected);
    let mut all = Duration::ZERO;
    for project in PROJECTS {
        let started = Instant::now();
        cargo(&["run", "-q", "-p", "xtask", "--", "test-project"], &[project]);
        all += started.elapsed();
        report.push(&format!("graded tests of project {project}"), started.elapsed().as_secs_f64(), "s", Goal::None);
    }
    report.push("graded tests of raftstore, ten seeds each", all.as_secs_f64(), "s", Goal::AtMost(60.0));
}

/// Runs cargo to its end; standard output.
fn cargo(command: &[&str], arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(command).args(arguments).stderr(Stdio::inherit());
    let output = cargo.output().expect("run cargo");
    assert!(output.status.success(), "{command:?} {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
