//! `make test-project1`, which is `cargo run -p xtask -- test-project 1`: runs the graded tests of one project and adds up the points.
//!
//! The tests are found by the tag at the end of their names and compared with `labs.toml`, so that a test that was renamed, lost or
//! added without points is an error and never a silently smaller run.

mod runner;

use std::collections::BTreeSet;

pub use self::runner::{Run, Runner};
use crate::{
    error::{Error, Result},
    labs::{Labs, Project},
};

/// Runs the tests of project `id`; an error unless all of them pass.
pub fn run(id: &str) -> Result<()> {
    let labs = Labs::load()?;
    let project = labs.project(id)?;
    println!("project {id}: {}", project.title);
    let run = graded(&Runner::here(), project, |line| println!("{line}"))?;
    report(project, &run)
}

/// Runs the graded tests of a project in a tree and hands every line that they print to `show`.
pub fn graded(runner: &Runner, project: &Project, show: impl FnMut(&str)) -> Result<Run> {
    let paths = runner.find(project)?;
    compare(project, &paths)?;
    runner.execute(project, paths, show)
}

/// Runs one graded test and shows all that it prints. `SEEDS` and the other variables are the test's own.
pub fn replay(name: &str) -> Result<()> {
    let labs = Labs::load()?;
    let project = labs.project_of_test(name)?;
    let runner = Runner::here();
    let paths: Vec<String> = runner.find(project)?.into_iter().filter(|path| name_of(path) == name).collect();
    if paths.is_empty() {
        return Err(Error::TestsDiffer { missing: vec![name.to_owned()], ungraded: Vec::new() });
    }
    let status = runner
        .cargo_test(project)
        .args(["--", "--exact", "--nocapture"])
        .args(paths)
        .status()
        .map_err(|error| Error::Cargo(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Error::TestsFailed { failed: 1, total: 1 }) }
}

/// The function's name in the path of a test.
fn name_of(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Fails unless the tree and `labs.toml` hold the same tests.
fn compare(project: &Project, paths: &BTreeSet<String>) -> Result<()> {
    let found: BTreeSet<&str> = paths.iter().map(|path| name_of(path)).collect();
    let graded: BTreeSet<&str> = project.tests.iter().map(|test| test.name.as_str()).collect();
    let only = |left: &BTreeSet<&str>, right| left.difference(right).map(|name| (*name).to_owned()).collect();
    let (missing, ungraded): (Vec<String>, Vec<String>) = (only(&graded, &found), only(&found, &graded));
    if missing.is_empty() && ungraded.is_empty() && !found.is_empty() {
        Ok(())
    } else {
        Err(Error::TestsDiffer { missing, ungraded })
    }
}

/// Prints a line per graded test and the sum.
fn report(project: &Project, run: &Run) -> Result<()> {
    let (mut points, mut possible, mut failed) = (0, 0, 0);
    let width = project.tests.iter().map(|test| test.name.len()).max().unwrap_or_default();
    println!();
    for test in &project.tests {
        let pass = run.paths.iter().filter(|path| name_of(path) == test.name).all(|path| run.passed(path));
        let earned = if pass { test.points } else { 0 };
        println!("{:>4} of {:<3} {:<4} {:<width$}  {}", earned, test.points, mark(pass), test.name, test.title);
        points += earned;
        possible += test.points;
        failed += usize::from(!pass);
    }
    println!("{points:>4} of {possible} points in project {}", project.id);
    if failed == 0 { Ok(()) } else { Err(Error::TestsFailed { failed, total: project.tests.len() }) }
}

fn mark(pass: bool) -> &'static str {
    if pass { "pass" } else { "FAIL" }
}
