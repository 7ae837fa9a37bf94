//! What can go wrong in raftstore, and what it means for a client and for the other replicas.

use bytes::Bytes;
use proto::{errorpb, metapb};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This peer is not the leader. `leader` is the peer it believes to be the leader, if any.
    #[error("peer is not leader of region {region_id}, leader may be {leader:?}")]
    NotLeader {
        /// The region asked for.
        region_id: u64,
        /// The leader as far as this peer knows.
        leader: Option<Box<metapb::Peer>>,
    },
    /// The store has no peer of the region.
    #[error("region {region_id} is not found on this store")]
    RegionNotFound {
        /// The region asked for.
        region_id: u64,
    },
    /// The request was meant for another store.
    #[error("request is for store {request}, this is store {actual}")]
    StoreNotMatch {
        /// Store id of the request.
        request: u64,
        /// Id of this store.
        actual: u64,
    },
    /// The request was meant for another peer of the region.
    #[error("request is for peer {request} of region {region_id}, this store holds peer {actual}")]
    MismatchPeerId {
        /// The region asked for.
        region_id: u64,
        /// Peer id of the request.
        request: u64,
        /// Peer id on this store.
        actual: u64,
    },
    /// The term of the request is over, or the entry it became was replaced by another leader's.
    #[error("command is stale: it was made for an older term")]
    StaleCommand,
    /// The write may have taken effect or not: this peer has received a snapshot from behind it.
    #[error("whether the command took effect in region {region_id} is not known to this peer any more")]
    OutcomeUnknown {
        /// The region.
        region_id: u64,
    },
    /// The region has been split, or its members have changed, since the client looked.
    #[error("epoch of the request does not match the region's; current regions: {current:?}")]
    EpochNotMatch {
        /// The regions that now cover what the region of the request covered.
        current: Vec<metapb::Region>,
    },
    /// A key outside of the region.
    #[error("key {key:?} is not in region {} [{:?}, {:?})", region.id, region.start_key, region.end_key)]
    KeyNotInRegion {
        /// The key.
        key: Bytes,
        /// The region.
        region: Box<metapb::Region>,
    },
    /// The write is larger than a raft entry may be.
    #[error("entry of {size} bytes for region {region_id} is over the limit of {limit} bytes")]
    EntryTooLarge {
        /// The region.
        region_id: u64,
        /// Size of the entry.
        size: u64,
        /// The limit (`max-entry-bytes`).
        limit: u64,
    },
    /// A queue is full. Nothing happened; the client may try again.
    #[error("store is busy: {reason}")]
    ServerIsBusy {
        /// Which queue.
        reason: String,
    },
    /// The leader has not yet committed in its own term, so that it cannot know the newest commit index.
    #[error("region {region_id} cannot serve reads yet: {reason}")]
    ReadIndexNotReady {
        /// The region.
        region_id: u64,
        /// Why.
        reason: String,
    },
    /// An admin command that this store does not carry out, or not with these arguments.
    #[error("admin command for region {region_id} is refused: {reason}")]
    AdminRefused {
        /// The region.
        region_id: u64,
        /// Why.
        reason: String,
    },
    /// The engine failed. Local to this store and fatal for it.
    #[error("engine: {0}")]
    Engine(#[from] storage::Error),
    /// A snapshot is not whole, or makes no sense. Another one can take its place.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// A file of a snapshot could not be read or written. Another snapshot can take its place.
    #[error("snapshot file: {0}")]
    SnapshotIo(#[from] std::io::Error),
    /// raft-core refused.
    #[error("raft: {0}")]
    Raft(#[from] raft_core::Error),
    /// A record on disk does not decode, or contradicts another. Fatal for the store.
    #[error("data is corrupted: {0}")]
    Corrupted(String),
    /// The data folder belongs to another store or cluster.
    #[error(
        "data folder belongs to {found}, this process was started for {expected}; use the folder of that store or an empty one"
    )]
    IdentMismatch {
        /// What the folder says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A stage has panicked: an invariant is broken. What it was, stands on standard error. Fatal for the store.
    #[error("the {stage} stage has panicked; its message says which invariant is broken")]
    Panicked {
        /// The stage.
        stage: &'static str,
    },
    /// The operating system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(String),
    /// A setting is out of range.
    #[error("setting {name} {reason}")]
    Config {
        /// Name of the setting.
        name: &'static str,
        /// What is expected of it.
        reason: String,
    },
}

impl Error {
    /// May the client try again, after it has refreshed its view of the region?
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::NotLeader { .. }
            | Error::RegionNotFound { .. }
            | Error::StoreNotMatch { .. }
            | Error::MismatchPeerId { .. }
            | Error::StaleCommand
            | Error::EpochNotMatch { .. }
            | Error::KeyNotInRegion { .. }
            | Error::ServerIsBusy { .. }
            | Error::ReadIndexNotReady { .. } => true,
            Error::EntryTooLarge { .. }
            | Error::OutcomeUnknown { .. }
            | Error::AdminRefused { .. }
            | Error::Engine(_)
            | Error::Snapshot(_)
            | Error::SnapshotIo(_)
            | Error::Raft(_)
            | Error::Corrupted(_)
            | Error::IdentMismatch { .. }
            | Error::Panicked { .. }
            | Error::Thread(_)
            | Error::Config { .. } => false,
        }
    }

    /// Does every replica come to this error from the same entry? Only such errors may be the outcome of applying an entry;
    /// any other would let replicas drift apart, so that the store stops instead.
    pub fn is_deterministic(&self) -> bool {
        matches!(self, Error::EpochNotMatch { .. } | Error::KeyNotInRegion { .. })
    }

    /// The same outcome for another client whose write was joined into the same entry.
    ///
    /// # Panics
    /// If the error is not deterministic: such an error is never the outcome of an entry.
    pub fn for_another_client(&self) -> Error {
        match self {
            Error::EpochNotMatch { current } => Error::EpochNotMatch { current: current.clone() },
            Error::KeyNotInRegion { key, region } => Error::KeyNotInRegion { key: key.clone(), region: region.clone() },
            other => panic!("invariant R-APPLY-SAME: an entry ended with a local error: {other}"),
        }
    }

    /// The error as clients read it (`errorpb.Error`); `None` where no region error fits and the call itself has to fail.
    pub fn to_region_error(&self) -> Option<errorpb::Error> {
        let mut e = errorpb::Error { message: self.to_string(), ..Default::default() };
        match self {
            Error::NotLeader { region_id, leader } => {
                e.not_leader = Some(errorpb::NotLeader { region_id: *region_id, leader: leader.as_deref().copied() });
            }
            Error::RegionNotFound { region_id } => {
                e.region_not_found = Some(errorpb::RegionNotFound { region_id: *region_id });
            }
            Error::StoreNotMatch { request, actual } => {
                e.store_not_match =
                    Some(errorpb::StoreNotMatch { request_store_id: *request, actual_store_id: *actual });
            }
            Error::MismatchPeerId { request, actual, .. } => {
                e.mismatch_peer_id =
                    Some(errorpb::MismatchPeerId { request_peer_id: *request, store_peer_id: *actual });
            }
            Error::StaleCommand => e.stale_command = Some(errorpb::StaleCommand {}),
            Error::EpochNotMatch { current } => {
                e.epoch_not_match = Some(errorpb::EpochNotMatch { current_regions: current.clone() });
            }
            Error::KeyNotInRegion { key, region } => {
                e.key_not_in_region = Some(errorpb::KeyNotInRegion {
                    key: key.clone(),
                    region_id: region.id,
                    start_key: region.start_key.clone(),
                    end_key: region.end_key.clone(),
                });
            }
            Error::EntryTooLarge { region_id, size, .. } => {
                e.raft_entry_too_large = Some(errorpb::RaftEntryTooLarge { region_id: *region_id, entry_size: *size });
            }
            Error::ServerIsBusy { reason } => {
                e.server_is_busy = Some(errorpb::ServerIsBusy { reason: reason.clone(), ..Default::default() });
            }
            Error::ReadIndexNotReady { region_id, reason } => {
                e.read_index_not_ready =
                    Some(errorpb::ReadIndexNotReady { reason: reason.clone(), region_id: *region_id });
            }
            Error::OutcomeUnknown { .. }
            | Error::AdminRefused { .. }
            | Error::Engine(_)
            | Error::Snapshot(_)
            | Error::SnapshotIo(_)
            | Error::Raft(_)
            | Error::Corrupted(_)
            | Error::IdentMismatch { .. }
            | Error::Panicked { .. }
            | Error::Thread(_)
            | Error::Config { .. } => return None,
        }
        Some(e)
    }
}
