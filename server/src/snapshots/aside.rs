//! A thread that reads or writes the files of one transfer.

use std::future::Future;
use std::thread;

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own, which gives way to those that work for clients. Resolves to its result, or to an error that
/// names the thread if it panicked.
///
/// # Errors
/// Which thread the operating system did not give, and why.
pub(super) fn run_aside<R: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<impl Future<Output = Result<R, String>>, String> {
    let (done, result) = oneshot::channel();
    let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
        raftstore::threads::give_way();
        // Nobody waits any more: the transfer was given up.
        let _ = done.send(work());
    });
    started.map_err(|error| format!("cannot start the thread {name}: {error}"))?;
    Ok(async move { result.await.map_err(|_| format!("the thread {name} panicked")) })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transfer_gives_way_and_its_panic_is_an_error() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let own = niceness();
        assert!(run_aside("aside", niceness).unwrap().await.unwrap() > own);
        assert_eq!(niceness(), own);
        let panicked = run_aside("aside", || panic!("on purpose")).unwrap().await;
        assert_eq!(panicked, Err::<(), _>("the thread aside panicked".to_owned()));
    }
}
