//! What can go wrong in a chore.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a chore was not done. Every message says what to do next where that is not plain.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    #[cfg(feature = "proto")]
    /// The .proto files do not compile; the text points at file, line and column.
    #[error("the .proto files do not compile: {0}")]
    Protobuf(String),
    #[cfg(feature = "proto")]
    /// rustfmt could not be run, or it refused.
    #[error("rustfmt: {0}; `rustup component add rustfmt` installs it")]
    Rustfmt(String),
    #[cfg(feature = "proto")]
    /// The committed code is not what the .proto files give.
    #[error("generated code is stale: {}; run `make proto` and commit the result", files.join(", "))]
    Stale {
        /// Names of the files that differ, are missing or are left over.
        files: Vec<String>,
    },
    /// `labs.toml` cannot be understood; the text points at the line.
    #[error("labs.toml: {0}")]
    Labs(String),
    /// There is no such project.
    #[error("there is no project `{id}`; labs.toml has: {}", known.join(", "))]
    UnknownProject {
        /// What was asked for.
        id: String,
        /// The ids there are.
        known: Vec<String>,
    },
    /// There is no such graded test.
    #[error("there is no graded test `{0}`; labs.toml lists them")]
    UnknownTest(String),
    /// cargo could not be run, or the tests do not build.
    #[error("cargo test: {0}")]
    Cargo(String),
    /// The tests in the tree are not those of `labs.toml`.
    #[error(
        "the tests in the tree and in labs.toml differ; without a test: [{}]; without points: [{}]",
        missing.join(", "), ungraded.join(", ")
    )]
    TestsDiffer {
        /// Names in `labs.toml` without a test.
        missing: Vec<String>,
        /// Tests with the tag of the project that `labs.toml` does not list.
        ungraded: Vec<String>,
    },
    /// Graded tests did not pass.
    #[error("{failed} of {total} graded tests failed")]
    TestsFailed {
        /// How many failed.
        failed: usize,
        /// How many there are.
        total: usize,
    },
    /// Markers around what students write are not in order.
    #[error("markers that are not in order:\n  {}", problems.join("\n  "))]
    Markers {
        /// Each with file and line.
        problems: Vec<String>,
    },
    /// A folder that is to be filled has something in it.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Graded tests do not show what is missing, or miss what does not belong to them.
    #[error("graded tests and what is to be written do not fit together:\n  {}", wrong.join("\n  "))]
    Blanks {
        /// Each with the path of the test.
        wrong: Vec<String>,
    },
    /// git could not be run.
    #[error("git: {0}")]
    Git(String),
    /// A patch with a bug in it is of no use.
    #[error("{}: {reason}", path.display())]
    Patch {
        /// The patch.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no such bug.
    #[error("there is no bug `{name}`; there are: {}", known.join(", "))]
    UnknownBug {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Bugs were not noticed, or not by the rules that their patches name.
    #[error("not noticed, or not by the right rule: {}", names.join(", "))]
    BugsSurvived {
        /// Which.
        names: Vec<String>,
    },
}

/// What a chore returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Attaches the path to an I/O error.
pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
