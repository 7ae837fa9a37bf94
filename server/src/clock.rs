//! The two clocks of the process. Everything below this crate gets its time from here, through a trait.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix time from the system, for expiry of raw values. May jump when an operator sets the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl storage::raw::WallClock for SystemClock {
    fn unix_seconds(&self) -> u64 {
        // A clock before 1970 is a broken machine; 0 means "nothing has expired", which loses no data.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// Monotonic time since the process started, for leases and timers. Never goes back.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// A clock that reads zero now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the clock was made.
    pub fn elapsed(&self) -> std::time::Duration {
        self.start.elapsed()
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}
