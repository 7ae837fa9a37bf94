//! What can happen in a run.

use proto::metapb::Region;
use proto::pdpb::RegionHeartbeatResponse;
use proto::raft_serverpb::RaftMessage;

use super::client::Reply;
use super::world::{CallId, SchedulerMail};
use crate::faults::Fault;
use crate::history::OperationId;
use crate::trace::EventId;

/// What can happen. Events for a store carry its incarnation: those for an earlier life are void.
pub(super) enum Event {
    Tick {
        store: u64,
        incarnation: u64,
    },
    Poll {
        store: u64,
        incarnation: u64,
    },
    Persist {
        store: u64,
        incarnation: u64,
    },
    Apply {
        store: u64,
        incarnation: u64,
    },
    Work {
        store: u64,
        incarnation: u64,
    },
    Deliver {
        from: u64,
        to: u64,
        message: Box<RaftMessage>,
    },
    /// The last piece of a snapshot reaches its receiver.
    SnapshotArrives {
        from: u64,
        incarnation: u64,
        to: u64,
        message: Box<RaftMessage>,
    },
    /// The sender of a snapshot hears how it went.
    SnapshotStatus {
        store: u64,
        incarnation: u64,
        region: u64,
        to_peer: u64,
        ok: bool,
    },
    ClientNext {
        client: u64,
    },
    ClientCall {
        client: u64,
        operation: OperationId,
    },
    Arrive {
        call: CallId,
        store: u64,
        region: Box<Region>,
    },
    Reply {
        call: CallId,
        store: u64,
        reply: Reply,
    },
    Deadline {
        client: u64,
        operation: OperationId,
    },
    /// A store's mail reaches the scheduler.
    Mail {
        store: u64,
        mail: SchedulerMail,
    },
    /// Somebody wants a region split.
    Operator,
    /// Somebody wants other members, or another leader.
    MemberWish,
    /// The scheduler's answer to a heartbeat reaches the store.
    Order {
        store: u64,
        answer: Box<RegionHeartbeatResponse>,
    },
    /// A fault of the plan, and its number there.
    Fault {
        number: u64,
        fault: Fault,
    },
    Restart {
        store: u64,
        incarnation: u64,
    },
    Die {
        store: u64,
        incarnation: u64,
    },
    Heal,
    Progress,
}

/// An event that waits for its time, and what caused it.
pub(super) struct Queued {
    pub cause: EventId,
    pub event: Event,
}
