//! A running store: ports, engines, services, and how they start and stop together.
//!
//! Order of a start: take the ports (a busy one is the commonest mistake and costs nothing to find), lock the data folder, open
//! the engines, then serve. Order of a stop: refuse new requests, let running ones finish for a bounded time, stop raft, write
//! the engines' memory out.

mod bootstrap;
mod dispatch;
mod edge;
#[cfg(feature = "rocksdb")]
mod open;
pub mod replicated;
mod scheduler_link;
pub mod standalone;

use edge::Edge;
pub use edge::Ports;
#[cfg(feature = "rocksdb")]
pub use open::{open_replicated, open_standalone};

use std::net::SocketAddr;

use tokio::task::JoinHandle;

use crate::Result;
use crate::stop::StopTrigger;

/// A store that has started.
pub struct Node {
    addr: SocketAddr,
    status_addr: Option<SocketAddr>,
    trigger: StopTrigger,
    task: JoinHandle<Result<()>>,
}

impl Node {
    /// Where gRPC is served. Differs from the configuration if that asked for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the status port is, if it is on.
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status_addr
    }

    /// Stops in order and waits for the end.
    ///
    /// # Errors
    /// What went wrong while the store ran or stopped.
    pub async fn stop(self) -> Result<()> {
        self.trigger.stop();
        self.finished().await
    }

    /// Waits until the store stops by itself, which only an error makes it do, or `signal` comes, and then stops it in order.
    ///
    /// # Errors
    /// As [`Node::stop`].
    pub async fn run_until(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            () = signal => self.stop().await,
            ended = &mut self.task => ended.unwrap_or_else(|e| Err(panicked(&e))),
        }
    }

    async fn finished(self) -> Result<()> {
        self.task.await.unwrap_or_else(|e| Err(panicked(&e)))
    }
}

fn panicked(error: &tokio::task::JoinError) -> crate::Error {
    crate::Error::Serve { server: "store", reason: format!("a task failed: {error}") }
}
