//! The clock of the process. Everything below this crate gets its time from here, through a trait.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time from the system, for expiry of raw values. May jump when an operator sets the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl storage::raw::WallClock for SystemClock {
    fn unix_seconds(&self) -> u64 {
        // A clock before 1970 is a broken machine; 0 means "nothing has expired", which loses no data.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
