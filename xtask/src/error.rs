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
    /// The .proto files do not compile; the text points at file, line and column.
    #[error("the .proto files do not compile: {0}")]
    Protobuf(String),
    /// rustfmt could not be run, or it refused.
    #[error("rustfmt: {0}; `rustup component add rustfmt` installs it")]
    Rustfmt(String),
    /// The committed code is not what the .proto files give.
    #[error("generated code is stale: {}; run `make proto` and commit the result", files.join(", "))]
    Stale {
        /// Names of the files that differ, are missing or are left over.
        files: Vec<String>,
    },
}

/// What a chore returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Attaches the path to an I/O error.
pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
