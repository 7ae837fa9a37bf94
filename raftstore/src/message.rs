//! What the stages tell each other.

use proto::{eraftpb::Entry, raft_serverpb::RaftMessage};

use crate::{
    command::{ReadCommand, WriteCallback, WriteCommand},
    error::Error,
};

/// What comes into the mailbox of a peer.
pub enum PeerMessage<S> {
    /// From a peer of the same region on another store.
    Raft(Box<RaftMessage>),
    /// From a client.
    Write(WriteCommand),
    /// From a client.
    Read(ReadCommand<S>),
    /// From the log writer: all `Ready`s up to this number are on disk.
    Persisted {
        /// Number of the last of them.
        ready: u64,
    },
    /// From the apply worker.
    Applied(Applied),
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
            PeerMessage::Raft(_)
            | PeerMessage::Persisted { .. }
            | PeerMessage::Applied(_)
            | PeerMessage::Unreachable { .. } => {}
        }
    }
}

/// What comes into the mailbox of the store itself.
pub enum StoreMessage {
    /// A raft message for a region of which the store has no peer.
    Raft(Box<RaftMessage>),
}

/// The waiting clients of one entry.
pub struct Proposal {
    /// Index of the entry.
    pub index: u64,
    /// Term in which it was proposed. An entry of another term at this index is somebody else's.
    pub term: u64,
    /// The clients whose writes were joined into it, each with its number of requests.
    pub callbacks: Vec<(usize, WriteCallback)>,
}

impl Proposal {
    /// Answers all clients of the entry with an error.
    pub fn refuse(self, error: impl Fn() -> Error) {
        for (_, callback) in self.callbacks {
            callback(Err(error()));
        }
    }
}

/// Committed entries of one region for the apply worker.
pub struct ApplyTask {
    /// The region.
    pub region_id: u64,
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
}
