//! What the stages tell each other.

use proto::{
    eraftpb::{ConfChangeV2, Entry, Snapshot},
    metapb::{Peer, Region},
    raft_serverpb::{RaftMessage, RaftTruncatedState},
};

use crate::{
    command::{AdminCallback, AdminCommand, ReadCommand, WriteCallback, WriteCommand},
    env::SplitIds,
    error::Error,
    snapshot::SnapshotId,
    split::{Checked, CutPolicy, Growth},
    worker::Ticket,
};

/// What comes into the mailbox of a peer.
pub enum PeerMessage<S> {
    /// From a peer of the same region on another store.
    Raft(Box<RaftMessage>),
    /// From a client.
    Write(WriteCommand),
    /// From a client.
    Read(ReadCommand<S>),
    /// From an operator, or from the scheduler.
    Admin(Box<AdminCommand>),
    /// From the log writer: all `Ready`s up to this number are on disk.
    Persisted {
        /// Number of the last of them.
        ready: u64,
    },
    /// From the apply worker.
    Applied(Applied),
    /// From a background worker: the log entries before this index are deleted.
    LogDeleted {
        /// The index.
        to: u64,
    },
    /// From a background worker: the size of the region, and where to cut it.
    SplitChecked(SplitChecked),
    /// From the scheduler: ids for a split.
    SplitIds {
        /// Number of the question that this answers.
        question: u64,
        /// The answer.
        ids: SplitIds,
    },
    /// From the scheduler: the region as it knows it.
    RegionKnown(Box<Region>),
    /// From the peer of a region that was split: this is its part.
    SplitOff {
        /// The region.
        region: Box<Region>,
        /// Whether to stand for election at once.
        campaign: bool,
    },
    /// From a background worker: the snapshot that this ticket asked for, or nothing if it could not be made.
    SnapshotGenerated {
        /// The ticket.
        ticket: Ticket,
        /// The snapshot.
        snapshot: Option<Box<Snapshot>>,
    },
    /// From a background worker: the files of a received snapshot are read through.
    SnapshotChecked {
        /// The message that came with them.
        message: Box<RaftMessage>,
        /// Whether they are whole.
        ok: bool,
    },
    /// From a background worker: the data of the region is that of the snapshot.
    SnapshotRestored {
        /// The snapshot.
        id: SnapshotId,
        /// False if its files are not whole; the data is neither the old nor the new one then.
        ok: bool,
    },
    /// From the transport: how sending a snapshot went.
    SnapshotStatus {
        /// The peer it was for.
        to_peer: u64,
        /// Whether it has arrived.
        ok: bool,
    },
    /// From the transport: messages to this store were lost.
    Unreachable {
        /// The store.
        store_id: u64,
    },
}

impl<S> PeerMessage<S> {
    /// Ends a message that nobody will handle. A client learns why; from everyone else it is as if the network had lost it.
    pub fn refuse(self, reason: Error) {
        match self {
            PeerMessage::Write(command) => (command.callback)(Err(reason)),
            PeerMessage::Read(command) => (command.callback)(Err(reason)),
            PeerMessage::Admin(command) => (command.callback)(Err(reason)),
            PeerMessage::Raft(_)
            | PeerMessage::Persisted { .. }
            | PeerMessage::Applied(_)
            | PeerMessage::LogDeleted { .. }
            | PeerMessage::SplitChecked(_)
            | PeerMessage::SplitIds { .. }
            | PeerMessage::RegionKnown(_)
            | PeerMessage::SplitOff { .. }
            | PeerMessage::SnapshotGenerated { .. }
            | PeerMessage::SnapshotChecked { .. }
            | PeerMessage::SnapshotRestored { .. }
            | PeerMessage::SnapshotStatus { .. }
            | PeerMessage::Unreachable { .. } => {}
        }
    }
}

/// What comes into the mailbox of the store itself.
pub enum StoreMessage {
    /// A raft message for a region of which the store has no peer.
    Raft(Box<RaftMessage>),
}

/// Who waits for an entry.
pub enum Waiting {
    /// Nobody: the peer proposed it for itself.
    Nobody,
    /// The clients whose writes were joined into it, each with its number of requests.
    Writes(Vec<(usize, WriteCallback)>),
    /// Whoever gave the admin command.
    Admin(AdminCallback),
}

impl Waiting {
    /// How many clients wait.
    pub fn count(&self) -> usize {
        match self {
            Waiting::Nobody => 0,
            Waiting::Writes(callbacks) => callbacks.len(),
            Waiting::Admin(_) => 1,
        }
    }

    /// Answers everybody with an error.
    pub fn refuse(self, error: impl Fn() -> Error) {
        match self {
            Waiting::Nobody => {}
            Waiting::Writes(callbacks) => callbacks.into_iter().for_each(|(_, callback)| callback(Err(error()))),
            Waiting::Admin(callback) => callback(Err(error())),
        }
    }
}

/// A proposed entry and who waits for it.
pub struct Proposal {
    /// Index of the entry.
    pub index: u64,
    /// Term in which it was proposed. An entry of another term at this index is somebody else's.
    pub term: u64,
    /// Who waits.
    pub waiting: Waiting,
}

/// What an apply worker does, for each region in the order in which it is given.
pub enum ApplyWork {
    /// Apply entries.
    Entries(ApplyTask),
    /// Begin a snapshot of what is applied by then.
    Snapshot(SnapshotRequest),
    /// Forget what is known of this region: its data has been replaced.
    Reload(u64),
    /// Remove a peer: it has missed the entry that does so.
    Destroy(DestroyTask),
}

impl ApplyWork {
    /// The region.
    pub fn region_id(&self) -> u64 {
        match self {
            ApplyWork::Entries(task) => task.region_id,
            ApplyWork::Snapshot(request) => request.region_id,
            ApplyWork::Reload(region_id) => *region_id,
            ApplyWork::Destroy(task) => task.region.id,
        }
    }
}

/// A snapshot that is to be made.
#[derive(Debug)]
pub struct SnapshotRequest {
    /// The region.
    pub region_id: u64,
    /// Whether it is still wanted.
    pub ticket: Ticket,
    /// What the peer knows to be applied.
    pub applied: u64,
    /// The term of that entry; 0 if the peer does not know it.
    pub term: u64,
}

/// A peer that is to be removed.
#[derive(Debug)]
pub struct DestroyTask {
    /// The region as the peer knows it; without members and range if the peer was never initialised.
    pub region: Region,
    /// The peer.
    pub peer: Peer,
}

/// Committed entries of one peer for the apply worker.
pub struct ApplyTask {
    /// The region.
    pub region_id: u64,
    /// The peer. Tasks of one that is gone are of no use to its successor.
    pub peer_id: u64,
    /// Committed entries that follow without a gap on those of the region's last task.
    pub entries: Vec<Entry>,
    /// Clients that wait for some of them, ordered by index.
    pub proposals: Vec<Proposal>,
}

/// What the apply worker has done for one region in one round.
#[derive(Clone, Debug)]
pub struct Applied {
    /// All entries up to this index are applied.
    pub index: u64,
    /// What admin commands among them have changed, in order. It is written to the engine by now.
    pub results: Vec<ApplyResult>,
    /// What the entries since the last report did to the size of the region.
    pub growth: Growth,
}

/// What an applied admin command means for the peer.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplyResult {
    /// The log begins behind this entry now.
    LogCompacted(RaftTruncatedState),
    /// The region was split.
    Split {
        /// Its parts, in key order; one of them has its id.
        parts: Vec<Region>,
        /// Ids of those parts whose region this store has in another way, and newer.
        skipped: Vec<u64>,
    },
    /// The members changed, and the peer is one of them.
    MembersChanged {
        /// What raft has to be told.
        change: ConfChangeV2,
        /// The region after it.
        region: Box<Region>,
    },
    /// The peer is removed, its data gone. Nothing comes after this. The entry that did it; zeros if there was none.
    Buried {
        /// Index and term.
        removed_by: (u64, u64),
    },
}

/// What a walk over a region came to.
#[derive(Clone, Debug)]
pub struct SplitChecked {
    /// Its number among those of the peer.
    pub walk: u64,
    /// What it was for.
    pub policy: CutPolicy,
    /// What it found.
    pub found: Checked,
}
