//! The patches that hold bugs.
//!
//! ```text
//! Bug: A leader commits entries of earlier terms by counting (Raft, figure 8).
//! Rules: R-COMMIT-TERM
//! Project: 2b          (optional: its graded tests run, too)
//! Seeds: 0..2000       (optional: where the campaign's usual range is too short)
//!
//! diff --git …
//! ```

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
    if field("Bug").is_none() || rules.is_empty() {
        return Err(Error::Patch { path, reason: "its head lacks a line `Bug: …` or `Rules: …`".to_owned() });
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Patch { name, rules, project: field("Project"), seeds: field("Seeds"), path })
}
