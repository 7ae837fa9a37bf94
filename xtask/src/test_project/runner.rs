//! Runs the graded tests of a project by cargo, in this tree or in a copy of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{Error, Result},
    labs::Project,
    tree,
};

/// A tree whose tests are run.
pub struct Runner {
    folder: PathBuf,
    target: PathBuf,
}

/// What came of the graded tests of a project.
#[derive(Default)]
pub struct Run {
    /// Paths of the tests. A graded test may exist for several engines, and under the same path in two binaries.
    pub paths: BTreeSet<String>,
    passed: BTreeMap<String, bool>,
    output: BTreeMap<String, String>,
}

impl Run {
    /// Whether a test passed wherever it ran, and ran at all.
    pub fn passed(&self, path: &str) -> bool {
        self.passed.get(path) == Some(&true)
    }

    /// What a test that failed has printed.
    pub fn output_of(&self, path: &str) -> &str {
        self.output.get(path).map_or("", String::as_str)
    }

    /// Takes in a line of what the tests print. `section` is the test whose output it may be part of.
    fn read(&mut self, line: &str, section: &mut Option<String>) {
        if let Some(path) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            *section = Some(path.to_owned());
            return;
        }
        let verdict = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let verdict = verdict.map(|(path, verdict)| (path.trim_end_matches(" - should panic"), verdict));
        if let Some((path, verdict)) = verdict.filter(|(path, _)| self.paths.contains(*path)) {
            *section = None;
            // A test may exist under the same path in two binaries; it passes when it passes in both.
            let all = self.passed.entry(path.to_owned()).or_insert(true);
            *all &= verdict == "ok";
        } else if let Some(path) = section {
            let text = self.output.entry(path.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
}

impl Runner {
    /// For this tree.
    pub fn here() -> Self {
        Self { folder: tree::root().to_owned(), target: tree::target() }
    }

    /// For a copy, which is compiled in a folder of its own.
    pub fn of_copy(folder: &Path, target: &Path) -> Self {
        Self { folder: folder.to_owned(), target: target.to_owned() }
    }

    /// `cargo test` with what selects the project's tests.
    pub fn cargo_test(&self, project: &Project) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        command.arg("test").args(if on_rocksdb(project) { &project.rocksdb } else { &project.cargo });
        command
    }

    /// Paths of all tests that carry the tag of the project.
    pub fn find(&self, project: &Project) -> Result<BTreeSet<String>> {
        let output = self
            .cargo_test(project)
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

    /// Runs these tests of the project and hands every line that they print to `show`, as it comes.
    pub fn execute(&self, project: &Project, paths: BTreeSet<String>, mut show: impl FnMut(&str)) -> Result<Run> {
        let mut child = self
            .cargo_test(project)
            .args(["--no-fail-fast", "--", "--exact"])
            .args(&paths)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Cargo(error.to_string()))?;
        let (mut run, mut section) = (Run { paths, ..Run::default() }, None);
        let output = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| Error::Cargo(error.to_string()))?;
            show(&line);
            run.read(&line, &mut section);
        }
        child.wait().map_err(|error| Error::Cargo(error.to_string()))?;
        Ok(run)
    }
}

/// With `ENGINE=rocksdb`, tests that can run on it are compiled for it.
fn on_rocksdb(project: &Project) -> bool {
    !project.rocksdb.is_empty() && std::env::var_os("ENGINE").is_some_and(|engine| engine == "rocksdb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_passed_where_all_of_its_name_have_and_what_failed_has_said_why() {
        let paths = ["a::one_2b", "a::two_2b", "a::three_2b"];
        let mut run = Run { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Run::default() };
        let mut section = None;
        for line in [
            "running 2 tests",
            "test a::one_2b ... ok",
            "test a::two_2b ... FAILED",
            "",
            "failures:",
            "",
            "---- a::two_2b stdout ----",
            "not yet implemented: 2B: x",
            "test result: FAILED. 1 passed; 1 failed",
            "test a::one_2b ... FAILED",
        ] {
            run.read(line, &mut section);
        }
        assert!(!run.passed("a::one_2b") && !run.passed("a::two_2b") && !run.passed("a::three_2b"));
        assert!(run.output_of("a::two_2b").starts_with("not yet implemented: 2B: x\n"));
        assert_eq!(run.output_of("a::one_2b"), "");
    }
}
