//! The markers around what students write, and copies of the tree in which these pieces are missing.
//!
//! ```text
//! // lab:begin 2AB log::append  hint="append what is new; truncate from the first conflict only"
//! … the solution …
//! // lab:end
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `parse.rs` | the markers of one file |
//! | `blank.rs` | `cargo x blank`: a copy without what is written in a project |
//! | `check.rs` | `cargo x check-blanks`: such a copy compiles, and its tests show what is missing and nothing else |

mod blank;
mod check;
mod parse;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

pub use self::{blank::run as blank, check::run as check_blanks, parse::Region};
use crate::{
    error::{Error, Result, at},
    labs::{Labs, Project},
    tree,
};

/// All pieces that students write, by file.
pub struct Markers(BTreeMap<String, Marked>);

/// A file with pieces in it.
pub struct Marked {
    /// Its text, as it was when the markers were read.
    pub text: String,
    /// The pieces in their order.
    pub regions: Vec<Region>,
}

impl Markers {
    /// Reads the markers of the whole tree.
    ///
    /// # Errors
    /// [`Error::Markers`] with all that is wrong: begins and ends that do not match, regions without hint or code, tags that are no
    /// project of `labs.toml`, names that a project has twice, projects without anything to write.
    pub fn load(labs: &Labs) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in tree::files()?.into_iter().filter(|name| name.ends_with(".rs")) {
            let path = tree::root().join(&name);
            let text = fs::read_to_string(&path).map_err(at(&path))?;
            files.insert(name, text);
        }
        Self::of(labs, &files)
    }

    fn of(labs: &Labs, files: &BTreeMap<String, String>) -> Result<Self> {
        let mut problems = Vec::new();
        let mut markers = BTreeMap::new();
        let (mut seen, mut tags) = (BTreeSet::new(), BTreeSet::new());
        for (file, text) in files {
            let at = |line: usize, what: &str| format!("{file}:{}: {what}", line + 1);
            let (regions, unreadable) = parse::regions_of(text);
            problems.extend(unreadable.iter().map(|(line, what)| at(*line, what)));
            for Region { tag, name, begin, .. } in &regions {
                if labs.projects.iter().all(|project| tag_of(project) != *tag) {
                    problems.push(at(*begin, &format!("labs.toml has no project {tag}")));
                }
                if !seen.insert((tag.clone(), name.clone())) {
                    problems.push(at(*begin, &format!("project {tag} has another {name}")));
                }
                tags.insert(tag.clone());
            }
            if !regions.is_empty() {
                markers.insert(file.clone(), Marked { text: text.clone(), regions });
            }
        }
        let idle = labs.projects.iter().filter(|project| !tags.contains(&tag_of(project)));
        problems.extend(idle.map(|project| format!("there is nothing to write in project {}", tag_of(project))));
        if problems.is_empty() { Ok(Self(markers)) } else { Err(Error::Markers { problems }) }
    }

    /// All regions.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.0.values().flat_map(|file| &file.regions)
    }

    /// A file, if it has pieces in it.
    pub fn file(&self, name: &str) -> Option<&Marked> {
        self.0.get(name)
    }
}

/// The tag in the markers of a project.
pub fn tag_of(project: &Project) -> String {
    project.id.to_uppercase()
}

/// Fails unless every marker of the tree is in order.
pub fn check() -> Result<()> {
    let markers = Markers::load(&Labs::load()?)?;
    println!("{} pieces to write, in {} files", markers.regions().count(), markers.0.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labs(ids: &[&str]) -> Labs {
        let project = |id: &&str| Project {
            id: (*id).to_owned(),
            title: String::new(),
            cargo: Vec::new(),
            rocksdb: Vec::new(),
            tests: Vec::new(),
        };
        Labs { projects: ids.iter().map(project).collect() }
    }

    fn file(name: &str, regions: &[(&str, &str)]) -> (String, String) {
        let region =
            |(tag, name): &(&str, &str)| format!("// lab:begin {tag} {name} hint=\"h\"\ncode();\n// lab:end\n");
        (name.to_owned(), regions.iter().map(region).collect())
    }

    #[test]
    fn all_markers_of_the_tree_are_in_order() {
        let labs = Labs::load().unwrap();
        if let Err(error) = Markers::load(&labs) {
            panic!("{error}");
        }
    }

    #[test]
    fn a_name_is_unique_within_its_project() {
        let files =
            BTreeMap::from([file("a.rs", &[("2B", "x"), ("2C", "x")]), file("b.rs", &[("2B", "y"), ("2B", "x")])]);
        let error = Markers::of(&labs(&["2b", "2c"]), &files).err().unwrap().to_string();
        assert_eq!(error.lines().skip(1).collect::<Vec<_>>(), ["  b.rs:4: project 2B has another x"]);
    }

    #[test]
    fn tags_and_projects_belong_together() {
        let files = BTreeMap::from([file("a.rs", &[("2B", "x"), ("9Z", "x")])]);
        let error = Markers::of(&labs(&["2b", "2c"]), &files).err().unwrap().to_string();
        let complaints: Vec<_> = error.lines().skip(1).collect();
        assert_eq!(complaints, ["  a.rs:4: labs.toml has no project 9Z", "  there is nothing to write in project 2C"]);
    }
}
