//! Raft messages to other stores.
//!
//! Raft threads hold a [`RaftTransport`] each and only push: `send` puts a message into a buffer of the thread, `flush` (once a
//! round) hands each store's buffer to that store's queue and wakes its stream. A queue is bounded; what does not fit is
//! dropped, counted and reported to raft as unreachable, and raft sends it again when it is due. Nothing here blocks.
//!
//! One connection and one client stream a store; gRPC pulls frames from the queue when the connection can take them. Snapshots have
//! connections of their own ([`crate::snapshots`]).

mod connection;
mod queue;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use proto::raft_serverpb::RaftMessage;
use slog::Logger;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::snapshots::SnapshotTraffic;
use crate::stop::{self, StopSignal, StopTrigger};
use connection::Connection;
pub(crate) use connection::open_channel;
use queue::SendQueue;

/// What is known about where a store is.
pub enum Lookup {
    /// Its `host:port`.
    At(String),
    /// Not known now; the text says why. Asked again later.
    Unknown(String),
    /// It has left the cluster for good.
    Gone,
}

/// Where stores are; in production the scheduler knows. Asked again before each connection attempt.
pub trait Addresses: Clone + Send + Sync + 'static {
    /// The address of `store_id`.
    fn lookup(&self, store_id: u64) -> impl Future<Output = Lookup> + Send;
}

/// Who wants to know that messages to a store were lost; in production the router.
pub trait Unreachable: Clone + Send + Sync + 'static {
    /// Messages for this store were dropped. Must not block.
    fn report(&self, store_id: u64);
    /// How sending a snapshot to this peer went. Called once for each snapshot. Must not block.
    fn snapshot_sent(&self, region_id: u64, to_peer: u64, ok: bool);
}

/// One store's queue and the bell that ends a backoff.
struct Link {
    queue: Arc<SendQueue>,
    heard_from: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared<A, U> {
    links: Mutex<BTreeMap<u64, Arc<Link>>>,
    addresses: A,
    unreachable: U,
    metrics: Arc<Metrics>,
    log: Logger,
    runtime: Handle,
    queue_capacity: usize,
    max_message_size: usize,
    snapshots: SnapshotTraffic,
    /// Ends the transfers of snapshots.
    stopping: StopTrigger,
    stopped: StopSignal,
}

/// Messages for one store that wait for `flush`.
struct Outbox {
    link: Arc<Link>,
    messages: Vec<RaftMessage>,
}

/// The sending end of one raft thread. Clones share the connections, not the buffers.
pub struct RaftTransport<A: Addresses, U: Unreachable> {
    shared: Arc<Shared<A, U>>,
    outboxes: BTreeMap<u64, Outbox>,
}

impl<A: Addresses, U: Unreachable> Clone for RaftTransport<A, U> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), outboxes: BTreeMap::new() }
    }
}

impl<A: Addresses, U: Unreachable> RaftTransport<A, U> {
    /// A transport whose connections live on `runtime`; at most `queue_capacity` messages wait for each store.
    #[expect(clippy::too_many_arguments)]
    pub fn new(
        addresses: A,
        unreachable: U,
        metrics: Arc<Metrics>,
        log: Logger,
        runtime: Handle,
        queue_capacity: usize,
        max_message_size: usize,
        snapshots: SnapshotTraffic,
    ) -> Self {
        let (stopping, stopped) = stop::pair();
        let shared = Shared {
            links: Mutex::new(BTreeMap::new()),
            addresses,
            unreachable,
            metrics,
            log,
            runtime,
            queue_capacity,
            max_message_size,
            snapshots,
            stopping,
            stopped,
        };
        Self { shared: Arc::new(shared), outboxes: BTreeMap::new() }
    }

    /// Puts a message into this thread's buffer. Messages without a destination are dropped.
    pub fn send(&mut self, message: RaftMessage) {
        let store_id = message.to_peer.as_ref().map_or(0, |peer| peer.store_id);
        if store_id == 0 {
            self.shared.metrics.raft_dropped.with_label_values(&["no destination"]).inc();
            return;
        }
        let shared = &self.shared;
        if message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some()) {
            return shared.send_snapshot(store_id, message);
        }
        let outbox = self
            .outboxes
            .entry(store_id)
            .or_insert_with(|| Outbox { link: shared.link(store_id), messages: Vec::new() });
        outbox.messages.push(message);
    }

    /// Hands everything buffered to the connections and wakes them.
    pub fn flush(&mut self) {
        for (&store_id, outbox) in &mut self.outboxes {
            if outbox.messages.is_empty() {
                continue;
            }
            outbox.link.queue.push(&mut outbox.messages);
            if !outbox.messages.is_empty() {
                let dropped = &self.shared.metrics.raft_dropped;
                dropped.with_label_values(&["unreachable or full"]).inc_by(outbox.messages.len() as u64);
                outbox.messages.clear();
                self.shared.unreachable.report(store_id);
            }
        }
    }

    /// `store_id` has just connected to this store: if a connection to it is waiting out a backoff, try now.
    pub fn heard_from(&self, store_id: u64) {
        let links = self.shared.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&store_id) {
            link.heard_from.notify_waiters();
        }
    }

    /// Ends all connections. Messages sent afterwards go nowhere.
    pub fn stop(&self) {
        let mut links = self.shared.links.lock().unwrap_or_else(PoisonError::into_inner);
        for link in links.values() {
            link.task.abort();
            link.queue.close();
        }
        links.clear();
        self.shared.stopping.stop();
    }
}

/// Tells raft how sending a snapshot went, whatever ends it.
struct Outcome<U: Unreachable> {
    unreachable: U,
    region_id: u64,
    to_peer: u64,
    ok: bool,
}

impl<U: Unreachable> Drop for Outcome<U> {
    fn drop(&mut self) {
        self.unreachable.snapshot_sent(self.region_id, self.to_peer, self.ok);
    }
}

impl<A: Addresses, U: Unreachable> Shared<A, U> {
    /// A snapshot takes its files along, on a connection of its own.
    fn send_snapshot(&self, store_id: u64, message: RaftMessage) {
        let to_peer = message.to_peer.as_ref().map_or(0, |peer| peer.id);
        let outcome =
            Outcome { unreachable: self.unreachable.clone(), region_id: message.region_id, to_peer, ok: false };
        let (addresses, snapshots, stopped) = (self.addresses.clone(), self.snapshots.clone(), self.stopped.clone());
        self.runtime.spawn(async move {
            // All of it belongs to the task: it is dropped, and so told, when the task ends, however it ends.
            let mut outcome = outcome;
            let sending = async {
                match addresses.lookup(store_id).await {
                    Lookup::At(address) => snapshots.send(&address, message).await,
                    Lookup::Unknown(_) | Lookup::Gone => false,
                }
            };
            outcome.ok = tokio::select! {
                ok = sending => ok,
                () = stopped.stopped() => false,
            };
        });
    }

    fn link(&self, store_id: u64) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&store_id) {
            return link.clone();
        }
        let queue = SendQueue::new(self.queue_capacity);
        let heard_from = Arc::new(Notify::new());
        let connection = Connection {
            store_id,
            queue: queue.clone(),
            heard_from: heard_from.clone(),
            addresses: self.addresses.clone(),
            unreachable: self.unreachable.clone(),
            metrics: self.metrics.clone(),
            log: self.log.clone(),
            max_message_size: self.max_message_size,
        };
        let task = self.runtime.spawn(connection.run());
        let link = Arc::new(Link { queue, heard_from, task });
        links.insert(store_id, link.clone());
        link
    }
}
