//! A thread that reads or writes the files of one transfer.

use std::future::Future;
use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own, which gives way to those that work for clients. Resolves to its result, or to an error if it
/// panicked.
///
/// # Errors
/// The operating system gives no more threads.
pub(super) fn run_aside<R: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<impl Future<Output = Result<R, oneshot::error::RecvError>>> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        raftstore::threads::give_way();
        // Nobody waits any more: the transfer was given up.
        let _ = done.send(work());
    })?;
    Ok(result)
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
        assert!(run_aside("aside", || panic!("on purpose")).unwrap().await.is_err());
    }
}
