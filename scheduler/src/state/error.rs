//! What the scheduler refuses, and what can fail below it.

use proto::{metapb, pdpb::ErrorType};

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the scheduler refused a call. The messages go to clients as they are.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There are no regions yet.
    #[error("the cluster is not bootstrapped")]
    NotBootstrapped,
    /// Another store was faster.
    #[error("the cluster is already bootstrapped")]
    AlreadyBootstrapped,
    /// The words are part of the protocol: official clients look for "invalid store ID" and "not found".
    #[error("invalid store ID {store_id}, not found")]
    UnknownStore {
        /// The store that was named.
        store_id: u64,
    },
    /// The store was removed for good; its id cannot come back.
    #[error("store {store_id} is a tombstone: it was removed from the cluster and cannot come back under this id")]
    StoreTombstone {
        /// The removed store.
        store_id: u64,
    },
    /// Two live stores must not share an address.
    #[error(
        "store {store_id} cannot use address {address}: store {holder} has it; stop the process that is not \
         wanted, or remove store {holder} first"
    )]
    DuplicateAddress {
        /// The store that asks.
        store_id: u64,
        /// The address that both claim.
        address: String,
        /// The store that has it.
        holder: u64,
    },
    /// A report about a region that is older than what is known.
    #[error("region {region_id} is stale: reported at {reported}, region {known_id} is known at {known}")]
    StaleRegion {
        /// The region that was reported.
        region_id: u64,
        /// Its epoch (and term) in the report.
        reported: String,
        /// The region that is known in its place; the same id or one that overlaps.
        known_id: u64,
        /// What is known of it.
        known: String,
    },
    /// Two regions claim the same keys at the same version; one of them is wrong.
    #[error("region {region_id} overlaps region {known_id}, both at version {version}")]
    Overlap {
        /// The region that was reported.
        region_id: u64,
        /// The one it overlaps.
        known_id: u64,
        /// Their version.
        version: u64,
    },
    /// Nothing is known of the region.
    #[error("region {region_id} not found")]
    UnknownRegion {
        /// The region that was named.
        region_id: u64,
    },
    /// Regions do not cover what the caller wanted covered.
    #[error("the regions do not cover the whole key range: {reason}")]
    RangeNotCovered {
        /// Where the gap is.
        reason: String,
    },
    /// The request makes no sense by itself.
    #[error("invalid request: {reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The clock's time does not fit into a timestamp.
    #[error("the clock says {now_ms} ms since 1970, which does not fit into a timestamp: set the machine's clock")]
    ClockOutOfRange {
        /// What the clock says.
        now_ms: u64,
    },
    /// The data folder holds something else.
    #[error("{reason}")]
    ForeignData {
        /// What was found, and what to do.
        reason: String,
    },
    /// The disk failed; nothing was acknowledged.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    /// May the same request succeed later?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotBootstrapped | Self::UnknownRegion { .. } | Self::RangeNotCovered { .. } => true,
            Self::Storage(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The protocol's name for it.
    pub fn kind(&self) -> ErrorType {
        match self {
            Self::NotBootstrapped => ErrorType::NotBootstrapped,
            Self::AlreadyBootstrapped => ErrorType::AlreadyBootstrapped,
            Self::StoreTombstone { .. } => ErrorType::StoreTombstone,
            Self::DuplicateAddress { .. } => ErrorType::DuplicatedEntry,
            Self::UnknownRegion { .. } => ErrorType::RegionNotFound,
            Self::RangeNotCovered { .. } => ErrorType::RegionsNotContainAllKeyRange,
            Self::InvalidRequest { .. } => ErrorType::InvalidValue,
            Self::UnknownStore { .. }
            | Self::StaleRegion { .. }
            | Self::Overlap { .. }
            | Self::ClockOutOfRange { .. }
            | Self::ForeignData { .. }
            | Self::Storage(_) => ErrorType::Unknown,
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidRequest { reason: reason.into() }
    }
}

/// An epoch as the messages write it.
pub(crate) fn epoch_text(epoch: metapb::RegionEpoch) -> String {
    format!("conf_ver {}, version {}", epoch.conf_ver, epoch.version)
}
