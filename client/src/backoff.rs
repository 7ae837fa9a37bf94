//! Exponential backoff with an upper bound, the same for every kind of retry in this crate.

use std::time::Duration;

/// Delays that double from `first` up to `most`, endlessly; whoever waits decides when to give up.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, next: first, most }
    }

    /// The delay to wait now.
    pub(crate) fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    /// After a success the next failure waits briefly again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(150));
        let delays: Vec<u128> = (0..4).map(|_| backoff.step().as_millis()).collect();
        assert_eq!(delays, [50, 100, 150, 150]);
        backoff.reset();
        assert_eq!(backoff.step().as_millis(), 50);
    }
}
