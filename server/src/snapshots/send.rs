//! From files to a stream.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::raft_serverpb::{RaftMessage, SnapshotChunk};
use proto::tikvpb::tikv_client::TikvClient;
use raftstore::snapshot::{Origin, SnapshotId, decode_data};
use slog::{info, warn};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::aside::run_aside;
use super::{PIECE, PIECES_AHEAD, SnapshotTraffic, TURN};
use crate::transport::open_channel;

/// However slow the other side is, a snapshot moves at this rate, or it is given up.
const SLOWEST: u64 = 1 << 20;

impl SnapshotTraffic {
    /// Sends a snapshot to the store at `address`. Returns whether it has arrived there, whole.
    pub async fn send(&self, address: &str, message: RaftMessage) -> bool {
        let region = message.region_id;
        let began = Instant::now();
        let sent = self.try_send(address, message).await;
        self.shared.sending.record(began, sent.is_ok());
        match &sent {
            Ok(bytes) => {
                info!(self.shared.log, "sent a snapshot"; "region" => region, "to" => address, "bytes" => bytes,
                    "seconds" => format!("{:.2}", began.elapsed().as_secs_f64()));
            }
            Err(reason) => {
                warn!(self.shared.log, "a snapshot was not sent"; "region" => region, "to" => address, "reason" => reason);
            }
        }
        sent.is_ok()
    }

    async fn try_send(&self, address: &str, message: RaftMessage) -> Result<u64, String> {
        let snapshot = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref());
        let snapshot = snapshot.ok_or("the message holds no snapshot")?;
        let (_, meta) = decode_data(snapshot).map_err(|error| error.to_string())?;
        let size: u64 = meta.cf_files.iter().map(|file| file.size).sum();
        let id = SnapshotId::of(message.region_id, snapshot);
        // From here on, the files stay until they are sent.
        let in_use = self.shared.store.hold(Origin::Generated, id);
        let slot = tokio::time::timeout(TURN, self.shared.sending.slots.acquire()).await;
        let _slot = slot.map_err(|_| "too many snapshots are being sent")?.map_err(|error| error.to_string())?;
        let channel = open_channel(address).await?;
        let (pieces, read) = mpsc::channel(PIECES_AHEAD);
        let store = self.shared.store.clone();
        let reader = run_aside("snapshot-send", move || {
            let mut source = store.source(id)?;
            while let Some(piece) = source.next_chunk(PIECE)? {
                if !push(&pieces, piece) {
                    break;
                }
                thread::yield_now();
            }
            Ok::<(), raftstore::Error>(())
        })?;
        let limit = Duration::from_secs(60 + size / SLOWEST);
        let mut client = TikvClient::new(channel).max_encoding_message_size(self.shared.max_message_size);
        let answer = tokio::time::timeout(limit, client.snapshot(self.chunks(message, read))).await;
        let answer = answer.map_err(|_| format!("it took longer than {} s", limit.as_secs()));
        let answer =
            answer.and_then(|answer| answer.map_err(|status| format!("{}: {}", status.code(), status.message())));
        // If the files could not be read, that is the reason why the other side was not content.
        drop(client);
        reader.await?.map_err(|error| error.to_string())?;
        answer?;
        drop(in_use);
        let store = self.shared.store.clone();
        let discarded = tokio::task::spawn_blocking(move || store.discard(Origin::Generated, id)).await;
        if let Ok(Err(error)) = discarded {
            warn!(self.shared.log, "cannot remove the files of a snapshot that was sent"; "error" => %error);
        }
        Ok(size)
    }

    fn chunks(&self, message: RaftMessage, read: Receiver<Bytes>) -> impl Stream<Item = SnapshotChunk> + use<> {
        let shared = self.shared.clone();
        let data = stream::unfold((read, shared), |(mut read, shared)| async move {
            let data = read.recv().await?;
            shared.sending.pass(data.len()).await;
            Some((SnapshotChunk { message: None, data }, (read, shared)))
        });
        stream::iter([SnapshotChunk { message: Some(message), data: Bytes::new() }]).chain(data)
    }
}

/// Hands a piece on. False if nobody wants it any more.
fn push(pieces: &Sender<Bytes>, piece: Bytes) -> bool {
    pieces.blocking_send(piece).is_ok()
}
