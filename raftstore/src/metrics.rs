//! Counters of a store. The stages only add to them; the server publishes them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// Counters of one store, shared by its stages.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: Counter,)+
        }

        impl Metrics {
            /// All counters: name, help, count.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($help),+), self.$name.get()),)+]
            }
        }
    };
}

metrics! {
    /// Writes of clients that were proposed.
    writes_proposed,
    /// Raft entries that these writes became.
    entries_proposed,
    /// Commands of clients that were refused before they were proposed.
    commands_refused,
    /// Reads of clients that were answered with a snapshot.
    reads_served,
    /// ReadIndex rounds that these reads shared.
    read_rounds,
    /// Raft messages handed to the transport.
    messages_sent,
    /// Raft messages received for a peer of this store.
    messages_received,
    /// Raft messages dropped because the mailbox was full or they were not for a peer of this store.
    messages_dropped,
    /// Entries written to the raft log.
    entries_written,
    /// Batches written to the raft log, each with one sync.
    log_syncs,
    /// Entries applied.
    entries_applied,
    /// Batches written to the kv engine by apply.
    apply_batches,
    /// Entries that left the raft log by compaction.
    entries_compacted,
    /// Splits that peers of this store have applied.
    regions_split,
    /// Snapshots made for others.
    snapshots_generated,
    /// Snapshots that were begun and given up, because nobody wanted them any more or the disk failed.
    snapshots_cancelled,
    /// Snapshots received that were not whole.
    snapshots_damaged,
    /// Snapshots received that were of no use here.
    snapshots_refused,
    /// Snapshots restored.
    snapshots_restored,
    /// Peers made because a message came for them.
    peers_created,
    /// Such peers that a split has initialised.
    peers_adopted,
    /// Changes of members that peers of this store have applied.
    members_changed,
    /// Peers of this store that were removed.
    peers_destroyed,
    /// Transfers of a leadership that leaders of this store have begun.
    transfers_begun,
    /// Times a peer of this store became leader.
    elections_won,
}
