//! The wall clock, injected so that tests can move it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Time as timestamps and expiry need it. It may jump in either direction.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // Before 1970 the oracle goes on from what it has on disk.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
    }
}
