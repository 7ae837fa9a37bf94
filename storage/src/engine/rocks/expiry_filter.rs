//! Drops expired raw pairs while RocksDB merges table files.
//!
//! Replicas merge at different times, so a dropped pair must already be absent for every reader: pairs are kept for a margin after
//! their expiry. The margin must exceed the age of any request still under way plus the difference between the nodes' clocks; only
//! then does a compare-and-swap decide alike where the pair is gone and where it is still stored.

use std::ffi::CStr;
use std::sync::Arc;

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use crate::raw::value;

/// When the engine may drop expired raw pairs for good.
#[derive(Clone)]
pub struct Expiry {
    /// The time in unix seconds.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Seconds that a pair is kept after its expiry.
    pub margin: u64,
}

impl Expiry {
    /// One hour of margin.
    pub const DEFAULT_MARGIN: u64 = 3600;

    /// Drops pairs one hour after their expiry by the clock `now`.
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
