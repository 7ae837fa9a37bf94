//! Snapshots on their way between stores: `tikvpb.Tikv/Snapshot`, a stream that begins with the raft message and goes on with the bytes
//! of the snapshot's files, in the order in which its meta lists them.
//!
//! Each transfer has a connection of its own, so that heartbeats do not wait behind a gigabyte. How many run at a time, and how many
//! bytes a second they move together, is limited in each direction; gRPC's windows slow down a sender whose receiver cannot keep up.
//! Whoever reads or writes files does so on a thread of its own that gives way to clients, a few pieces ahead of the network at most.
//!
//! | file | what it holds |
//! |---|---|
//! | `send.rs` | from files to a stream |
//! | `receive.rs` | from a stream to files, verified |
//! | `throttle.rs` | so many bytes a second |
//! | `aside.rs` | the thread of a transfer |
//!
//! Raft hears in any case how a transfer went: the sender's drop guard reports what nobody else has reported.

mod aside;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raftstore::snapshot::{SnapshotId, SnapshotStore};
use slog::Logger;
use tokio::sync::Semaphore;

use crate::config::RaftstoreConfig;
use crate::metrics::Metrics;
use throttle::Throttle;

/// Bytes of a piece of a snapshot: small, so that nothing else waits long behind one. Whoever reads or writes files lets others run after
/// each of them.
const PIECE: usize = 64 << 10;
/// Pieces that wait between the disk and the network.
const PIECES_AHEAD: usize = 16;
/// A stream on which nothing moves for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// A snapshot waits so long for its turn to be sent; raft asks again later.
const TURN: Duration = Duration::from_secs(60);

/// One direction of a store's snapshot traffic.
struct Lane {
    name: &'static str,
    slots: Arc<Semaphore>,
    throttle: Throttle,
    metrics: Arc<Metrics>,
}

impl Lane {
    fn new(name: &'static str, config: &RaftstoreConfig, metrics: &Arc<Metrics>) -> Self {
        let slots = Arc::new(Semaphore::new(config.snapshot_concurrency));
        Self { name, slots, throttle: Throttle::new(config.snapshot_rate.0), metrics: metrics.clone() }
    }

    /// Counts a transfer that has ended.
    fn record(&self, began: Instant, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.metrics.snapshots.with_label_values(&[self.name, outcome]).inc();
        if ok {
            self.metrics.snapshot_seconds.with_label_values(&[self.name]).observe(began.elapsed().as_secs_f64());
        }
    }

    /// Waits until `bytes` more may move, and counts them.
    async fn pass(&self, bytes: usize) {
        self.throttle.take(bytes).await;
        self.metrics.snapshot_bytes.with_label_values(&[self.name]).inc_by(bytes as u64);
    }
}

/// The snapshot traffic of one store. Clones share its limits.
#[derive(Clone)]
pub struct SnapshotTraffic {
    shared: Arc<Shared>,
}

struct Shared {
    store: SnapshotStore,
    sending: Lane,
    receiving: Lane,
    /// What is being received. A second stream of the same snapshot would write to the same files.
    arriving: Mutex<BTreeSet<SnapshotId>>,
    max_message_size: usize,
    log: Logger,
}

impl SnapshotTraffic {
    /// The traffic of a store whose snapshots are in `store`.
    pub fn new(
        store: SnapshotStore,
        config: &RaftstoreConfig,
        max_message_size: usize,
        metrics: &Arc<Metrics>,
        log: Logger,
    ) -> Self {
        let lane = |name| Lane::new(name, config, metrics);
        let (sending, receiving, arriving) = (lane("sent"), lane("received"), Mutex::default());
        Self { shared: Arc::new(Shared { store, sending, receiving, arriving, max_message_size, log }) }
    }
}

impl Shared {
    fn arriving(&self) -> std::sync::MutexGuard<'_, BTreeSet<SnapshotId>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
