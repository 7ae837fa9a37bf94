//! What the rules are told.

use bytes::Bytes;
use proto::eraftpb::{ConfState, Message};
use raft_core::Ready;

use crate::group::{Group, LogChange, Machine, Marks, Member};

/// Why something happened to a node.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// It started.
    Start,
    /// Its clock ticked.
    Tick,
    /// A message arrived.
    Message(&'a Message),
    /// Its disk finished writes.
    Persisted,
    /// Its owner or a client wanted something.
    Other,
}

/// Something happened to a node: what it showed before and what it shows now.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The node's marks before.
    pub before: Marks,
    /// And now.
    pub now: Marks,
    /// How its log differs.
    pub change: &'a LogChange,
    /// Why.
    pub cause: Cause<'a>,
    /// Ticks since it had heard a leader of its term, before this happened.
    pub quiet_ticks: usize,
    /// The node; its mirror of the log is the one of now.
    pub member: &'a Member,
    /// All nodes.
    pub group: &'a Group,
}

/// What the rules are told.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Something happened to a node.
    Step(&'a Step<'a>),
    /// A node's owner took a Ready.
    Taken {
        /// The node.
        node: u64,
        /// Everything in it.
        ready: &'a Ready,
    },
    /// Somebody proposed something to a node.
    Proposed {
        /// The node, as it is afterwards.
        member: &'a Member,
        /// Where its log ended before.
        last: u64,
        /// Index and term that it promised, `None` if it refused.
        told: Option<(u64, u64)>,
        /// What the entry must contain, if that is known.
        data: Option<Bytes>,
    },
    /// A message leaves a node.
    Sent {
        /// The node.
        member: &'a Member,
        /// What it says.
        message: &'a Message,
    },
    /// A state machine applied an entry.
    Applied {
        /// Whose.
        node: u64,
        /// Its applied index before.
        before: u64,
        /// Index of the entry.
        index: u64,
        /// Term of the entry.
        term: u64,
        /// Digest of everything applied so far.
        digest: u64,
    },
    /// A state machine was replaced: by a snapshot, or by what a crash has left.
    Restored {
        /// Whose.
        node: u64,
        /// The new state.
        machine: &'a Machine,
    },
    /// A change of membership was applied.
    Configured {
        /// On which node.
        node: u64,
        /// Index of the entry.
        index: u64,
        /// The members before.
        before: &'a ConfState,
        /// And now.
        after: &'a ConfState,
    },
    /// A node took in a read.
    ReadAsked {
        /// The node.
        node: u64,
        /// Number of the read.
        number: u64,
        /// The life of the node in which it owes a word about the read: a leader does, one that asked another node does not.
        owed_in: Option<u64>,
    },
    /// A read may be served once `index` is applied.
    ReadAnswered {
        /// By whom.
        node: u64,
        /// Number of the read.
        number: u64,
        /// The index.
        index: u64,
    },
    /// A read will not be served, and its node says so.
    ReadDropped {
        /// By whom.
        node: u64,
        /// Number of the read.
        number: u64,
    },
}
