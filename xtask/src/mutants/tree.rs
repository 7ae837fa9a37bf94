//! A copy of the tree below the target folder, in which one bug at a time is put and taken out again.
//!
//! It has a build folder of its own. What a bug does not touch is not compiled again: files keep their times unless their content has
//! changed, and the compiler works incrementally there, without debug information.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::patch::{Patch, Tests};
use super::verdict::{self, Verdict};
use crate::error::{Error, Result};
use crate::tree;

/// See the module.
pub struct Tree {
    folder: PathBuf,
    target: PathBuf,
}

/// A copy with a bug in it; it is taken out again when this goes.
pub struct Applied<'a> {
    tree: &'a Tree,
    patch: &'a Patch,
}

impl Tree {
    /// Copies all files that git knows, or would take in, as they are now, into a folder of this name.
    pub fn copy(name: &str) -> Result<Self> {
        let target = tree::target();
        let copy = Self { folder: target.join("mutants").join(name), target: target.join("mutants/build") };
        tree::copy(&copy.folder, |_| Ok(None))?;
        tree::prune(&copy.folder)?;
        Ok(copy)
    }

    /// Puts a bug in.
    pub fn apply<'a>(&'a self, patch: &'a Patch) -> Result<Applied<'a>> {
        let output = self.patch(patch, false)?;
        if !output.status.success() {
            let reason =
                format!("it does not fit the tree any more: {}", String::from_utf8_lossy(&output.stderr).trim());
            return Err(Error::Patch { path: patch.path.clone(), reason });
        }
        Ok(Applied { tree: self, patch })
    }

    fn patch(&self, patch: &Patch, reverse: bool) -> Result<Output> {
        let mut command = Command::new("git");
        // The copy is no repository, and must not be taken for a part of the one around it.
        command.env("GIT_DIR", self.folder.join("none")).current_dir(&self.folder).arg("apply");
        if reverse {
            command.arg("--reverse");
        }
        command.arg(&patch.path).output().map_err(|error| Error::Git(error.to_string()))
    }

    /// Compiles a program of a crate, as the tree is now.
    pub fn build(&self, package: &str, program: &str) -> Result<()> {
        must_succeed(self.cargo(&["build", "-q", "-p", package, "--bin", program]))
    }

    /// Runs a compiled campaign up to its first failure.
    pub fn campaign(&self, program: &str, arguments: &[&str]) -> Result<Option<Verdict>> {
        Ok(verdict::of_campaign(&self.run(program, arguments)?))
    }

    /// What a compiled program prints.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.target.join("debug").join(program)).args(arguments).output();
        let output = output.map_err(|error| Error::Cargo(error.to_string()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the graded tests of a project; those that fail.
    pub fn graded(&self, package: &str, test: &str, project: &str) -> Result<Vec<Verdict>> {
        must_succeed(self.cargo(&["test", "-q", "-p", package, "--test", test, "--no-run"]))?;
        let tag = format!("_{project}");
        let output = self.cargo(&["test", "-q", "-p", package, "--test", test, "--no-fail-fast", "--", &tag]).output();
        let output = output.map_err(|error| Error::Cargo(error.to_string()))?;
        Ok(verdict::of_tests(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Runs tests that a patch names; those that fail.
    pub fn named_tests(&self, patch: &Patch, tests: &Tests) -> Result<Vec<Verdict>> {
        let mut arguments = vec!["test", "-q", "-p", &tests.package];
        match tests.target.as_str() {
            "lib" => arguments.push("--lib"),
            file => arguments.extend(["--test", file]),
        }
        let only_build: Vec<&str> = arguments.iter().copied().chain(["--no-run"]).collect();
        must_succeed(self.cargo(&only_build))?;
        arguments.push("--");
        arguments.extend(tests.names.iter().map(String::as_str));
        let output = self.cargo(&arguments).output().map_err(|error| Error::Cargo(error.to_string()))?;
        let output = String::from_utf8_lossy(&output.stdout);
        if verdict::tests_run(&output) == 0 {
            let reason = format!("{} has no test like {}", tests.package, tests.names.join(" or "));
            return Err(Error::Patch { path: patch.path.clone(), reason });
        }
        Ok(verdict::of_unit_tests(&output))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.envs([("CARGO_INCREMENTAL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

impl Drop for Applied<'_> {
    fn drop(&mut self) {
        let taken_out = self.tree.patch(self.patch, true).is_ok_and(|output| output.status.success());
        assert!(taken_out, "{} went in and does not come out again", self.patch.name);
    }
}

impl Applied<'_> {
    /// What does not compile now does not because of the bug.
    pub fn blame(&self, error: Error) -> Error {
        Error::Patch { path: self.patch.path.clone(), reason: format!("the tree does not compile with it:\n{error}") }
    }
}

fn must_succeed(mut command: Command) -> Result<()> {
    let output = command.output().map_err(|error| Error::Cargo(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Error::Cargo(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
