//! What every peer of the cluster believes: the plain numbers that invariants compare.
//!
//! The driver fills the view after each step, for the peers that the step changed, and hands the invariants those peers
//! alone. Logs are kept here as terms and digests, and brought up to date from the first entry that differs.

use std::collections::{BTreeMap, VecDeque};

/// Where a peer is: one peer a store and region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey {
    /// The store.
    pub store: u64,
    /// The region.
    pub region: u64,
}

/// The part that a peer plays in its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerRole {
    /// Follows, or is a learner.
    #[default]
    Follower,
    /// Asks for votes (or for votes that bind nobody).
    Candidate,
    /// Leads.
    Leader,
}

/// What stands at an index of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId {
    /// The entry's term.
    pub term: u64,
    /// A hash of its content; `None` where the content could not be read (it is on its way to the disk and in no cache).
    pub digest: Option<u64>,
    /// Whether it changes the members. Unknown counts as no.
    pub changes_members: bool,
}

impl EntryId {
    /// Whether the two cannot be the same entry.
    pub fn contradicts(&self, other: &Self) -> bool {
        let contents_differ = matches!((self.digest, other.digest), (Some(left), Some(right)) if left != right);
        self.term != other.term || contents_differ
    }
}

/// A peer's log as far as it is in memory or on disk, without the contents.
#[derive(Clone, Debug, Default)]
pub struct LogView {
    /// Index and term of the entry before the first one that is kept.
    truncated: (u64, u64),
    entries: VecDeque<EntryId>,
    /// The lowest index that changed since the invariants last looked.
    changed_from: Option<u64>,
}

impl LogView {
    /// An empty log behind a truncated entry.
    pub fn new(truncated_index: u64, truncated_term: u64) -> Self {
        Self { truncated: (truncated_index, truncated_term), entries: VecDeque::new(), changed_from: None }
    }

    /// The lowest index that is kept.
    pub fn first_index(&self) -> u64 {
        self.truncated.0 + 1
    }

    /// The highest index; the truncated one if the log is empty.
    pub fn last_index(&self) -> u64 {
        self.truncated.0 + self.entries.len() as u64
    }

    /// The entry at `index`, if it is kept.
    pub fn get(&self, index: u64) -> Option<EntryId> {
        let offset = index.checked_sub(self.first_index())?;
        self.entries.get(offset as usize).copied()
    }

    /// The term at `index`: of a kept entry or of the truncated one.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.truncated.0 { Some(self.truncated.1) } else { self.get(index).map(|entry| entry.term) }
    }

    /// Forgets everything up to `index`, or the whole log if it ends before.
    pub fn truncate_to(&mut self, index: u64, term: u64) {
        if index >= self.last_index() {
            self.entries.clear();
        } else {
            self.entries.drain(..index.saturating_sub(self.truncated.0) as usize);
        }
        if index > self.truncated.0 {
            self.truncated = (index, term);
        }
    }

    /// Replaces everything from `from` on by `entries`. `from` must be kept or the next index.
    pub fn replace_from(&mut self, from: u64, entries: impl IntoIterator<Item = EntryId>) {
        let offset = from.saturating_sub(self.first_index()) as usize;
        self.entries.truncate(offset);
        self.entries.extend(entries);
        self.changed_from = Some(self.changed_from.map_or(from, |changed| changed.min(from)));
    }

    /// The lowest index that changed since [`LogView::mark_seen`].
    pub fn changed_from(&self) -> Option<u64> {
        self.changed_from
    }

    /// Says that the invariants have seen the log as it is.
    pub fn mark_seen(&mut self) {
        self.changed_from = None;
    }
}

/// A leader that hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// To whom, by peer id.
    pub to: u64,
    /// Since how many ticks, by its own count.
    pub elapsed: u64,
    /// After how many of them it gives up.
    pub limit: u64,
}

/// What one peer believes.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    /// Where it is.
    pub key: PeerKey,
    /// Its id in the group.
    pub peer: u64,
    /// How often its store has been started; memory does not outlive an incarnation.
    pub incarnation: u64,
    /// Its role.
    pub role: PeerRole,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in that term; 0 for nobody.
    pub vote: u64,
    /// Whom it believes to lead; 0 for nobody.
    pub leader: u64,
    /// The highest index that its log has let go.
    pub truncated: u64,
    /// The highest index whose effects its state machine holds.
    pub applied: u64,
    /// The highest index that it knows to be committed.
    pub commit: u64,
    /// The highest index of its log.
    pub last: u64,
    /// Its log.
    pub log: LogView,
    /// The transfer of its leadership that runs.
    pub transfer: Option<TransferView>,
    /// Bytes and keys that its region does not exceed, if it claims to know.
    pub size_bound: Option<(u64, u64)>,
    /// How many ticks it has seen in this life.
    pub ticks: u64,
    /// The voters of the configuration in force, by peer id, in ascending order.
    pub voters: Vec<u64>,
    /// The outgoing voters of a joint configuration.
    pub voters_outgoing: Vec<u64>,
    /// The two before the last change, if the last look has found one.
    pub voters_before: Option<(Vec<u64>, Vec<u64>)>,
}

impl PeerView {
    /// Everything that rules compare, but for the log and the voters. The clock of a peer counts only while it hands over: that has an end.
    pub fn numbers(&self) -> impl PartialEq + use<> {
        let place = (self.truncated, self.applied, self.commit, self.last);
        let clock = self.transfer.map(|transfer| (transfer, self.ticks));
        ((self.role, self.term, self.vote, self.leader), place, clock, self.size_bound)
    }
}

/// All running peers.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// By store and region. Peers of a store that is down are absent.
    pub peers: BTreeMap<PeerKey, PeerView>,
    /// The store of each peer id of each region, whether it runs or not.
    pub stores: BTreeMap<(u64, u64), u64>,
}

impl ClusterView {
    /// The running peers of `region`.
    pub fn region(&self, region: u64) -> impl Iterator<Item = &PeerView> {
        self.peers.values().filter(move |peer| peer.key.region == region)
    }

    /// The store of a peer.
    pub fn store_of(&self, region: u64, peer: u64) -> Option<u64> {
        self.stores.get(&(region, peer)).copied()
    }
}

/// What a store's disk would still hold at an index of a region's log if the power failed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableEntry {
    /// Nothing.
    Missing,
    /// It was let go; a snapshot or the applied state covers it.
    Compacted,
    /// An entry of this term.
    Term(u64),
    /// The peer has applied its own removal and is gone: it votes for nobody any more.
    Buried,
}

/// Looks at disks, also at those of stores that are down.
pub trait DiskProbe {
    /// What `peer` durably holds on `store` at `index` of the log of `region`.
    fn durable_entry(&self, store: u64, region: u64, peer: u64, index: u64) -> DurableEntry;
}

/// What an invariant wants to know of a raft message that is handed to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Store and region of the sender.
    pub key: PeerKey,
    /// Peer id of the sender.
    pub from: u64,
    /// Peer id of the receiver.
    pub to: u64,
    /// The message's term.
    pub term: u64,
    /// What it promises.
    pub promise: Promise,
}

/// What the sender of a message may never take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The receiver has its vote in this term (also: a candidate's own vote, with the sender as receiver).
    Vote {
        /// Who has it.
        candidate: u64,
    },
    /// It has reached this term.
    Term,
    /// Nothing (pre-votes, local messages).
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: u64) -> EntryId {
        EntryId { term, digest: None, changes_members: false }
    }

    #[test]
    fn a_log_view_follows_appends_conflicts_and_compaction() {
        let mut log = LogView::new(5, 5);
        assert_eq!((log.last_index(), log.term(5), log.get(5)), (5, Some(5), None));
        log.replace_from(6, [entry(6), entry(6), entry(6)]);
        log.mark_seen();
        log.replace_from(8, [entry(7), entry(7)]);
        assert_eq!((log.last_index(), log.term(8), log.changed_from()), (9, Some(7), Some(8)));
        log.truncate_to(7, 6);
        assert_eq!((log.first_index(), log.term(7), log.term(6), log.last_index()), (8, Some(6), None, 9));
        log.truncate_to(20, 9);
        assert_eq!((log.first_index(), log.last_index(), log.term(20)), (21, 20, Some(9)));
    }

    #[test]
    fn the_clock_of_a_peer_counts_while_it_hands_over() {
        let transfer = Some(TransferView { to: 2, elapsed: 1, limit: 10 });
        let at = |ticks, transfer| PeerView { ticks, transfer, ..PeerView::default() };
        assert!(at(1, None).numbers() == at(2, None).numbers());
        assert!(at(1, transfer).numbers() != at(2, transfer).numbers());
        assert!(at(1, None).numbers() != PeerView { commit: 1, ..at(1, None) }.numbers());
    }
}
