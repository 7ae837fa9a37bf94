//! Bounded waiting: a probe is asked again and again until it succeeds or the bound has passed.

use std::future::Future;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers `Ok`; panics after `bound`, naming what it waited for and the last refusal.
pub async fn wait_until<T, F, P>(what: &str, bound: Duration, mut probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        let left = bound.saturating_sub(started.elapsed());
        let refusal = match tokio::time::timeout(left.max(POLL_INTERVAL), probe()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(refusal)) => refusal,
            Err(_) => "no answer at all".to_owned(),
        };
        assert!(started.elapsed() < bound, "waited {bound:?} for {what}; the last answer: {refusal}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Asks `question` until it answers `true`; see [`wait_until`].
pub async fn wait_true<P: FnMut() -> bool>(what: &str, bound: Duration, mut question: P) {
    wait_until(what, bound, || {
        let answer = question();
        async move { answer.then_some(()).ok_or_else(|| "not yet".to_owned()) }
    })
    .await;
}
