//! Keeping one other store connected: look up its address, connect, stream, and start again when that ends.
//!
//! One task a store. It sleeps while the stream runs; the messages do not pass through it (see [`super::queue`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::tikvpb::tikv_client::TikvClient;
use slog::{Logger, debug, info, warn};
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};

use super::queue::SendQueue;
use super::{Addresses, Lookup, Unreachable};
use crate::metrics::Metrics;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// HTTP/2 windows: several full frames may be on their way.
const WINDOW: u32 = 8 << 20;
/// A peer that answers no ping is gone, even if its machine says nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Connects to a store.
///
/// # Errors
/// Why that is not possible.
pub(crate) async fn open_channel(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|e| format!("address `{address}`: {e}"))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    endpoint.connect().await.map_err(|e| {
        let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        format!("{address}: {cause}")
    })
}

/// The task of one store.
pub(super) struct Connection<A, U> {
    pub store_id: u64,
    pub queue: Arc<SendQueue>,
    /// Rung when the other store is heard from, so that a backoff ends early.
    pub heard_from: Arc<Notify>,
    pub addresses: A,
    pub unreachable: U,
    pub metrics: Arc<Metrics>,
    pub log: Logger,
    pub max_message_size: usize,
}

/// How an attempt ended.
enum Ended {
    /// After the stream had been up for this long.
    Broken(Duration, String),
    /// Before it was up.
    Failed(String),
    /// The store has left the cluster.
    Gone,
}

impl<A: Addresses, U: Unreachable> Connection<A, U> {
    /// Runs until the store is gone for good. Dropping the future ends the connection.
    pub(super) async fn run(self) {
        let mut backoff = FIRST_BACKOFF;
        let mut failures = 0_u64;
        loop {
            match self.attempt().await {
                Ended::Gone => {
                    info!(self.log, "store has left the cluster, its messages are dropped"; "to" => self.store_id);
                    self.report_lost();
                    return;
                }
                Ended::Broken(lasted, reason) => {
                    info!(self.log, "connection broken"; "to" => self.store_id, "reason" => reason);
                    self.metrics.raft_disconnects.inc();
                    failures = 0;
                    // Whoever refuses the stream at once is not asked again at once.
                    if lasted > LONGEST_BACKOFF {
                        backoff = FIRST_BACKOFF;
                    }
                }
                Ended::Failed(reason) => {
                    // Once when it begins, then rarely: a store that is down stays down for a while.
                    if failures.is_multiple_of(30) {
                        warn!(self.log, "store cannot be reached"; "to" => self.store_id, "reason" => reason);
                    } else {
                        debug!(self.log, "store cannot be reached"; "to" => self.store_id, "reason" => reason);
                    }
                    failures += 1;
                }
            }
            self.report_lost();
            let _elapsed = tokio::time::timeout(backoff, self.heard_from.notified()).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
            self.queue.open();
        }
    }

    async fn attempt(&self) -> Ended {
        let address = match self.addresses.lookup(self.store_id).await {
            Lookup::At(address) => address,
            Lookup::Gone => return Ended::Gone,
            Lookup::Unknown(reason) => return Ended::Failed(reason),
        };
        let channel = match open_channel(&address).await {
            Ok(channel) => channel,
            Err(reason) => return Ended::Failed(reason),
        };
        info!(self.log, "connected"; "to" => self.store_id, "addr" => &address);
        let frames = self.queue.stream().counted(self.metrics.raft_frames.clone(), self.metrics.raft_sent.clone());
        let mut client = TikvClient::new(channel).max_encoding_message_size(self.max_message_size);
        let start = Instant::now();
        let reason = match client.batch_raft(frames).await {
            Ok(_) => "the other side ended the stream".to_owned(),
            Err(status) => format!("{}: {}", status.code(), status.message()),
        };
        Ended::Broken(start.elapsed(), reason)
    }

    /// Closes the queue and tells raft that what was waiting, or on its way, is lost.
    fn report_lost(&self) {
        let lost = self.queue.close();
        self.metrics.raft_dropped.with_label_values(&["disconnected"]).inc_by(lost as u64);
        self.unreachable.report(self.store_id);
    }
}
