//! Why the process cannot start or go on. The messages are printed as they are, so they name the remedy.

use std::path::PathBuf;

use crate::state;

/// The result of a step of the process's life.
pub type Result<T> = std::result::Result<T, Error>;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(String),
    /// The port is taken.
    #[error("address {address} is in use by another process: stop that process or choose another address with --addr")]
    AddressInUse {
        /// The address that was asked for.
        address: String,
    },
    /// The port cannot be opened for another reason.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The data folder is in use, half written, or of another kind. Nothing in it was changed.
    #[error("data folder {}: {reason}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The log file cannot be written.
    #[error("log file {}: {source}", path.display())]
    LogFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The state machine could not be loaded.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The gRPC server ended with an error.
    #[error("the gRPC server failed: {0}")]
    Server(#[from] tonic::transport::Error),
    /// The runtime or a signal handler could not be set up.
    #[error("cannot set up the process: {0}")]
    Process(#[from] std::io::Error),
}

impl Error {
    /// May starting again later succeed without a change of configuration or data?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::AddressInUse { .. } => true,
            Self::State(error) => error.is_retryable(),
            _ => false,
        }
    }
}
