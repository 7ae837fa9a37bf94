//! So many bytes a second, for all who share it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What was not used may be caught up with for so long.
const BURST: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Throttle {
    /// 0 = no limit.
    bytes_per_second: u64,
    /// When everything that was let through so far is through at that rate.
    through_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, through_at: Mutex::new(None) }
    }

    /// Returns when `bytes` more may pass.
    pub(super) async fn take(&self, bytes: usize) {
        if self.bytes_per_second == 0 {
            return;
        }
        let needed = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let through_at = {
            let now = Instant::now();
            let mut through_at = self.through_at.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let begin = through_at.unwrap_or(earliest).max(earliest);
            *through_at.insert(begin + needed)
        };
        tokio::time::sleep_until(through_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_by_all_together() {
        let throttle = Throttle::new(1_000_000);
        let began = Instant::now();
        let takers = (0..4).map(|_| async {
            for _ in 0..50 {
                throttle.take(10_000).await;
            }
        });
        futures_util::future::join_all(takers).await;
        let seconds = began.elapsed().as_secs_f64();
        assert!((1.9..2.1).contains(&seconds), "two megabytes took {seconds} s");
        let unlimited = Throttle::new(0);
        let began = Instant::now();
        unlimited.take(usize::MAX).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
