//! Virtual time. It jumps to the next event instead of passing, so five virtual seconds cost milliseconds.
//!
//! Invariant: time never goes back ([`VirtualClock::advance_to`] refuses to).

use std::fmt;
use std::ops::Add;

/// A point in virtual time: microseconds since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualTime(u64);

impl VirtualTime {
    /// The start of every run.
    pub const ZERO: Self = Self(0);

    /// The point `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

/// Adds a span of microseconds.
impl Add<u64> for VirtualTime {
    type Output = Self;

    fn add(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for VirtualTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The clock of one run.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    now: VirtualTime,
}

impl VirtualClock {
    /// A clock at [`VirtualTime::ZERO`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The present.
    pub fn now(&self) -> VirtualTime {
        self.now
    }

    /// Moves to `time`. A time in the past leaves the clock where it is: events that are due "now" are run now.
    pub fn advance_to(&mut self, time: VirtualTime) {
        self.now = self.now.max(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let mut clock = VirtualClock::new();
        clock.advance_to(VirtualTime::from_millis(5));
        clock.advance_to(VirtualTime::from_millis(3));
        assert_eq!(clock.now(), VirtualTime::from_micros(5_000));
        assert_eq!((clock.now() + 1).to_string(), "0.005001s");
    }
}
