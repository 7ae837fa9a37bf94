//! The patches that hold bugs.
//!
//! ```text
//! Bug: A leader commits entries of earlier terms by counting (Raft, figure 8).
//! Rules: R-COMMIT-TERM
//! Project: 2b          (optional: its graded tests run, too)
//! Seeds: 0..2000       (optional: where the campaign's usual range is too short)
//! Tests: raftstore/stores a_vote_that_comes_before_the_split    (optional, may stand there more than once)
//!
//! diff --git …
//! ```
//!
//! A line `Tests` names tests that notice the bug where no seed does, or only one in thousands: a crate, behind the slash the file in its
//! folder `tests` or `lib` for those beside the code, then parts of their names. A bug that no rule names has a test at least.

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result, at};
use crate::tree::root;

/// One bug.
pub struct Patch {
    /// Name of the file without its ending.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The rules of which one has to be named when the bug shows.
    pub rules: Vec<String>,
    /// The project of the lab that it belongs to.
    pub project: Option<String>,
    /// Seeds for the campaign.
    pub seeds: Option<String>,
    /// Tests that notice it.
    pub tests: Vec<Tests>,
}

/// Some tests of a crate.
#[derive(Debug, PartialEq, Eq)]
pub struct Tests {
    /// The crate.
    pub package: String,
    /// A file in its folder `tests`; `lib` stands for the tests beside the code.
    pub target: String,
    /// Parts of their names.
    pub names: Vec<String>,
}

impl Tests {
    fn read(line: &str) -> Option<Self> {
        let (place, names) = line.trim().split_once(' ')?;
        let (package, target) = place.split_once('/')?;
        let names = names.split_whitespace().map(str::to_owned).collect();
        Some(Self { package: package.to_owned(), target: target.to_owned(), names })
    }
}

/// All bugs in the folder of a crate, by name.
pub fn all_of(package: &str) -> Result<Vec<Patch>> {
    let folder = root().join(package).join("bugs");
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(at(&folder))? {
        let path = entry.map_err(at(&folder))?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            patches.push(read(path)?);
        }
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(patches)
}

fn read(path: PathBuf) -> Result<Patch> {
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let head = text.split("\ndiff ").next().unwrap_or_default();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(|value| value.trim().to_owned())
    };
    let rules: Vec<String> = field("Rules").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let lines = head.lines().filter_map(|line| line.strip_prefix("Tests: "));
    let Some(tests) = lines.map(Tests::read).collect::<Option<Vec<_>>>() else {
        return Err(Error::Patch { path, reason: "`Tests` is followed by CRATE/TARGET and names of tests".to_owned() });
    };
    if field("Bug").is_none() || rules.is_empty() && tests.is_empty() {
        let reason = "its head lacks a line `Bug: …`, or both of `Rules: …` and `Tests: …`".to_owned();
        return Err(Error::Patch { path, reason });
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Patch { name, rules, project: field("Project"), seeds: field("Seeds"), tests, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_by_crate_target_and_parts_of_their_names() {
        let read = Tests::read("raftstore/lib one two").unwrap();
        assert_eq!((read.package.as_str(), read.target.as_str()), ("raftstore", "lib"));
        assert_eq!(read.names, ["one", "two"]);
        assert_eq!(Tests::read("raftstore one"), None);
        assert_eq!(Tests::read("raftstore/lib"), None);
    }
}
