//! How much happened: a campaign in which nothing happens proves nothing.

use std::fmt;
use std::ops::AddAssign;

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Actions that did something.
    pub actions: u64,
    /// Nodes that became leaders.
    pub leaders: u64,
    /// Entries applied, counted on each node.
    pub applied: u64,
    /// Crashes.
    pub crashes: u64,
    /// Snapshots taken over by a node that was behind.
    pub restored: u64,
    /// Changes of membership, counted on each node.
    pub changes: u64,
    /// Transfers of the leadership that began.
    pub transfers: u64,
    /// Snapshots that a node asked for.
    pub requested: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Of these, how many had been asked of a node that does not lead.
    pub forwarded: u64,
    /// Reads that a leader gave up.
    pub reads_dropped: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were lost.
    pub lost: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.actions += other.actions;
        self.leaders += other.leaders;
        self.applied += other.applied;
        self.crashes += other.crashes;
        self.restored += other.restored;
        self.changes += other.changes;
        self.transfers += other.transfers;
        self.requested += other.requested;
        self.reads += other.reads;
        self.forwarded += other.forwarded;
        self.reads_dropped += other.reads_dropped;
        self.delivered += other.delivered;
        self.lost += other.lost;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { actions, leaders, applied, crashes, restored, changes, transfers, reads, delivered, lost, .. } =
            self;
        let Counts { requested, forwarded, reads_dropped, .. } = self;
        write!(f, "{actions} actions, {leaders} leaders, {transfers} transfers, {applied} entries applied, ")?;
        write!(
            f,
            "{changes} changes of membership, {reads} reads ({forwarded} forwarded), {reads_dropped} given up, "
        )?;
        write!(f, "{restored} snapshots taken over, {requested} asked for, ")?;
        write!(f, "{crashes} crashes, {delivered} messages delivered, {lost} lost")
    }
}
