//! The crate's one error type.
//!
//! Errors are what a caller can meet and act on. A broken invariant is not an error: it panics with the invariant's name, because a
//! node that no longer knows what it promised must not go on.

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller of this crate, or an implementation of [`crate::Storage`], can report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting with which the node cannot work.
    #[error("invalid raft configuration: {0}")]
    ConfigInvalid(String),
    /// What was persisted contradicts itself; the node must not start on it.
    #[error("persisted raft state is invalid: {0}")]
    StateInvalid(String),
    /// The wanted log entry has been replaced by a snapshot.
    #[error("log entry {index} is compacted, the log starts at {first}")]
    Compacted {
        /// The index asked for.
        index: u64,
        /// First index that is still there.
        first: u64,
    },
    /// The wanted log entry does not exist (yet).
    #[error("log entry {index} is not there, the log ends at {last}")]
    Unavailable {
        /// The index asked for.
        index: u64,
        /// Last index of the log.
        last: u64,
    },
    /// A snapshot is being made; ask again later.
    #[error("snapshot is temporarily unavailable")]
    SnapshotTemporarilyUnavailable,
    /// No snapshot was asked for.
    #[error("no snapshot is requested: {reason}")]
    SnapshotRequestRefused {
        /// Why not.
        reason: &'static str,
    },
    /// The snapshot is older than what the storage holds.
    #[error("snapshot is out of date")]
    SnapshotOutOfDate,
    /// Any other failure of the storage.
    #[error("raft storage: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The proposal was not appended: too much is uncommitted already.
    #[error("proposal dropped: too many bytes are waiting to be committed")]
    ProposalDropped,
    /// The leader hands over its leadership and takes no proposals meanwhile.
    #[error("the leadership is being transferred to node {to}")]
    TransferInProgress {
        /// Who is to lead.
        to: u64,
    },
    /// The leadership cannot be transferred there.
    #[error("the leadership is not transferred: {reason}")]
    TransferRefused {
        /// Why not.
        reason: &'static str,
    },
    /// A change of membership cannot be proposed now; nothing was appended.
    #[error("the membership cannot change now: {reason}")]
    ConfChangeRefused {
        /// Why not.
        reason: &'static str,
    },
    /// A change of membership that the configuration in force does not allow, or that is not one at all.
    #[error("no such change of the membership: {reason}")]
    ConfChangeInvalid {
        /// Why not.
        reason: &'static str,
    },
    /// Only the leader can do this.
    #[error("not the leader (the leader is {leader_id}, 0 = unknown)")]
    NotLeader {
        /// The leader this node knows, 0 if none.
        leader_id: u64,
    },
    /// The leader has not committed an entry of its own term yet, so its commit index may be too old for a read.
    #[error("read index is not ready: nothing committed in this term yet")]
    ReadIndexNotReady,
    /// Messages of this type are created by the node itself and never come over the network.
    #[error("a local message came in from outside")]
    StepLocalMessage,
    /// A response came from a node that is not in the group.
    #[error("response from node {0}, which is not in the group")]
    StepPeerNotFound(u64),
}

impl Error {
    /// True when the same call may succeed later, here or on another node.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::SnapshotTemporarilyUnavailable
                | Error::SnapshotRequestRefused { .. }
                | Error::ProposalDropped
                | Error::TransferInProgress { .. }
                | Error::ConfChangeRefused { .. }
                | Error::NotLeader { .. }
                | Error::ReadIndexNotReady
        )
    }
}
