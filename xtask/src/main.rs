//! Chores of the tree that need more than a shell.
//!
//! `cargo x COMMAND`; the Makefile calls it. Runs on the main thread alone and ends with 0 when the chore is done, 1 with one line on
//! stderr when it is not, 2 on bad usage.

mod error;
mod labs;
mod markers;
mod mutants;
#[cfg(feature = "proto")]
mod proto;
mod test_project;
mod tree;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Chores of the tree.
#[derive(Parser)]
#[command(name = "cargo x", bin_name = "cargo x")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate the Rust code of the proto crate from its .proto files.
    #[cfg(feature = "proto")]
    Proto {
        /// Change nothing; fail if the committed code is stale.
        #[arg(long)]
        check: bool,
    },
    /// Run the graded tests of one project of the lab and add up the points.
    TestProject {
        /// As in `1` or `2ab`.
        id: String,
    },
    /// Run one graded test and show all that it prints.
    ReplayTest {
        /// Name of the test.
        name: String,
    },
    /// See that the markers around what students write are in order.
    Markers,
    /// Write a copy of the tree without what students write in a project.
    Blank {
        /// The project, as in `1` or `2ab`.
        #[arg(long)]
        project: String,
        /// Leave out the pieces of all later projects, too.
        #[arg(long)]
        and_later: bool,
        /// Where to; a folder that is new or empty.
        #[arg(long)]
        out: PathBuf,
    },
    /// See that in a tree without the pieces of a project its graded tests fail, each by naming one, and those of earlier projects pass.
    CheckBlanks {
        /// The projects; if there is none, all that do not need RocksDB.
        projects: Vec<String>,
        /// The projects, separated by commas, whose tests must pass as far as they are earlier ones; all that do not need RocksDB if this
        /// is left out.
        #[arg(long, value_delimiter = ',')]
        earlier: Option<Vec<String>>,
    },
    /// Put known bugs into a copy of the tree, one at a time, and see that each is noticed by its rule.
    Mutants {
        /// Names of the bugs, without `.patch`; all of them if there is none.
        names: Vec<String>,
        /// Only the bugs of this crate, such as test-raftstore.
        #[arg(long)]
        of: Option<String>,
        /// Leave out what is left to run as soon as a bug is noticed.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        #[cfg(feature = "proto")]
        Command::Proto { check: true } => proto::check(),
        #[cfg(feature = "proto")]
        Command::Proto { check: false } => proto::generate(),
        Command::TestProject { id } => test_project::run(&id),
        Command::ReplayTest { name } => test_project::replay(&name),
        Command::Markers => markers::check(),
        Command::Blank { project, and_later, out } => markers::blank(&project, and_later, &out),
        Command::CheckBlanks { projects, earlier } => markers::check_blanks(&projects, earlier.as_deref()),
        Command::Mutants { names, of, quick } => mutants::run(&names, of.as_deref(), quick),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
