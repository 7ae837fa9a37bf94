//! Log compaction: when a leader proposes it, and what every peer does once it is applied.
//!
//! The leader proposes up to where all members have the log, so that each of them can go on from what is left. When the log has
//! grown too long, it goes further: a member that needs what is gone gets a snapshot. All replicas truncate at the same place of
//! the log; when the bytes go is each store's own business ([`crate::worker`]).

use std::collections::BTreeMap;

use proto::{
    raft_cmdpb::{AdminCmdType, AdminRequest, CompactLogRequest},
    raft_serverpb::RaftTruncatedState,
};
use raft_core::progress::ProgressState;
use storage::Engine;

use super::{Effects, Peer};
use crate::{
    config::Config,
    message::Waiting,
    worker::{LogGcTask, Task},
};

/// A log that is not longer than this is left alone, or compaction, which makes an entry itself, would never come to an end.
const ENTRIES_KEPT: u64 = 3;
/// So many ticks in a row a leader waits for more entries than `log_gc_threshold` to be worth an entry of its own.
const TICKS_HELD_BACK: u32 = 6;

/// Where a leader's log stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogBounds {
    /// Index of the first entry.
    pub(super) first: u64,
    /// Index of the last entry.
    pub(super) last: u64,
    /// All entries up to here are applied.
    pub(super) applied: u64,
    /// All members have the entries up to here on disk.
    pub(super) replicated: u64,
    /// The entries behind this index are for members that get a snapshot, or have got one and are restoring it.
    pub(super) needed_behind: u64,
    /// About how many bytes the log has.
    pub(super) bytes: u64,
}

/// What a peer remembers about the compaction of its log.
#[derive(Debug, Default)]
pub(super) struct LogGc {
    held_back: u32,
    /// Entries before this index are deleted on disk. Not known after a restart: what is deleted already is deleted again.
    deleted_to: u64,
    deleting: bool,
    /// Snapshots that have arrived, by member: the index, and the tick until which the member may take to restore it.
    delivered: BTreeMap<u64, (u64, u64)>,
}

impl LogGc {
    /// Up to which index the log should be compacted now.
    pub(super) fn compact_to(&mut self, bounds: LogBounds, config: &Config) -> Option<u64> {
        // lab:begin 2C log_gc::compact_to  hint="nobody may need what goes: neither a follower nor the state machine"
        let length = bounds.last + 1 - bounds.first;
        let too_long = bounds.applied.saturating_sub(bounds.first) >= config.log_gc_count_limit
            || bounds.bytes >= config.log_gc_size_limit;
        let at_least = if too_long { bounds.first + (bounds.last - bounds.first) / 2 } else { 0 };
        let free = bounds.replicated.max(at_least).min(bounds.needed_behind).min(bounds.applied);
        let to = free.saturating_sub(1);
        if length <= ENTRIES_KEPT || to < bounds.first {
            return None;
        }
        let count = to + 1 - bounds.first;
        if count < config.log_gc_threshold && !too_long && self.held_back < TICKS_HELD_BACK {
            self.held_back += 1;
            return None;
        }
        self.held_back = 0;
        Some(to)
        // lab:end
    }

    /// The next deletion, if there is something to delete and none is under way.
    fn next_deletion<S>(&mut self, region_id: u64, truncated: u64) -> Option<Task<S>> {
        let entries = self.deleted_to..truncated + 1;
        if self.deleting || entries.is_empty() {
            return None;
        }
        self.deleting = true;
        Some(Task::LogGc(LogGcTask { region_id, entries }))
    }
}

impl LogGc {
    /// A snapshot has replaced the log: nothing up to `index` is on disk.
    pub(super) fn restored(&mut self, index: u64) {
        self.deleted_to = self.deleted_to.max(index + 1);
    }
}

impl<E: Engine> Peer<E> {
    /// How sending a snapshot went. A member that has got one takes its time to restore it. Until then the log must not be compacted past
    /// it, or it would need the next one, and never catch up with a region that is written to.
    pub(super) fn on_snapshot_status(&mut self, to_peer: u64, ok: bool) {
        let progress = self.node.raft.tracker().get(to_peer);
        if let Some(progress) = progress.filter(|progress| ok && progress.state == ProgressState::Snapshot) {
            let until = self.ticks.now() + self.context.config.snapshot_wait_ticks;
            self.log_gc.delivered.insert(to_peer, (progress.pending_snapshot, until));
        }
        self.node.report_snapshot(to_peer, ok);
    }

    /// The entries behind this index are for members with a snapshot.
    fn needed_behind_snapshots(&mut self) -> u64 {
        let (now, tracker) = (self.ticks.now(), self.node.raft.tracker());
        self.log_gc.delivered.retain(|peer, (index, until)| {
            now < *until && tracker.get(*peer).is_some_and(|progress| progress.matched < *index)
        });
        let on_their_way = tracker.iter().map(|(_, progress)| progress);
        let on_their_way = on_their_way.filter(|progress| progress.state == ProgressState::Snapshot);
        let delivered = self.log_gc.delivered.values().map(|(index, _)| *index);
        on_their_way.map(|progress| progress.pending_snapshot).chain(delivered).min().unwrap_or(u64::MAX)
    }

    pub(super) fn on_log_gc_tick(&mut self) {
        if !self.is_leader() {
            return;
        }
        let needed_behind = self.needed_behind_snapshots();
        let members = self.node.raft.tracker().iter().map(|(_, progress)| progress.matched);
        let bounds = LogBounds {
            first: self.node.store().truncated().index + 1,
            last: self.node.raft.last_index(),
            applied: self.applied,
            replicated: members.min().unwrap_or_default(),
            needed_behind,
            bytes: self.node.store().log_bytes(),
        };
        let Some(to) = self.log_gc.compact_to(bounds, &self.context.config) else { return };
        let Some(term) = self.node.raft.log_term(to) else { return };
        let compact_log = Some(CompactLogRequest { compact_index: to, compact_term: term, ..Default::default() });
        let cmd_type = AdminCmdType::CompactLog as i32;
        self.propose_admin(AdminRequest { cmd_type, compact_log, ..Default::default() }, Waiting::Nobody);
    }

    /// Compaction was applied: the entries up to `truncated` are no longer read here, and may be deleted.
    pub(super) fn on_log_compacted(&mut self, truncated: RaftTruncatedState, effects: &mut Effects<E>) {
        let before = self.node.store().truncated().index;
        self.node.mut_store().compact(truncated);
        self.context.metrics.entries_compacted.add(truncated.index.saturating_sub(before));
        effects.tasks.extend(self.log_gc.next_deletion(self.region.id, self.node.store().truncated().index));
    }

    /// The entries before `to` are deleted on disk.
    pub(super) fn on_log_deleted(&mut self, to: u64, effects: &mut Effects<E>) {
        self.log_gc.deleting = false;
        self.log_gc.deleted_to = self.log_gc.deleted_to.max(to);
        effects.tasks.extend(self.log_gc.next_deletion(self.region.id, self.node.store().truncated().index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(first: u64, replicated: u64, applied: u64, last: u64) -> LogBounds {
        LogBounds { first, last, applied, replicated, needed_behind: u64::MAX, bytes: 0 }
    }

    fn config(log_gc_threshold: u64) -> Config {
        Config { log_gc_threshold, ..Config::default() }
    }

    #[test]
    fn nothing_goes_that_a_member_or_the_state_machine_still_needs_2c() {
        let config = config(1);
        let mut gc = LogGc::default();
        assert_eq!(gc.compact_to(bounds(6, 40, 60, 70), &config), Some(39));
        assert_eq!(gc.compact_to(bounds(6, 60, 40, 70), &config), Some(39));
        assert_eq!(gc.compact_to(bounds(6, 0, 60, 70), &config), None, "a new leader knows nobody's log yet");
        assert_eq!(gc.compact_to(bounds(40, 40, 60, 70), &config), None);
    }

    #[test]
    fn a_log_that_is_too_long_is_cut_in_half_even_if_a_member_needs_it_2c() {
        let config = Config { log_gc_count_limit: 100, log_gc_size_limit: 1000, ..config(50) };
        let mut gc = LogGc::default();
        assert_eq!(gc.compact_to(bounds(6, 10, 106, 206), &config), Some(105));
        assert_eq!(gc.compact_to(bounds(6, 150, 206, 206), &config), Some(149), "what all have goes in any case");
        assert_eq!(gc.compact_to(bounds(6, 6, 90, 400), &config), None, "it is not applied");
        let heavy = LogBounds { bytes: 1000, ..bounds(6, 6, 26, 26) };
        assert_eq!(gc.compact_to(heavy, &config), Some(15));
        let sending = LogBounds { needed_behind: 12, ..heavy };
        assert_eq!(gc.compact_to(sending, &config), Some(11), "what comes behind a snapshot on its way stays");
    }

    #[test]
    fn few_entries_are_held_back_for_a_while_2c() {
        let config = config(50);
        let mut gc = LogGc::default();
        let small = bounds(6, 20, 20, 20);
        for _ in 0..TICKS_HELD_BACK {
            assert_eq!(gc.compact_to(small, &config), None);
        }
        assert_eq!(gc.compact_to(small, &config), Some(19));
        assert_eq!(gc.compact_to(small, &config), None, "the waiting starts anew");
        assert_eq!(gc.compact_to(bounds(6, 56, 56, 56), &config), Some(55));
    }

    #[test]
    fn an_idle_log_comes_to_rest_2c() {
        let config = config(1);
        let mut gc = LogGc::default();
        let (mut first, mut last, mut proposals) = (6, 100, 0);
        while let Some(to) = gc.compact_to(bounds(first, last, last, last), &config) {
            first = to + 1;
            last += 1; // the entry that compacts
            proposals += 1;
            assert!(proposals < 5, "compaction feeds itself");
        }
        assert!(proposals > 0);
    }

    #[test]
    fn one_deletion_at_a_time_and_each_entry_once() {
        let mut gc = LogGc::default();
        let next = |gc: &mut LogGc, truncated| match gc.next_deletion::<()>(1, truncated) {
            Some(Task::LogGc(LogGcTask { region_id: 1, entries })) => Some(entries),
            _ => None,
        };
        assert_eq!(next(&mut gc, 10), Some(0..11));
        assert_eq!(next(&mut gc, 20), None, "one is under way");
        (gc.deleting, gc.deleted_to) = (false, 11);
        assert_eq!(next(&mut gc, 20), Some(11..21));
        (gc.deleting, gc.deleted_to) = (false, 21);
        assert_eq!(next(&mut gc, 20), None);
        gc.restored(50);
        assert_eq!(next(&mut gc, 60), Some(51..61));
    }
}
