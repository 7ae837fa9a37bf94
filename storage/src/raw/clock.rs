//! The wall clock, injected: production passes the system's, the simulator a virtual one.

/// Tells the time of day. It may jump; commands only ever compare it with expiry times.
pub trait WallClock: Send + Sync + 'static {
    /// Whole seconds since the Unix epoch.
    fn unix_seconds(&self) -> u64;
}

impl<F: Fn() -> u64 + Send + Sync + 'static> WallClock for F {
    fn unix_seconds(&self) -> u64 {
        self()
    }
}
