//! The running scheduler: the state machine, the oracle, and what all services share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::pdpb;
use slog::{Logger, error};
use storage::Engine;
use tokio::sync::watch;
use tonic::{Response, Status};

use super::clock::Clock;
use super::reply::Reply;
use super::streams::HeartbeatStreams;
use crate::state::{Cluster, Error, Result, TimestampOracle};

/// How this scheduler presents itself to clients.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A name, not empty; clients of etcd's protocol require one.
    pub name: String,
    /// `host:port` at which clients and stores reach it.
    pub advertise_addr: String,
}

/// See the module's documentation.
pub(crate) struct Node<E> {
    pub(crate) identity: Identity,
    pub(crate) cluster_id: u64,
    pub(crate) logger: Logger,
    /// Becomes true when the process stops; streams end then.
    pub(crate) stop: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    pub(crate) heartbeat_streams: HeartbeatStreams,
    cluster: Mutex<Cluster<E>>,
    oracle: Mutex<TimestampOracle<E>>,
}

impl<E: Engine> Node<E> {
    pub(crate) fn new(
        identity: Identity,
        cluster: Cluster<E>,
        oracle: TimestampOracle<E>,
        clock: Arc<dyn Clock>,
        stop: watch::Receiver<bool>,
        logger: Logger,
    ) -> Self {
        let cluster_id = cluster.cluster_id();
        Self {
            identity,
            cluster_id,
            logger,
            stop,
            clock,
            heartbeat_streams: HeartbeatStreams::default(),
            cluster: Mutex::new(cluster),
            oracle: Mutex::new(oracle),
        }
    }

    /// The state machine, locked. State changes after they are on disk, so a panic elsewhere leaves it usable.
    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster<E>> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) fn timestamp(&self, count: u32) -> Result<pdpb::Timestamp> {
        // Locked before the clock is read, so that times come in order.
        let mut oracle = self.oracle.lock().unwrap_or_else(PoisonError::into_inner);
        oracle.generate(count, self.clock.now_ms())
    }

    /// The one member there is. Its id must not be 0 and never change.
    pub(crate) fn member(&self) -> pdpb::Member {
        pdpb::Member {
            name: self.identity.name.clone(),
            member_id: self.cluster_id.rotate_left(32) | 1,
            client_urls: vec![format!("http://{}", self.identity.advertise_addr)],
            peer_urls: vec![format!("http://{}", self.identity.advertise_addr)],
            binary_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        }
    }

    /// Is this request meant for this cluster? 0 = the client does not know yet.
    pub(crate) fn check_cluster(&self, header: Option<&pdpb::RequestHeader>) -> std::result::Result<(), Status> {
        match header.map_or(0, |header| header.cluster_id) {
            0 => Ok(()),
            asked if asked == self.cluster_id => Ok(()),
            asked => Err(Status::failed_precondition(format!(
                "mismatched cluster id: the request is for cluster {asked}, this scheduler belongs to cluster {}",
                self.cluster_id
            ))),
        }
    }

    /// The header of an answer.
    pub(crate) fn header(&self, error: Option<&Error>) -> Option<pdpb::ResponseHeader> {
        let error = error.map(|error| pdpb::Error { r#type: error.kind() as i32, message: error.to_string() });
        Some(pdpb::ResponseHeader { cluster_id: self.cluster_id, error })
    }

    /// Carries one call out on the state machine. Refusals travel in the answer's header, as clients expect; a failing disk is a gRPC
    /// error.
    pub(crate) fn answer<R: Reply>(
        &self,
        header: Option<&pdpb::RequestHeader>,
        call: impl FnOnce(&mut Cluster<E>) -> Result<R>,
    ) -> std::result::Result<Response<R>, Status> {
        self.check_cluster(header)?;
        let result = call(&mut self.cluster());
        let (mut reply, refusal) = match result {
            Ok(reply) => (reply, None),
            Err(Error::Storage(cause)) => return Err(self.broken(&cause)),
            Err(refusal) => (R::default(), Some(refusal)),
        };
        reply.set_header(self.header(refusal.as_ref()));
        Ok(Response::new(reply))
    }

    /// The gRPC status for a disk that fails.
    pub(crate) fn broken(&self, cause: &storage::Error) -> Status {
        error!(self.logger, "storage failed"; "error" => %cause);
        Status::internal(format!("the scheduler's storage failed: {cause}"))
    }
}
