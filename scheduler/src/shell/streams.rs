//! The two long-lived streams, timestamps and region heartbeats: one task each, which ends with its stream or with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::pdpb::{RegionHeartbeatRequest, RegionHeartbeatResponse, RequestHeader, TsoRequest, TsoResponse};
use slog::debug;
use storage::Engine;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::node::Node;
use crate::state::Error;

/// Answers that gRPC has not taken yet; a client that does not read stops being served, and costs no more than these.
const OUTGOING: usize = 64;

/// What a stream's task does with one request. It may keep the sender of the answers.
type Handler<E, Req, Resp> = fn(&Node<E>, Req, &mpsc::Sender<Result<Resp, Status>>) -> Result<Resp, Status>;

/// The answers of a stream.
pub(crate) type Answers<Resp> = ReceiverStream<Result<Resp, Status>>;

/// Answers each request in order. An error ends the stream.
pub(crate) fn serve<E, Req, Resp>(
    node: Arc<Node<E>>,
    mut requests: Streaming<Req>,
    handle: Handler<E, Req, Resp>,
) -> Answers<Resp>
where
    E: Engine,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    let (answers, outgoing) = mpsc::channel(OUTGOING);
    tokio::spawn(async move {
        let mut stop = node.stop.clone();
        loop {
            let request = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => Err(Status::unavailable("the scheduler is stopping")),
                request = requests.message() => request,
            };
            let answer = match request {
                Ok(Some(request)) => handle(&node, request, &answers),
                Ok(None) => return,
                Err(status) => Err(status),
            };
            let last = answer.is_err();
            if answers.send(answer).await.is_err() || last {
                return;
            }
        }
    });
    ReceiverStream::new(outgoing)
}

/// The streams over which stores report their regions, by store: what is ordered need not wait for the next report.
#[derive(Default)]
pub(crate) struct HeartbeatStreams(Mutex<BTreeMap<u64, HeartbeatSender>>);

type HeartbeatSender = mpsc::Sender<Result<RegionHeartbeatResponse, Status>>;

impl HeartbeatStreams {
    fn streams(&self) -> MutexGuard<'_, BTreeMap<u64, HeartbeatSender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, store_id: u64, answers: &HeartbeatSender) {
        let mut streams = self.streams();
        if !streams.get(&store_id).is_some_and(|known| known.same_channel(answers)) {
            streams.insert(store_id, answers.clone());
        }
    }

    /// Sends an order to a store now, if it is connected; it will be repeated anyway.
    pub(crate) fn push(&self, store_id: u64, order: RegionHeartbeatResponse) {
        let mut streams = self.streams();
        let Some(stream) = streams.get(&store_id) else { return };
        // A stream that is full is not read; the order is repeated.
        let _ = stream.try_send(Ok(order));
        if stream.is_closed() {
            streams.remove(&store_id);
        }
    }
}

/// One answer for each request, with the largest timestamp of its batch.
pub(crate) fn on_tso<E: Engine>(
    node: &Node<E>,
    request: TsoRequest,
    _: &mpsc::Sender<Result<TsoResponse, Status>>,
) -> Result<TsoResponse, Status> {
    node.check_cluster(request.header.as_ref())?;
    match node.timestamp(request.count) {
        Ok(timestamp) => {
            Ok(TsoResponse { header: node.header(None), count: request.count, timestamp: Some(timestamp) })
        }
        Err(Error::Storage(cause)) => Err(node.broken(&cause)),
        Err(refusal @ Error::InvalidRequest { .. }) => Err(Status::invalid_argument(refusal.to_string())),
        Err(refusal) => Err(Status::internal(refusal.to_string())),
    }
}

/// A refused heartbeat is answered with the reason in the header; the stream goes on for the store's other regions.
pub(crate) fn on_region_heartbeat<E: Engine>(
    node: &Node<E>,
    mut request: RegionHeartbeatRequest,
    answers: &HeartbeatSender,
) -> Result<RegionHeartbeatResponse, Status> {
    let header: Option<RequestHeader> = request.header.take();
    node.check_cluster(header.as_ref())?;
    let region_id = request.region.as_ref().map_or(0, |region| region.id);
    let region_epoch = request.region.as_ref().and_then(|region| region.region_epoch);
    node.heartbeat_streams.remember(request.leader.map_or(0, |leader| leader.store_id), answers);
    let now_ms = node.now_ms();
    let result = {
        let mut cluster = node.cluster();
        cluster.region_heartbeat(request).map(|answer| cluster.add_order(answer, now_ms))
    };
    match result {
        Ok(answer) => Ok(RegionHeartbeatResponse { header: node.header(None), ..answer }),
        Err(Error::Storage(cause)) => Err(node.broken(&cause)),
        Err(refusal) => {
            debug!(node.logger, "region heartbeat refused"; "region" => region_id, "reason" => %refusal);
            let header = node.header(Some(&refusal));
            Ok(RegionHeartbeatResponse { header, region_id, region_epoch, ..Default::default() })
        }
    }
}
