//! Raft, told in scenarios: `tests/scenarios/` holds one file for each behaviour, and each file is a test of that name.
//!
//! ```text
//! cargo test -p test-raft --test scenarios                     # all of them
//! cargo test -p test-raft --test scenarios elections           # a theme, or one file
//! UPDATE_GOLDENFILES=1 cargo test -p test-raft --test scenarios   # writes the output of all commands anew: read the diff
//! ```
//!
//! `docs/scenarios.md` has the language.

mod script;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"), "", &mut trials)?;
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// One test for each file below `folder`, named `theme::behaviour`.
fn collect(folder: &Path, prefix: &str, trials: &mut Vec<Trial>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file name that is not text")?;
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}::"), trials)?;
        } else {
            trials.push(Trial::test(name, move || run(path)));
        }
    }
    Ok(())
}

/// Runs a scenario and compares its output, or writes it into the file if `UPDATE_GOLDENFILES` is set.
fn run(path: PathBuf) -> Result<(), Failed> {
    let text = fs::read_to_string(&path)?;
    if !text.starts_with("# ") {
        return Err("a scenario opens with a comment that says what is to be seen".into());
    }
    let output = goldenscript::generate(&mut script::Script::default(), &text)?;
    if std::env::var("UPDATE_GOLDENFILES").is_ok_and(|value| value == "1") {
        if output != text {
            fs::write(&path, output)?;
        }
        return Ok(());
    }
    match first_difference(&text, &output) {
        Some(difference) => Err(format!("{}:{difference}", path.display()).into()),
        None => Ok(()),
    }
}

/// The first block whose output has changed: its line, its commands, and both outputs.
fn first_difference(expected: &str, actual: &str) -> Option<String> {
    let position = expected.lines().zip(actual.lines()).position(|(a, b)| a != b);
    let position = match position {
        Some(position) => position,
        None if expected.lines().count() == actual.lines().count() => return None,
        None => expected.lines().count().min(actual.lines().count()),
    };
    let start = expected.lines().take(position).collect::<Vec<_>>().iter().rposition(|line| line.is_empty());
    let start = start.map_or(0, |line| line + 1);
    let block =
        |text: &str| text.lines().skip(start).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    Some(format!(
        "{}: the output is another one\n\n{}\n\n... is expected, but this came:\n\n{}\n\n\
         If that is right, UPDATE_GOLDENFILES=1 writes it into the file.",
        position + 1,
        block(expected),
        block(actual)
    ))
}
