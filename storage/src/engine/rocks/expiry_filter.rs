//! Drops expired raw pairs while RocksDB merges table files.
//!
//! Dropping must not change what any command sees. A command carries its own `now`, and a pair that had not expired at that time
//! counts as present. So the filter's clock must never run past a time that a command still to be executed may carry:
//!
//! - on a standalone store commands are executed as they come, and the wall clock will do; the margin covers its jumps;
//! - a replica that was cut off or down executes old log entries late, however long the margin. There the clock must follow what
//!   *has been applied* (the smallest, over the regions of the store, of the newest `now` applied), not the wall: otherwise a
//!   compare-and-swap finds the pair on one replica and misses it on another.

use std::ffi::CStr;
use std::sync::Arc;

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use crate::raw::value;

/// When the engine may drop expired raw pairs for good.
#[derive(Clone)]
pub struct Expiry {
    /// A time in unix seconds behind which no command will be executed any more; on a replica that is not the wall clock, but follows what was applied.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Seconds that a pair is kept after its expiry.
    pub margin: u64,
}

impl Expiry {
    /// One hour of margin.
    pub const DEFAULT_MARGIN: u64 = 3600;

    /// Drops pairs one hour after their expiry by the clock `now`, which must keep to the rule of [`Expiry::now`].
    pub fn new(now: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { now, margin: Self::DEFAULT_MARGIN }
    }
}

/// Makes the filter of each compaction; the time is read once a compaction.
pub(super) struct ExpiryFilterFactory(pub(super) Expiry);

impl CompactionFilterFactory for ExpiryFilterFactory {
    type Filter = ExpiryFilter;

    fn create(&mut self, _: CompactionFilterContext) -> ExpiryFilter {
        ExpiryFilter { expired_at: (self.0.now)().saturating_sub(self.0.margin) }
    }

    fn name(&self) -> &CStr {
        c"tinykv.raw-expiry"
    }
}

/// Drops what had expired at `expired_at`.
pub(super) struct ExpiryFilter {
    expired_at: u64,
}

impl CompactionFilter for ExpiryFilter {
    fn filter(&mut self, _level: u32, _key: &[u8], stored: &[u8]) -> CompactionDecision {
        match value::decode(stored) {
            Ok((_, expiry)) if value::is_expired(expiry, self.expired_at) => CompactionDecision::Remove,
            // A value that cannot be decoded stays: readers report it, nothing destroys it.
            Ok(_) | Err(_) => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        c"tinykv.raw-expiry"
    }
}
