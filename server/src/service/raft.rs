//! `Raft`, `BatchRaft` and `Snapshot`: messages from other stores, handed to the router.
//!
//! A stream belongs to one store and lives as long as its connection. A message for another store (an address was given
//! to a new store) or without an address is dropped and counted: raft treats it as lost. A stream ends with an error if
//! the very first message shows that the two sides do not belong together, so that the sender looks the address up again.

use std::sync::Arc;

use proto::raft_serverpb::{Done, RaftMessage, SnapshotChunk};
use proto::tikvpb::BatchRaftMessage;
use tonic::{Response, Status, Streaming};

use crate::metrics::Metrics;
use crate::snapshots::SnapshotTraffic;
use crate::stop::StopSignal;

/// Takes raft messages; in production the router. Calls come from gRPC threads and must not block.
pub trait RaftInbox: Clone + Send + Sync + 'static {
    /// The id of this store; 0 = this node does not replicate and takes no messages.
    fn store_id(&self) -> u64;
    /// A message for a peer of this store. May be dropped; the implementation counts what it drops.
    fn deliver(&self, message: RaftMessage);
    /// A store has opened a stream to this one: it is alive.
    fn heard_from(&self, store_id: u64);
}

/// A node without replication.
#[derive(Clone, Copy, Debug)]
pub struct NoRaft;

impl RaftInbox for NoRaft {
    fn store_id(&self) -> u64 {
        0
    }

    fn deliver(&self, _message: RaftMessage) {}

    fn heard_from(&self, _store_id: u64) {}
}

/// The receiving end of the two RPCs.
#[derive(Clone)]
pub struct RaftReceiver<I> {
    inbox: I,
    metrics: Arc<Metrics>,
    stop: StopSignal,
}

impl<I: RaftInbox> RaftReceiver<I> {
    /// Hands messages to `inbox` until `stop`.
    pub fn new(inbox: I, metrics: Arc<Metrics>, stop: StopSignal) -> Self {
        Self { inbox, metrics, stop }
    }

    /// Serves one `BatchRaft` stream.
    pub async fn batch_raft(&self, stream: Streaming<BatchRaftMessage>) -> Result<Response<Done>, Status> {
        self.receive(stream, |frame: BatchRaftMessage| frame.msgs).await
    }

    /// Serves one `Raft` stream.
    pub async fn raft(&self, stream: Streaming<RaftMessage>) -> Result<Response<Done>, Status> {
        self.receive(stream, |message: RaftMessage| std::iter::once(message)).await
    }

    /// Serves one `Snapshot` stream. Raft gets its message when the files are here.
    pub async fn snapshot(
        &self,
        traffic: &SnapshotTraffic,
        mut stream: Streaming<SnapshotChunk>,
    ) -> Result<Response<Done>, Status> {
        let first = stream.message().await?.and_then(|chunk| chunk.message);
        let message = first.ok_or_else(|| Status::invalid_argument("a snapshot begins with its message"))?;
        self.greet(&message)?;
        tokio::select! {
            biased;
            received = traffic.receive(&message, &mut stream) => received?,
            () = self.stop.clone().stopped() => return Err(Status::unavailable("the store is stopping")),
        }
        self.accept(message);
        Ok(Response::new(Done {}))
    }

    async fn receive<T, L>(&self, mut stream: Streaming<T>, messages: impl Fn(T) -> L) -> Result<Response<Done>, Status>
    where
        L: IntoIterator<Item = RaftMessage>,
    {
        if self.inbox.store_id() == 0 {
            return Err(Status::unimplemented("this is a standalone server; it takes no raft messages"));
        }
        let stopped = self.stop.clone().stopped();
        tokio::pin!(stopped);
        let mut first = true;
        loop {
            let item = tokio::select! {
                biased;
                item = stream.message() => item?,
                () = &mut stopped => return Err(Status::unavailable("the store is stopping")),
            };
            let Some(item) = item else { return Ok(Response::new(Done {})) };
            for message in messages(item) {
                if std::mem::take(&mut first) {
                    self.greet(&message)?;
                }
                self.accept(message);
            }
        }
    }

    /// The first message of a stream says who is there and whom they wanted to reach.
    fn greet(&self, message: &RaftMessage) -> Result<(), Status> {
        let (wanted, actual) = (message.to_peer.as_ref().map_or(0, |peer| peer.store_id), self.inbox.store_id());
        if wanted != actual {
            self.metrics.raft_dropped.with_label_values(&["for another store"]).inc();
            return Err(Status::failed_precondition(format!("this is store {actual}, not store {wanted}")));
        }
        if let Some(from) = &message.from_peer {
            self.inbox.heard_from(from.store_id);
        }
        Ok(())
    }

    fn accept(&self, message: RaftMessage) {
        let reason = match (&message.to_peer, &message.from_peer) {
            (Some(to), Some(_)) if to.store_id != self.inbox.store_id() => "for another store",
            (Some(_), Some(_)) if message.region_id != 0 => {
                self.metrics.raft_received.inc();
                return self.inbox.deliver(message);
            }
            _ => "malformed",
        };
        self.metrics.raft_dropped.with_label_values(&[reason]).inc();
    }
}
