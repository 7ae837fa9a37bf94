//! `labs.toml`: the graded tests of the lab, by project, with their titles and points.

use std::fs;

use serde::Deserialize;

use crate::{
    error::{Error, Result, at},
    tree::root,
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labs {
    /// The projects in their order.
    #[serde(rename = "project")]
    pub projects: Vec<Project>,
}

/// One project of the lab.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// As in `1` or `2ab`; test names end in `_` and this.
    pub id: String,
    /// What the project is about.
    pub title: String,
    /// Arguments that make `cargo test` select the crate of the tests.
    pub cargo: Vec<String>,
    /// The same for `ENGINE=rocksdb`, if the tests can run on it.
    #[serde(default)]
    pub rocksdb: Vec<String>,
    /// The graded tests.
    pub tests: Vec<Test>,
}

/// One graded test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Name of the test function, without its modules.
    pub name: String,
    /// What it checks.
    pub title: String,
    /// What passing it is worth.
    pub points: u32,
}

impl Project {
    /// Whether the graded tests cannot be compiled without RocksDB: `--workspace` says so in `labs.toml`.
    pub fn needs_rocksdb(&self) -> bool {
        self.cargo.iter().any(|argument| argument == "--workspace")
    }
}

impl Labs {
    /// Reads the file at the top of the tree.
    pub fn load() -> Result<Self> {
        let path = root().join("labs.toml");
        let text = fs::read_to_string(&path).map_err(at(path))?;
        toml::from_str(&text).map_err(|error| Error::Labs(error.to_string()))
    }

    /// The project of a graded test.
    pub fn project_of_test(&self, name: &str) -> Result<&Project> {
        let owns = |project: &&Project| project.tests.iter().any(|test| test.name == name);
        self.projects.iter().find(owns).ok_or_else(|| Error::UnknownTest(name.to_owned()))
    }

    /// The project with this id.
    pub fn project(&self, id: &str) -> Result<&Project> {
        self.projects.iter().find(|project| project.id == id).ok_or_else(|| Error::UnknownProject {
            id: id.to_owned(),
            known: self.projects.iter().map(|project| project.id.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_graded_test_carries_its_tag_and_is_listed_once() {
        let labs = Labs::load().expect("labs.toml is valid");
        let mut seen = BTreeSet::new();
        for project in &labs.projects {
            assert!(seen.insert(&project.id), "project {} stands there twice", project.id);
            assert!(!project.tests.is_empty() && !project.cargo.is_empty(), "project {} is empty", project.id);
            for test in &project.tests {
                assert!(test.name.ends_with(&format!("_{}", project.id)), "{} lacks the tag {}", test.name, project.id);
                assert!(seen.insert(&test.name), "{} stands there twice", test.name);
                assert!(test.points > 0 && !test.title.is_empty(), "{} has no points or no title", test.name);
            }
        }
    }

    #[test]
    fn a_test_leads_to_its_project() {
        let labs = Labs::load().expect("labs.toml is valid");
        assert_eq!(labs.project_of_test("basic_2b").map(|project| project.id.as_str()).ok(), Some("2b"));
        assert!(labs.project_of_test("basic_9z").is_err_and(|error| error.to_string().contains("basic_9z")));
    }

    #[test]
    fn an_unknown_project_names_those_there_are() {
        let error = Labs::load().expect("labs.toml is valid").project("9z").expect_err("there is no such project");
        assert!(error.to_string().contains("labs.toml has: 1,"), "{error}");
    }
}
