//! What clients ask of a region, and how they get their answer.
//!
//! An answer comes through a callback that is called exactly once (invariant S-CB-ONCE), on a stage's thread: it must hand the
//! value on and return, not work with it. A command that is dropped with its callback uncalled (the store stops) has an unknown
//! outcome; whoever waits sees its channel close.

use std::sync::Arc;

use proto::{kvrpcpb, metapb, raft_cmdpb};

use crate::error::Result;

/// Whom a request is for, as its sender believes. Checked before anything else is done with the request.
#[derive(Clone, Debug, Default)]
pub struct RequestHeader {
    /// The region.
    pub region_id: u64,
    /// The region's epoch as the client knows it.
    pub epoch: metapb::RegionEpoch,
    /// The peer that the client takes for the leader; a store id of 0 leaves it unchecked.
    pub peer: metapb::Peer,
    /// The term the request was made for; 0 leaves it unchecked.
    pub term: u64,
}

impl From<&kvrpcpb::Context> for RequestHeader {
    fn from(context: &kvrpcpb::Context) -> Self {
        RequestHeader {
            region_id: context.region_id,
            epoch: context.region_epoch.unwrap_or_default(),
            peer: context.peer.unwrap_or_default(),
            term: context.term,
        }
    }
}

/// Answer to a write: one response for each of its requests, or the reason why none took effect.
pub type WriteCallback = Box<dyn FnOnce(Result<Vec<raft_cmdpb::Response>>) + Send>;

/// Changes that take effect together or not at all.
pub struct WriteCommand {
    /// Whom it is for.
    pub header: RequestHeader,
    /// What to change, in order.
    pub requests: Vec<raft_cmdpb::Request>,
    /// Where the answer goes.
    pub callback: WriteCallback,
}

/// Answer to an admin command: what came of it, or the reason why it changed nothing.
pub type AdminCallback = Box<dyn FnOnce(Result<raft_cmdpb::AdminResponse>) + Send>;

/// A change of the region itself, or of its log.
pub struct AdminCommand {
    /// Whom it is for.
    pub header: RequestHeader,
    /// What to do.
    pub request: raft_cmdpb::AdminRequest,
    /// Where the answer goes.
    pub callback: AdminCallback,
}

/// Answer to a read: a view of the region that holds every write acknowledged before the read was made.
pub type ReadCallback<S> = Box<dyn FnOnce(Result<RegionSnapshot<S>>) + Send>;

/// A linearizable read. It is answered with a snapshot and makes no log entry.
pub struct ReadCommand<S> {
    /// Whom it is for.
    pub header: RequestHeader,
    /// Where the answer goes.
    pub callback: ReadCallback<S>,
}

/// A view of one region.
#[derive(Clone, Debug)]
pub struct RegionSnapshot<S> {
    /// The engine as it was at one point in time.
    pub snapshot: S,
    /// The region as it was at that point, read from the snapshot itself (invariant S-READ-REGION).
    pub region: Arc<metapb::Region>,
}
