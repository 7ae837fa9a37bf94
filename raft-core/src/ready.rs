//! What the node wants done: [`Ready`].
//!
//! A `Ready` is a work order from the consensus algorithm to its owner. The order of the work is the contract:
//!
//! 1. `messages` may be sent at once. They promise nothing that is not on disk yet: a leader replicates in parallel with its own
//!    disk (Raft thesis, 10.2.1).
//! 2. `snapshot`, `entries` and `hard_state` are written, in the order of the Readies' numbers. Entries replace what stands at their
//!    index and everything after it. With `must_sync` the write must be durable; without, only the commit index moved and a lazy
//!    write is enough.
//! 3. `persisted_messages` are sent when this Ready **and all with smaller numbers** are durable, even if this one has nothing to
//!    write: an acknowledgement in it may speak of entries that an earlier Ready carries.
//! 4. [`crate::RawNode::on_persisted`] tells the node. Several Readies may be on their way to the disk at a time.
//! 5. `committed_entries` may be applied at any time, Ready after Ready; they are on this node's disk already (or ahead of it
//!    by no more than [`crate::Config::apply_unpersisted_limit`]). Then [`crate::RawNode::advance_apply_to`].

use bytes::Bytes;
use proto::eraftpb::{Entry, HardState, Message, Snapshot};

use crate::raft::SoftState;

/// The answer to a read: once everything up to `index` is applied, the state machine may be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadState {
    /// The commit index that the read must see.
    pub index: u64,
    /// The context that was given to [`crate::RawNode::read_index`].
    pub request_ctx: Bytes,
}

/// A work order; see the module for the order in which its parts are to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ready {
    /// Number of this Ready, counted up from 1 without gaps.
    pub number: u64,
    /// Leader and role, if either changed. Not persisted.
    pub soft_state: Option<SoftState>,
    /// Term, vote and commit index, if any of them changed.
    pub hard_state: Option<HardState>,
    /// New entries to persist.
    pub entries: Vec<Entry>,
    /// A snapshot to persist and apply. A Ready with a snapshot has no committed entries.
    pub snapshot: Option<Box<Snapshot>>,
    /// Entries to apply. Each entry is handed out once, in order.
    pub committed_entries: Vec<Entry>,
    /// Messages that may be sent at once.
    pub messages: Vec<Message>,
    /// Messages that may be sent when this Ready and all earlier ones are durable.
    pub persisted_messages: Vec<Message>,
    /// Reads that were confirmed by a quorum.
    pub read_states: Vec<ReadState>,
    /// Contexts of reads that will not be answered, because this node has lost its leadership.
    pub dropped_reads: Vec<Bytes>,
    /// Whether the write must be durable before `persisted_messages` leave.
    pub must_sync: bool,
}

impl Ready {
    /// True when there is something to write: entries, a snapshot or a hard state.
    pub fn has_write(&self) -> bool {
        !self.entries.is_empty() || self.snapshot.is_some() || self.hard_state.is_some()
    }
}
