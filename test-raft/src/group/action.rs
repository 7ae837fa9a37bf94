//! Everything that can happen to a group, one thing at a time.

use std::fmt;

use super::Reshape;

/// One thing that happens. A campaign is a list of these; so is a counterexample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A node's clock ticks.
    Tick(u64),
    /// A node is told to stand for election now.
    Campaign(u64),
    /// A leader is told to send its heartbeats now.
    Beat(u64),
    /// The message at this position of the wire arrives.
    Deliver(usize),
    /// The same, but a copy stays on the wire.
    DeliverCopy(usize),
    /// The message at this position of the wire is lost.
    Drop(usize),
    /// The message at this position is held up; later ones overtake it.
    HoldUp(usize),
    /// The held up message at this position goes back to the wire.
    Release(usize),
    /// A node's owner takes a Ready.
    TakeReady(u64),
    /// A node's disk finishes this many writes.
    Write(u64, usize),
    /// A node's state machine applies this many entries.
    Apply(u64, usize),
    /// A node's state machine makes durable what it has applied.
    Save(u64),
    /// A node's owner cuts the log, leaving this many entries before what is saved.
    Compact(u64, u64),
    /// A node dies. This many unreported writes have reached its disk all the same; of a lazily written commit index it keeps the
    /// newest (`true`) or only the one that was synced.
    Crash(u64, usize, bool),
    /// A node starts again.
    Restart(u64),
    /// A client proposes an entry with a payload of about this size.
    Propose(u64, usize),
    /// Somebody proposes a change of membership.
    Change(u64, Reshape),
    /// Somebody asks a leader to hand over to another node.
    Transfer(u64, u64),
    /// A client asks a leader for a read.
    Read(u64),
    /// A client asks any node for a read; one that does not lead asks its leader.
    ForwardRead(u64),
    /// A node asks its leader for a snapshot.
    RequestSnapshot(u64),
    /// A leader is told to give a sign of life.
    Ping(u64),
    /// A node is given another priority.
    SetPriority(u64, i64),
    /// A node is told whether a moved commit index is worth a message of its own.
    SkipCommitBroadcast(u64, bool),
    /// The transport tells a node that another one cannot be reached.
    Unreachable(u64, u64),
    /// Nothing gets through from one node to another any more.
    Cut(u64, u64),
    /// A node is cut off from all others: whether it still hears, and whether it is still heard.
    Isolate {
        /// The node.
        node: u64,
        /// Whether it hears the others.
        hears: bool,
        /// Whether the others hear it.
        speaks: bool,
    },
    /// All links work again.
    Mend,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Tick(node) => write!(f, "n{node} ticks"),
            Action::Campaign(node) => write!(f, "n{node} is told to campaign"),
            Action::Beat(node) => write!(f, "n{node} is told to send heartbeats"),
            Action::Deliver(_) => f.write_str("arrives"),
            Action::DeliverCopy(_) => f.write_str("arrives, a copy stays behind"),
            Action::Drop(_) => f.write_str("is lost"),
            Action::HoldUp(_) => f.write_str("is held up"),
            Action::Release(_) => f.write_str("goes on"),
            Action::TakeReady(node) => write!(f, "n{node} takes a Ready"),
            Action::Write(node, usize::MAX) => write!(f, "n{node} finishes all writes"),
            Action::Apply(node, usize::MAX) => write!(f, "n{node} applies all there is"),
            Action::Write(node, count) => write!(f, "n{node} finishes {count} writes"),
            Action::Apply(node, count) => write!(f, "n{node} applies {count} entries"),
            Action::Save(node) => write!(f, "n{node} makes its state machine durable"),
            Action::Compact(node, keep) => write!(f, "n{node} cuts its log, keeps {keep} applied entries"),
            Action::Crash(node, kept, newest) => {
                write!(f, "n{node} crashes, {kept} more writes were done")?;
                if *newest { Ok(()) } else { f.write_str(", the lazy commit index was not") }
            }
            Action::Restart(node) => write!(f, "n{node} starts again"),
            Action::Propose(node, size) => write!(f, "n{node} is given a proposal of {size} bytes"),
            Action::Change(node, reshape) => write!(f, "n{node} is asked to {reshape}"),
            Action::Transfer(node, to) => write!(f, "n{node} is asked to hand over to n{to}"),
            Action::Read(node) => write!(f, "n{node} is asked for a read"),
            Action::ForwardRead(node) => write!(f, "n{node} is asked for a read through its leader"),
            Action::RequestSnapshot(node) => write!(f, "n{node} wants a snapshot"),
            Action::Ping(node) => write!(f, "n{node} is told to give a sign of life"),
            Action::SetPriority(node, priority) => write!(f, "n{node} is given priority {priority}"),
            Action::SkipCommitBroadcast(node, true) => write!(f, "n{node} saves messages about commits"),
            Action::SkipCommitBroadcast(node, false) => write!(f, "n{node} tells of commits at once"),
            Action::Unreachable(node, peer) => write!(f, "n{node} is told that n{peer} cannot be reached"),
            Action::Cut(from, to) => write!(f, "n{from} cannot reach n{to} any more"),
            Action::Isolate { node, hears: true, .. } => write!(f, "n{node} hears, but is not heard any more"),
            Action::Isolate { node, speaks: true, .. } => write!(f, "n{node} is heard, but hears nothing any more"),
            Action::Isolate { node, .. } => write!(f, "n{node} is cut off"),
            Action::Mend => f.write_str("all links work again"),
        }
    }
}
