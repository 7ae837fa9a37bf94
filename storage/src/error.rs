//! The one error type of this crate. It is cheap to clone, so that one failed engine write can answer every request that was part of
//! it; causes are therefore carried as text.

use std::path::PathBuf;

use proto::errorpb;

use crate::Cf;

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in an engine, a storage or a raw command.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk reported an error; whether the write reached it is unknown.
    #[error("storage I/O error: {message}")]
    Io { message: String },

    /// The disk or the configured space budget is used up; nothing was written.
    #[error("storage is out of disk space: {message}")]
    DiskFull { message: String },

    /// Bytes on disk (or in a column family) do not mean what they should.
    #[error("storage is corrupted: {message}")]
    Corrupted { message: String },

    /// Another process holds the data folder.
    #[error("data folder {} is in use by another process: stop that process or choose another folder", path.display())]
    Busy { path: PathBuf },

    /// Any other failure that the engine reports.
    #[error("storage engine error: {message}")]
    Engine { message: String },

    /// Pairs of a table have to come in ascending order of their keys, none twice.
    #[error("the pairs of a table in column family {cf} are not sorted: key {} comes behind {}", Hex(key), Hex(before))]
    Unsorted { cf: Cf, before: Vec<u8>, key: Vec<u8> },

    /// The engine or the storage was shut down (or has crashed, in the simulator).
    #[error("storage is stopped")]
    Stopped,

    /// No such column family in the raw API.
    #[error("unknown column family {name:?}: use \"default\" (or leave it empty)")]
    UnknownCf { name: String },

    /// A column family that belongs to transactions was named in a raw command.
    #[error(
        "column family {name:?} belongs to transactions and is closed to raw commands: use \"default\" (or leave it empty)"
    )]
    TransactionalCf { name: String },

    /// Keys are at least one byte long.
    #[error("the key is empty")]
    KeyEmpty,

    /// The key is longer than the configured limit.
    #[error("the key is too long: {len} bytes, the limit is {limit}")]
    KeyTooLarge { len: usize, limit: usize },

    /// The value is longer than the configured limit.
    #[error("the value is too long: {len} bytes, the limit is {limit}")]
    ValueTooLarge { len: usize, limit: usize },

    /// A scan asked for more pairs than one request may.
    #[error("the scan limit is too high: {limit} pairs, the limit is {max}")]
    ScanLimit { limit: usize, max: usize },

    /// The pairs found do not fit into one response. Cutting them short would read as "no more pairs in this region".
    #[error("the response is too large: more than {max} bytes; ask for fewer pairs")]
    ResponseTooLarge { max: usize },

    /// A range whose start lies behind its end.
    #[error("the range is reversed: its lower bound {} lies behind its upper bound {}", Hex(lower), Hex(upper))]
    ReversedRange { lower: Vec<u8>, upper: Vec<u8> },

    /// A batch put must name no time to live, one for all pairs, or one a pair.
    #[error("{ttls} times to live given for {pairs} pairs: give none, one, or one for each pair")]
    TtlCount { ttls: usize, pairs: usize },

    /// A replicated storage refused the request; the client's region cache needs the details.
    #[error("region error: {}", .0.message)]
    Region(Box<errorpb::Error>),
}

impl Error {
    /// Whether the same request may succeed later, unchanged, at this place or (for region errors) at another.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Busy { .. } | Error::DiskFull { .. } | Error::Region(_))
    }

    /// Whether every replica that executes the same request on the same data gets this same error. Only such errors may be the
    /// outcome of a committed log entry; all others mean that this replica must not go on.
    pub fn is_deterministic(&self) -> bool {
        match self {
            Error::UnknownCf { .. }
            | Error::TransactionalCf { .. }
            | Error::KeyEmpty
            | Error::KeyTooLarge { .. }
            | Error::ValueTooLarge { .. }
            | Error::ScanLimit { .. }
            | Error::ResponseTooLarge { .. }
            | Error::ReversedRange { .. }
            | Error::TtlCount { .. }
            | Error::Region(_) => true,
            Error::Io { .. }
            | Error::DiskFull { .. }
            | Error::Corrupted { .. }
            | Error::Busy { .. }
            | Error::Engine { .. }
            | Error::Unsorted { .. }
            | Error::Stopped => false,
        }
    }
}

/// Writes a key the way logs and error messages show it: printable ASCII as it is, everything else as `\xNN`.
struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
