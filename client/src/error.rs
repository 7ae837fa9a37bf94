//! What can go wrong between a store and its scheduler.

use std::time::Duration;

use proto::pdpb;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call to the scheduler failed.
///
/// The messages are made for the log of a store: they name the endpoint or the method and, where there is one, the remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The configuration lists no endpoint at all.
    #[error("no scheduler address given")]
    NoEndpoint,
    /// An endpoint is not `host:port`.
    #[error("{endpoint:?} is not a scheduler address (host:port): {reason}")]
    BadEndpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No endpoint answered; the causes are listed one by one.
    #[error("no scheduler can be reached: {causes}")]
    Unreachable {
        /// One cause for each endpoint.
        causes: String,
    },
    /// Something listens there, but it is no scheduler.
    #[error("{endpoint} answers, but not as a scheduler ({reason}); is it the address of a store?")]
    NotAScheduler {
        /// As configured.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// The scheduler belongs to another cluster than the one this client was connected to.
    #[error("scheduler {endpoint} belongs to cluster {actual}, this client to cluster {expected}")]
    ClusterMismatch {
        /// The scheduler that was asked.
        endpoint: String,
        /// The cluster of this client.
        expected: u64,
        /// The cluster of that scheduler.
        actual: u64,
    },
    /// The cluster has its first regions already; another store was faster.
    #[error("the cluster is bootstrapped already: {message}")]
    AlreadyBootstrapped {
        /// The scheduler's words.
        message: String,
    },
    /// The call needs regions, and there are none yet.
    #[error("the cluster is not bootstrapped yet: {message}")]
    NotBootstrapped {
        /// The scheduler's words.
        message: String,
    },
    /// The store has been removed from the cluster for good.
    #[error("the store has been removed from the cluster: {message}")]
    StoreTombstone {
        /// The scheduler's words.
        message: String,
    },
    /// The scheduler has never heard of this store.
    #[error("store {store_id} is not known to the scheduler: {message}")]
    StoreNotFound {
        /// The store that was asked for.
        store_id: u64,
        /// The scheduler's words.
        message: String,
    },
    /// The scheduler understood the call and refused it.
    #[error("the scheduler refused {method}: {message}")]
    Refused {
        /// The RPC.
        method: &'static str,
        /// Type of the error in the response header.
        kind: pdpb::ErrorType,
        /// The scheduler's words.
        message: String,
    },
    /// The call ended with a gRPC status.
    #[error("{method} failed ({code:?}): {message}")]
    Status {
        /// The RPC.
        method: &'static str,
        /// gRPC's code.
        code: tonic::Code,
        /// The text that came with it.
        message: String,
    },
    /// No answer in time.
    #[error("{method}: no answer from the scheduler within {after:?}")]
    Timeout {
        /// The RPC.
        method: &'static str,
        /// The deadline of one attempt.
        after: Duration,
    },
    /// The answer lacks a field that it must have.
    #[error("the scheduler's answer to {method} has no {field}")]
    MissingField {
        /// The RPC.
        method: &'static str,
        /// The missing field.
        field: &'static str,
    },
}

impl Error {
    /// May the same call succeed when it is made again, without anybody changing the request?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotBootstrapped { .. } => true,
            Self::Status { code, .. } => transient(*code),
            Self::NoEndpoint
            | Self::BadEndpoint { .. }
            | Self::NotAScheduler { .. }
            | Self::ClusterMismatch { .. }
            | Self::AlreadyBootstrapped { .. }
            | Self::StoreTombstone { .. }
            | Self::StoreNotFound { .. }
            | Self::Refused { .. }
            | Self::MissingField { .. } => false,
        }
    }

    /// Should the connection try the call again by itself? Unlike [`Error::is_retryable`], not where only the caller knows how
    /// long it makes sense to wait.
    pub(crate) fn is_transport(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Status { code, .. } => transient(*code),
            _ => false,
        }
    }

    pub(crate) fn from_status(method: &'static str, status: &tonic::Status) -> Self {
        Self::Status { method, code: status.code(), message: status.message().to_owned() }
    }

    pub(crate) fn from_header(method: &'static str, error: &pdpb::Error) -> Self {
        let message = error.message.clone();
        match error.r#type() {
            pdpb::ErrorType::AlreadyBootstrapped => Self::AlreadyBootstrapped { message },
            pdpb::ErrorType::NotBootstrapped => Self::NotBootstrapped { message },
            pdpb::ErrorType::StoreTombstone => Self::StoreTombstone { message },
            kind => Self::Refused { method, kind, message },
        }
    }
}

/// Is this a fault of the connection or of the moment rather than of the request?
fn transient(code: tonic::Code) -> bool {
    use tonic::Code;
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_errors_are_retryable_and_refusals_are_not() {
        assert!(Error::Timeout { method: "AllocID", after: Duration::from_secs(1) }.is_retryable());
        assert!(Error::from_status("AllocID", &tonic::Status::unavailable("not leader")).is_retryable());
        assert!(!Error::from_status("AllocID", &tonic::Status::failed_precondition("wrong cluster")).is_retryable());
        let header = |kind: pdpb::ErrorType| pdpb::Error { r#type: kind as i32, message: "m".into() };
        assert!(Error::from_header("ScanRegions", &header(pdpb::ErrorType::NotBootstrapped)).is_retryable());
        assert!(!Error::from_header("ScanRegions", &header(pdpb::ErrorType::NotBootstrapped)).is_transport());
        assert!(!Error::from_header("PutStore", &header(pdpb::ErrorType::Unknown)).is_retryable());
    }
}
