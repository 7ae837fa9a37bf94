//! Settings of the raft side of a store. Plain values; the server reads them from its TOML file.

use crate::{
    error::{Error, Result},
    split::SplitLimits,
};

/// Settings of one store. Times are in ticks: the driver decides how long a tick is.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Election timeout in ticks; the real one is drawn from `[election_ticks, 2 * election_ticks)`.
    pub election_ticks: usize,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Ticks between two reports of a leader about its region to the scheduler.
    pub region_heartbeat_ticks: u64,
    /// Ticks between two reports of the store to the scheduler.
    pub store_heartbeat_ticks: u64,
    /// Messages that may wait in the mailbox of one region; past it clients get `ServerIsBusy` and raft messages are dropped.
    pub mailbox_capacity: usize,
    /// Messages of one region that are handled in one round, so that a busy region leaves room for the others.
    pub messages_per_round: usize,
    /// Regions handled in one round, that is: sharing one fsync.
    pub regions_per_round: usize,
    /// Largest raft entry in bytes; a larger write is refused with `RaftEntryTooLarge`.
    pub max_entry_bytes: u64,
    /// Writes of waiting clients are joined into one entry up to this size in bytes.
    pub max_joined_bytes: usize,
    /// While this many `Ready`s of a region wait for the disk, its new writes wait too and join the next entry.
    pub max_readies_in_flight: usize,
    /// Bytes of proposals of one region that may be neither committed nor lost; past it clients get `ServerIsBusy`.
    pub max_uncommitted_bytes: u64,
    /// Largest raft message in bytes of entries.
    pub max_message_bytes: u64,
    /// Append messages that may be on their way to one follower.
    pub max_inflight_messages: usize,
    /// Bytes of entries that may be on their way to one follower.
    pub max_inflight_bytes: u64,
    /// Bytes of recent entries kept in memory for each region.
    pub entry_cache_bytes: usize,
    /// Ticks between two looks of a leader whether its log can be compacted.
    pub log_gc_ticks: u64,
    /// Entries that make a compaction worth while; fewer wait for some more looks.
    pub log_gc_threshold: u64,
    /// Ticks between two looks of a leader whether its region is too large.
    pub split_check_ticks: u64,
    /// When a region is too large, and how large its parts are.
    pub split: SplitLimits,
    /// Ticks that a split waits for its ids before it is given up.
    pub split_wait_ticks: u64,
    /// The last part of a split keeps the region's id; otherwise the first one does.
    pub right_derive: bool,
    /// Entries after which a log is compacted even if a member still needs some of them; that member gets a snapshot.
    pub log_gc_count_limit: u64,
    /// Bytes after which a log is compacted even if a member still needs some of them.
    pub log_gc_size_limit: u64,
    /// Ticks that a log keeps what comes behind a snapshot which a member has received and not restored yet.
    pub snapshot_wait_ticks: u64,
    /// Ticks between two looks for snapshot files that nobody needs.
    pub snapshot_gc_ticks: u64,
    /// Looks that a snapshot file survives without being used.
    pub snapshot_gc_patience: u32,
    /// Reads that find no leader ready wait this many ticks before they are refused.
    pub read_wait_ticks: u64,
    /// A peer that has heard of no leader for so many ticks asks whether it is still a member, and again after as many.
    pub max_leader_missing_ticks: u64,
    /// Bytes of log that the log writer puts into one batch at the most.
    pub max_write_batch_bytes: usize,
    /// Seed of the election timeouts. Each peer derives its own from it.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            election_ticks: 12,
            heartbeat_ticks: 2,
            region_heartbeat_ticks: 200,
            store_heartbeat_ticks: 200,
            mailbox_capacity: 4096,
            messages_per_round: 1024,
            regions_per_round: 256,
            max_entry_bytes: 8 << 20,
            max_joined_bytes: 256 << 10,
            max_readies_in_flight: 2,
            max_uncommitted_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            max_inflight_messages: 256,
            max_inflight_bytes: 32 << 20,
            entry_cache_bytes: 4 << 20,
            log_gc_ticks: 60,
            log_gc_threshold: 50,
            split_check_ticks: 200,
            split: SplitLimits::default(),
            split_wait_ticks: 100,
            right_derive: true,
            log_gc_count_limit: 72 << 10,
            log_gc_size_limit: 72 << 20,
            snapshot_wait_ticks: 1200,
            snapshot_gc_ticks: 1200,
            snapshot_gc_patience: 30,
            read_wait_ticks: 40,
            max_leader_missing_ticks: 1200,
            max_write_batch_bytes: 4 << 20,
            seed: 0,
        }
    }
}

impl Config {
    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting and what is expected of it.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("heartbeat-ticks", self.heartbeat_ticks as u64),
            ("region-heartbeat-ticks", self.region_heartbeat_ticks),
            ("store-heartbeat-ticks", self.store_heartbeat_ticks),
            ("log-gc-ticks", self.log_gc_ticks),
            ("log-gc-threshold", self.log_gc_threshold),
            ("split-check-ticks", self.split_check_ticks),
            ("split-wait-ticks", self.split_wait_ticks),
            ("region-split-size", self.split.split_bytes),
            ("region-split-keys", self.split.split_keys),
            ("region-split-cuts", self.split.max_cuts as u64),
            ("log-gc-count-limit", self.log_gc_count_limit),
            ("log-gc-size-limit", self.log_gc_size_limit),
            ("snapshot-gc-ticks", self.snapshot_gc_ticks),
            ("max-leader-missing-ticks", self.max_leader_missing_ticks),
            ("mailbox-capacity", self.mailbox_capacity as u64),
            ("messages-per-round", self.messages_per_round as u64),
            ("regions-per-round", self.regions_per_round as u64),
            ("max-entry-bytes", self.max_entry_bytes),
            ("max-joined-bytes", self.max_joined_bytes as u64),
            ("max-readies-in-flight", self.max_readies_in_flight as u64),
            ("max-uncommitted-bytes", self.max_uncommitted_bytes),
            ("max-message-bytes", self.max_message_bytes),
            ("max-inflight-messages", self.max_inflight_messages as u64),
            ("max-inflight-bytes", self.max_inflight_bytes),
            ("max-write-batch-bytes", self.max_write_batch_bytes as u64),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::Config { name, reason: "must be greater than 0".to_owned() });
            }
        }
        if self.election_ticks <= self.heartbeat_ticks {
            return Err(Error::Config {
                name: "election-ticks",
                reason: format!("must be greater than heartbeat-ticks ({})", self.heartbeat_ticks),
            });
        }
        let SplitLimits { max_bytes, split_bytes, max_keys, split_keys, .. } = self.split;
        for (name, max, part) in
            [("region-max-size", max_bytes, split_bytes), ("region-max-keys", max_keys, split_keys)]
        {
            if max < part {
                return Err(Error::Config {
                    name,
                    reason: format!("must not be less than what is split off ({part})"),
                });
            }
        }
        if self.max_entry_bytes > self.max_uncommitted_bytes {
            return Err(Error::Config {
                name: "max-entry-bytes",
                reason: format!("must not exceed max-uncommitted-bytes ({})", self.max_uncommitted_bytes),
            });
        }
        Ok(())
    }
}
