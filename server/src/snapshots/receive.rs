//! From a stream to files, verified.

use std::thread;
use std::time::Instant;

use bytes::Bytes;
use proto::raft_serverpb::{RaftMessage, SnapshotChunk};
use raftstore::snapshot::{InUse, Origin, SnapshotId, SnapshotSink, decode_data};
use slog::{info, warn};
use tokio::sync::mpsc::{self, Receiver};
use tonic::{Status, Streaming};

use super::aside::run_aside;
use super::{PIECES_AHEAD, STALLED, Shared, SnapshotTraffic};

/// What the writing thread is told.
enum Piece {
    Data(Bytes),
    /// That was all. A channel that closes without it belongs to a stream that broke.
    End,
}

/// A snapshot that is being received; only one stream at a time brings it.
struct Arriving<'a> {
    shared: &'a Shared,
    id: SnapshotId,
    complete: bool,
    _in_use: InUse,
}

impl<'a> Arriving<'a> {
    fn new(shared: &'a Shared, id: SnapshotId) -> Result<Self, Status> {
        if !shared.arriving().insert(id) {
            return Err(Status::already_exists(format!("snapshot {id} is being received already")));
        }
        Ok(Self { shared, id, complete: false, _in_use: shared.store.hold(Origin::Received, id) })
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.shared.arriving().remove(&self.id);
        if !self.complete {
            // What has come of it is of no use to anybody.
            self.shared.store.done(Origin::Received, self.id);
        }
    }
}

impl SnapshotTraffic {
    /// Receives the rest of a snapshot whose message has come. Returns when its files are here, whole and durable.
    ///
    /// # Errors
    /// What the sender is told: there is no room now, or what has come is not the snapshot.
    pub async fn receive(&self, message: &RaftMessage, chunks: &mut Streaming<SnapshotChunk>) -> Result<(), Status> {
        let began = Instant::now();
        let received = self.try_receive(message, chunks).await;
        self.shared.receiving.record(began, received.is_ok());
        let (region, from) = (message.region_id, message.from_peer.unwrap_or_default().store_id);
        match &received {
            Ok(bytes) => {
                info!(self.shared.log, "received a snapshot"; "region" => region, "from_store" => from, "bytes" => bytes,
                    "seconds" => format!("{:.2}", began.elapsed().as_secs_f64()));
            }
            Err(status) => {
                warn!(self.shared.log, "a snapshot was not received"; "region" => region, "from_store" => from,
                    "reason" => status.message());
            }
        }
        received.map(|_| ())
    }

    async fn try_receive(&self, message: &RaftMessage, chunks: &mut Streaming<SnapshotChunk>) -> Result<u64, Status> {
        let snapshot = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref());
        let snapshot = snapshot.ok_or_else(|| Status::invalid_argument("the message holds no snapshot"))?;
        let (region, meta) = decode_data(snapshot).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let id = SnapshotId::of(message.region_id, snapshot);
        let slot = self.shared.receiving.slots.try_acquire();
        let _slot = slot.map_err(|_| Status::resource_exhausted("too many snapshots are being received"))?;
        let mut arriving = Arriving::new(&self.shared, id)?;
        let sink = self.shared.store.receive(id, region, meta);
        let (pieces, written) = mpsc::channel(PIECES_AHEAD);
        let writer = run_aside("snapshot-receive", move || write(sink, written));
        let writer = writer.map_err(Status::resource_exhausted)?;
        let mut bytes = 0;
        let broke = loop {
            let chunk = match tokio::time::timeout(STALLED, chunks.message()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => {
                    // If the writer is gone, its result says why.
                    let _ = pieces.send(Piece::End).await;
                    break None;
                }
                Ok(Err(status)) => break Some(status),
                Err(_) => break Some(Status::deadline_exceeded(format!("nothing came for {} s", STALLED.as_secs()))),
            };
            bytes += chunk.data.len() as u64;
            self.shared.receiving.pass(chunk.data.len()).await;
            if pieces.send(Piece::Data(chunk.data)).await.is_err() {
                break None;
            }
        };
        drop(pieces);
        let written = writer.await.map_err(Status::internal)?;
        let failed = broke.or_else(|| written.err().map(|error| Status::data_loss(error.to_string())));
        if let Some(status) = failed {
            return Err(status);
        }
        arriving.complete = true;
        Ok(bytes)
    }
}

fn write(mut sink: SnapshotSink, mut pieces: Receiver<Piece>) -> raftstore::Result<()> {
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Data(data)) => {
                sink.write(&data)?;
                thread::yield_now();
            }
            Some(Piece::End) => return sink.finish(),
            None => return Err(raftstore::Error::Snapshot("the stream broke".to_owned())),
        }
    }
}
