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

/// Runs one graded test and shows all that it prints. `SEEDS` and the other variables are the test's own.
pub fn replay(name: &str) -> Result<()> {
    let labs = Labs::load()?;
    let project = labs.project_of_test(name)?;
    let paths: Vec<String> = find(project)?.into_iter().filter(|path| name_of(path) == name).collect();
    if paths.is_empty() {
        return Err(Error::TestsDiffer { missing: vec![name.to_owned()], ungraded: Vec::new() });
    }
    let status = cargo_test(project)
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

/// With `ENGINE=rocksdb`, tests that can run on it are compiled for it.
fn on_rocksdb(project: &Project) -> bool {
    !project.rocksdb.is_empty() && std::env::var_os("ENGINE").is_some_and(|engine| engine == "rocksdb")
}

/// Tests with threads and clocks of their own do not share the machine with one another.
fn one_at_a_time() -> bool {
    std::env::var_os("DRIVER").is_some_and(|driver| driver == "threads")
}

fn cargo_test(project: &Project) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg("test").args(if on_rocksdb(project) { &project.rocksdb } else { &project.cargo });
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
        .args(one_at_a_time().then_some("--test-threads=1"))
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
        let verdict = verdict.map(|(path, verdict)| (path.trim_end_matches(" - should panic"), verdict));
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
