//! `make check-blanks`: each project can be worked on with the earlier ones from the solution.
//!
//! Each project's pieces are taken out of a copy of the tree in turn. The copy must compile. Every graded test of the project must fail
//! by a message that names a missing piece, or it would be passed by whoever writes nothing; and every graded test of an earlier project
//! must pass, or students would meet a piece before its time.

use std::collections::BTreeSet;

use super::{Markers, blank, tag_of};
use crate::{
    error::{Error, Result},
    labs::{Labs, Project},
    test_project::{Run, Runner, graded},
    tree,
};

/// Checks the projects with these ids, all if there are none. Of the earlier projects the tests of those in `earlier` are run, all if that
/// is not given. All is without those that need RocksDB, which would be compiled once more for the copy: they want to be named.
pub fn run(ids: &[String], earlier: Option<&[String]>) -> Result<()> {
    let labs = Labs::load()?;
    for id in ids.iter().chain(earlier.unwrap_or_default()) {
        labs.project(id)?;
    }
    let markers = Markers::load(&labs)?;
    let folder = tree::target().join("blanks");
    let copy = folder.join("tree");
    tree::remove(&copy)?;
    let runner = Runner::of_copy(&copy, &folder.join("build"));
    let mut wrong = Vec::new();
    for (position, project) in labs.projects.iter().enumerate() {
        if !is_meant((!ids.is_empty()).then_some(ids), project) {
            continue;
        }
        let count = blank::write(&markers, std::slice::from_ref(project), &copy)?;
        println!("project {}, without its {count} pieces", project.id);
        wrong.extend(missing_pieces_show(&runner, project)?);
        for earlier in labs.projects[..position].iter().filter(|other| is_meant(earlier, other)) {
            wrong.extend(nothing_else_is_missing(&runner, project, earlier)?);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Blanks { wrong }) }
}

fn is_meant(named: Option<&[String]>, project: &Project) -> bool {
    named.map_or(!project.needs_rocksdb(), |ids| ids.contains(&project.id))
}

/// What is wrong with the project's own tests.
fn missing_pieces_show(runner: &Runner, project: &Project) -> Result<Vec<String>> {
    let run = graded(runner, project, |_| ())?;
    let named = format!("not yet implemented: {}: ", tag_of(project));
    let (mut pieces, mut wrong) = (BTreeSet::new(), Vec::new());
    for path in &run.paths {
        if run.passed(path) {
            wrong.push(complain(&run, path, &format!("passes without the pieces of project {}", project.id)));
        } else if let Some((_, piece)) = run.output_of(path).split_once(&named) {
            pieces.extend(piece.split_whitespace().next().map(str::to_owned));
        } else {
            wrong.push(complain(&run, path, &format!("fails without a word of a piece of project {}", project.id)));
        }
    }
    println!("    {} tests; they miss {}", run.paths.len(), pieces.into_iter().collect::<Vec<_>>().join(", "));
    Ok(wrong)
}

/// What is wrong with the tests of an earlier project.
fn nothing_else_is_missing(runner: &Runner, project: &Project, earlier: &Project) -> Result<Vec<String>> {
    let run = graded(runner, earlier, |_| ())?;
    let failed = run.paths.iter().filter(|path| !run.passed(path));
    let why = format!("fails without the pieces of the later project {}", project.id);
    let wrong: Vec<String> = failed.map(|path| complain(&run, path, &why)).collect();
    println!("    {} of {} tests of project {} pass", run.paths.len() - wrong.len(), run.paths.len(), earlier.id);
    Ok(wrong)
}

/// Says what is wrong with a test, and shows the beginning of what it printed.
fn complain(run: &Run, path: &str, what: &str) -> String {
    println!("    {path} {what}");
    run.output_of(path).lines().filter(|line| !line.is_empty()).take(12).for_each(|line| println!("        {line}"));
    format!("{path} {what}")
}
