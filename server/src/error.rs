//! What can go wrong when a store starts, runs and stops.
//!
//! Errors of single requests never get here: they are answered to the client (see [`crate::service`]). What is left ends
//! the process with one line on standard error, so each message has to say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that ends the process, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong; the text names the key and the remedy.
    #[error("configuration: {0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({key}): {source}{}", bind_remedy(.source))]
    Bind {
        /// Configuration key of the address.
        key: &'static str,
        /// The address.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works in the data folder.
    #[error(
        "the data folder {} is in use by another process; stop that one, or give this store a folder of its own with \
         --data-dir", .path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder cannot be used; the text says why and what to do. Nothing was changed.
    #[error("the data folder {}: {reason}", .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, such as "create".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The engine or the storage layer failed.
    #[error("storage: {0}")]
    Storage(#[from] storage::Error),
    /// The scheduler refused something that this store cannot do without.
    #[error("scheduler: {0}")]
    Scheduler(String),
    /// The replication layer failed to start or had to stop.
    #[error("raftstore: {0}")]
    Raftstore(String),
    /// The gRPC or the status server stopped by itself.
    #[error("{server} server: {reason}")]
    Serve {
        /// Which of the two.
        server: &'static str,
        /// What it said.
        reason: String,
    },
}

impl Error {
    /// For `map_err` around file operations.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the same start may succeed later without anybody changing anything (a port or folder in use, a scheduler away).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Bind { .. } | Self::InUse { .. } | Self::Scheduler(_) => true,
            Self::Storage(e) => e.is_retryable(),
            Self::Config(_) | Self::DataDir { .. } | Self::Io { .. } | Self::Raftstore(_) | Self::Serve { .. } => false,
        }
    }
}

fn bind_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another process has this port: stop it or choose another port",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}
