//! Quorums and membership changes, compared with the data files of etcd's raft library.
//!
//! The files are not part of this tree. They are looked for in `../shared/conformance`, beside the workspace; where they are absent the
//! tests say so and pass. Each file is a list of cases: a command, its input, and the output that is expected.

mod data;

use std::fs;
use std::path::{Path, PathBuf};

use data::cases::{Case, parse};

/// The folder with the data, if it is there.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

/// Runs all files of a folder, each with a runner of its own. Returns the number of cases.
fn run<R: FnMut(&Case) -> String>(folder: &Path, mut runner: impl FnMut() -> R) -> usize {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        let text = fs::read_to_string(file).expect("a text");
        let mut run_case = runner();
        for case in parse(&text) {
            count += 1;
            let actual = run_case(&case);
            if actual.trim_end() != case.expected {
                let place = format!("{}:{}", file.display(), case.line);
                wrong.push(format!("{place}: {case}\nexpected\n{}\ngot\n{}", case.expected, actual.trim_end()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases differ\n\n{}", wrong.len(), wrong.join("\n\n"));
    count
}

#[test]
fn quorums_decide_as_in_the_data() {
    if let Some(folder) = folder("quorum") {
        assert_eq!(run(&folder, || data::quorum::run), 127, "number of cases");
    }
}

#[test]
fn configurations_change_as_in_the_data() {
    if let Some(folder) = folder("confchange") {
        let runner = || {
            let mut group = data::confchange::Group::default();
            move |case: &Case| group.run(case)
        };
        assert_eq!(run(&folder, runner), 58, "number of cases");
    }
}
