//! `make test-project1`, which is `cargo run -p xtask -- test-project 1`: runs the graded tests of one project and adds up the points.
//!
//! The tests are found by the tag at the end of their names and compared with `labs.toml`, so that a test that was renamed, lost or
//! added without points is an error and never a silently smaller run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    error::{Error, Result},
    labs::{Labs, Project},
};

/// Runs the tests of project `id`; an error unless all of them pass.
pub fn run(id: &str) -> Result<()> {
    let labs = Labs::load()?;
    let project = labs.project(id)?;
    println!("project {id}: {}", project.title);
    let paths = find(project)?;
    compare(project, &paths)?;
    let passed = execute(project, &paths)?;
    report(project, &paths, &passed)
}

/// The function's name in the path of a test.
fn name_of(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

fn cargo_test(project: &Project) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg("test").args(&project.cargo);
    command
}

/// Paths of all tests that carry the tag of the project.
fn find(project: &Project) -> Result<BTreeSet<String>> {
    let output = cargo_test(project)
        .args(["--", "--list"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::Cargo(error.to_string()))?;
    if !output.status.success() {
        return Err(Error::Cargo("the tests do not build".to_owned()));
    }
    let tag = format!("_{}", project.id);
    let listed = String::from_utf8_lossy(&output.stdout);
    let paths = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(paths.filter(|path| path.ends_with(&tag)).map(str::to_owned).collect())
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

/// Runs the tests, shows cargo's output as it comes, and returns whether each of them passed.
fn execute(project: &Project, paths: &BTreeSet<String>) -> Result<BTreeMap<String, bool>> {
    let mut child = cargo_test(project)
        .args(["--no-fail-fast", "--", "--exact"])
        .args(paths)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::Cargo(error.to_string()))?;
    let mut passed = BTreeMap::new();
    let output = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| Error::Cargo(error.to_string()))?;
        println!("{line}");
        let verdict = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        if let Some((path, verdict)) = verdict.filter(|(path, _)| paths.contains(*path)) {
            // A test may exist under the same path in two binaries; it passes when it passes in both.
            let all = passed.entry(path.to_owned()).or_insert(true);
            *all &= verdict == "ok";
        }
    }
    child.wait().map_err(|error| Error::Cargo(error.to_string()))?;
    Ok(passed)
}

/// Prints a line per graded test and the sum.
fn report(project: &Project, paths: &BTreeSet<String>, passed: &BTreeMap<String, bool>) -> Result<()> {
    let (mut points, mut possible, mut failed) = (0, 0, 0);
    let width = project.tests.iter().map(|test| test.name.len()).max().unwrap_or_default();
    println!();
    for test in &project.tests {
        let mut all = paths.iter().filter(|path| name_of(path) == test.name);
        let pass = all.all(|path| passed.get(path) == Some(&true));
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
