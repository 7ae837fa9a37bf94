//! `make mutants`, which is `cargo run -p xtask -- mutants`: puts known bugs into a copy of the tree, one at a time, and sees that each
//! is noticed by the rule that it breaks.
//!
//! A bug is a patch in a folder `bugs` of a crate that tests others; its head says what the bug is and which rules name it. First the
//! crate's campaign runs over a range of seeds, then the tests that the patch names, then the graded tests of the bug's project, if it has
//! one. A campaign may also be able to break promises by itself, without a patch. A bug that nobody notices, or that is noticed by another
//! rule only, survives, and the chore fails: either the tests have a hole or the diagnosis misleads.
//!
//! In a hurry the rest is left out as soon as one of them has noticed the bug.

mod patch;
mod tree;
mod verdict;

use self::patch::Patch;
use self::tree::Tree;
use self::verdict::Verdict;
use crate::error::{Error, Result};

/// A crate that notices bugs of others.
struct Zoo {
    /// Its name and folder.
    package: &'static str,
    /// Its program that runs seeds.
    campaign: &'static str,
    /// Which seeds.
    seeds: &'static str,
    /// Its graded tests.
    graded: Option<&'static str>,
    /// Flags of the program: one lists the promises that it can break, with their rules, the other breaks one.
    promises: Option<(&'static str, &'static str)>,
}

const ZOOS: [Zoo; 2] = [
    Zoo {
        package: "test-raft",
        campaign: "sim-raft",
        seeds: "0..5000",
        graded: None,
        promises: Some(("--list-broken", "--broken")),
    },
    Zoo { package: "test-raftstore", campaign: "sim", seeds: "0..500", graded: Some("lab"), promises: None },
];

/// Who noticed a bug.
#[derive(Default)]
struct Noticed {
    campaign: Option<Verdict>,
    /// Of the tests that the patch names.
    named: Vec<Verdict>,
    graded: Vec<Verdict>,
}

impl Noticed {
    fn all(&self) -> impl Iterator<Item = &Verdict> {
        self.campaign.iter().chain(&self.named).chain(&self.graded)
    }

    fn by_a_rule(&self, rules: &[String]) -> Option<&Verdict> {
        self.all().find(|verdict| rules.contains(&verdict.rule))
    }

    fn is_in_doubt(&self, rules: &[String]) -> bool {
        self.named.is_empty() && self.by_a_rule(rules).is_none()
    }
}

/// A line of the table.
struct Row {
    bug: String,
    rule: String,
    campaign: String,
    tests: String,
    survived: bool,
}

/// Runs the bugs with these names, of one crate or of all; every bug if no name is given.
pub fn run(names: &[String], package: Option<&str>, quick: bool) -> Result<()> {
    let mut bugs = Vec::new();
    for zoo in ZOOS.iter().filter(|zoo| package.is_none_or(|package| package == zoo.package)) {
        bugs.extend(patch::all_of(zoo.package)?.into_iter().map(|patch| (zoo, patch)));
    }
    let known: Vec<String> = bugs.iter().map(|(_, patch)| patch.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Error::UnknownBug { name: name.clone(), known });
    }
    bugs.retain(|(_, patch)| names.is_empty() || names.contains(&patch.name));
    let tree = Tree::copy("tree")?;
    println!("| bug | noticed by | campaign | tests that fail |");
    println!("|---|---|---|---|");
    let mut survivors = Vec::new();
    let mut count = 0;
    let mut judge = |row: Row| {
        println!("| {} | {} | {} | {} |", row.bug, row.rule, row.campaign, row.tests);
        count += 1;
        if row.survived {
            survivors.push(row.bug);
        }
    };
    for (zoo, patch) in &bugs {
        judge(try_bug(&tree, zoo, patch, quick)?);
    }
    for zoo in ZOOS.iter().filter(|zoo| names.is_empty() && package.is_none_or(|package| package == zoo.package)) {
        for row in try_promises(&tree, zoo)? {
            judge(row);
        }
    }
    println!("\n{} of {count} bugs noticed by their rules", count - survivors.len());
    if survivors.is_empty() { Ok(()) } else { Err(Error::BugsSurvived { names: survivors }) }
}

fn try_bug(tree: &Tree, zoo: &Zoo, patch: &Patch, quick: bool) -> Result<Row> {
    let applied = tree.apply(patch)?;
    let seeds = patch.seeds.as_deref().unwrap_or(zoo.seeds);
    tree.build(zoo.package, zoo.campaign).map_err(|error| applied.blame(error))?;
    let mut noticed = Noticed { campaign: tree.campaign(zoo.campaign, &["--seeds", seeds])?, ..Noticed::default() };
    for tests in &patch.tests {
        if !quick || noticed.is_in_doubt(&patch.rules) {
            noticed.named.extend(tree.named_tests(patch, tests)?);
        }
    }
    if let (Some(test), Some(project)) = (zoo.graded, &patch.project)
        && (!quick || noticed.is_in_doubt(&patch.rules))
    {
        noticed.graded = tree.graded(zoo.package, test, project)?;
    }
    Ok(row(&patch.name, &patch.rules, seeds, &noticed))
}

fn try_promises(tree: &Tree, zoo: &Zoo) -> Result<Vec<Row>> {
    let Some((list, flag)) = zoo.promises else { return Ok(Vec::new()) };
    tree.build(zoo.package, zoo.campaign)?;
    let mut rows = Vec::new();
    for line in tree.run(zoo.campaign, &[list])?.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(name) = words.next() else { continue };
        let campaign = tree.campaign(zoo.campaign, &["--seeds", zoo.seeds, flag, &name])?;
        rows.push(row(&name, &words.collect::<Vec<_>>(), zoo.seeds, &Noticed { campaign, ..Noticed::default() }));
    }
    Ok(rows)
}

fn row(bug: &str, rules: &[String], seeds: &str, noticed: &Noticed) -> Row {
    let (rule, survived) = match (noticed.by_a_rule(rules), noticed.named.first(), noticed.all().next()) {
        (Some(verdict), _, _) => (verdict.rule.clone(), false),
        (None, Some(test), _) => (format!("test {}", test.name), false),
        (None, None, Some(other)) => (format!("SURVIVED: wanted {}, got {}", rules.join(" or "), other.rule), true),
        (None, None, None) => (format!("SURVIVED: wanted {}, nobody noticed", rules.join(" or ")), true),
    };
    let at_seed = |verdict: &Verdict| format!("{} at seed {}", verdict.rule, verdict.seed);
    let test = |verdict: &Verdict| match verdict.rule == verdict.name {
        true => verdict.name.clone(),
        false => format!("{} ({})", verdict.name, verdict.rule),
    };
    Row {
        bug: bug.to_owned(),
        rule,
        survived,
        campaign: noticed.campaign.as_ref().map_or_else(|| format!("{seeds} clean"), at_seed),
        tests: noticed.named.iter().chain(&noticed.graded).map(test).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_still_fits_the_tree() {
        let tree = Tree::copy("check").unwrap();
        for zoo in &ZOOS {
            let patches = patch::all_of(zoo.package).unwrap();
            assert!(patches.len() >= 10, "only {} bugs are left in {}", patches.len(), zoo.package);
            for patch in patches {
                tree.apply(&patch).map(drop).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// Names of the functions of a crate.
    fn functions(package: &str) -> Vec<String> {
        let files = crate::tree::files().unwrap();
        let sources = files.iter().filter(|file| file.starts_with(&format!("{package}/")) && file.ends_with(".rs"));
        let texts = sources.map(|file| std::fs::read_to_string(crate::tree::root().join(file)).unwrap());
        let name = |line: &str| Some(line.split_once("fn ")?.1.split_once('(')?.0.to_owned());
        texts.flat_map(|text| text.lines().filter_map(name).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn every_test_that_a_bug_names_is_there() {
        let mut known = std::collections::BTreeMap::new();
        for patch in ZOOS.iter().flat_map(|zoo| patch::all_of(zoo.package).unwrap()) {
            for tests in &patch.tests {
                let functions = known.entry(tests.package.clone()).or_insert_with(|| functions(&tests.package));
                for name in &tests.names {
                    let is_there = functions.iter().any(|function| function.contains(name.as_str()));
                    assert!(is_there, "{}: {} has no test like {name}", patch.name, tests.package);
                }
            }
        }
    }
}
