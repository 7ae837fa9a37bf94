//! `BatchCommands`: many commands on one stream, each answered as soon as it is done.
//!
//! The answer stream itself drives the commands: when the connection asks for more output, it first takes what the client has
//! sent, then advances the commands that can advance, and packs all answers that are ready into one message. So there is no
//! task, channel or lock per command, and under load answers batch up by themselves. A command that waits (for the
//! log, for a blocking scan) delays no other.
//!
//! At most `limit` commands of a stream run at a time; beyond that the stream is not read, and HTTP/2 flow control holds
//! the client back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use proto::kvrpcpb::{self, KeyError};
use proto::tikvpb::batch_commands_request::request::Cmd as Request;
use proto::tikvpb::batch_commands_response::{Response, response::Cmd as Answer};
use proto::tikvpb::{BatchCommandsEmptyResponse, BatchCommandsRequest, BatchCommandsResponse};
use tonic::{Status, Streaming};

use super::raw::RawCommands;
use crate::metrics::Metrics;
use crate::stop::StopSignal;
use storage::Storage;

type Running = Pin<Box<dyn Future<Output = (u64, Option<Answer>)> + Send>>;

/// The answers of one `BatchCommands` stream.
pub struct BatchStream<S: Storage> {
    requests: Streaming<BatchCommandsRequest>,
    /// The client has sent everything.
    finished: bool,
    running: FuturesUnordered<Running>,
    limit: usize,
    raw: RawCommands<S>,
    metrics: Arc<Metrics>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

// Nothing in it is pinned in place: what has to be is boxed.
impl<S: Storage> Unpin for BatchStream<S> {}

impl<S: Storage> BatchStream<S> {
    /// Answers `requests`, at most `limit` at a time, until the client ends the stream or the server stops.
    pub fn new(
        requests: Streaming<BatchCommandsRequest>,
        raw: RawCommands<S>,
        limit: usize,
        metrics: Arc<Metrics>,
        stop: StopSignal,
    ) -> Self {
        metrics.batch_streams.inc();
        let stop = Box::pin(async move { stop.stopped().await });
        Self { requests, finished: false, running: FuturesUnordered::new(), limit, raw, metrics, stop }
    }

    /// Starts what one message asks for.
    fn start(&mut self, batch: BatchCommandsRequest) -> Result<(), Status> {
        if batch.requests.len() != batch.request_ids.len() {
            return Err(Status::invalid_argument(format!(
                "{} requests with {} request ids; each request needs one",
                batch.requests.len(),
                batch.request_ids.len()
            )));
        }
        self.metrics.batch_commands.inc_by(batch.requests.len() as u64);
        for (request, id) in batch.requests.into_iter().zip(batch.request_ids) {
            let raw = self.raw.clone();
            self.running.push(Box::pin(async move {
                let answer = match request.cmd {
                    Some(command) => Some(run(&raw, command).await),
                    // A command of a later protocol: there is no number to answer with.
                    None => None,
                };
                (id, answer)
            }));
        }
        Ok(())
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        while !self.finished && self.running.len() < self.limit {
            match Pin::new(&mut self.requests).poll_next(cx) {
                Poll::Ready(Some(Ok(batch))) => self.start(batch)?,
                Poll::Ready(Some(Err(status))) => return Err(status),
                Poll::Ready(None) => self.finished = true,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl<S: Storage> Drop for BatchStream<S> {
    fn drop(&mut self) {
        self.metrics.batch_streams.dec();
    }
}

impl<S: Storage> Stream for BatchStream<S> {
    type Item = Result<BatchCommandsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut answers = BatchCommandsResponse::default();
        loop {
            if !this.finished && this.stop.as_mut().poll(cx).is_ready() {
                this.finished = true;
            }
            if let Err(status) = this.poll_requests(cx) {
                return Poll::Ready(Some(Err(status)));
            }
            let before = answers.request_ids.len();
            while let Poll::Ready(Some((id, answer))) = Pin::new(&mut this.running).poll_next(cx) {
                answers.request_ids.push(id);
                answers.responses.push(Response { cmd: answer });
            }
            // Answers made room below the limit: look once more whether the client has sent something.
            if answers.request_ids.len() == before {
                break;
            }
        }
        if !answers.request_ids.is_empty() {
            Poll::Ready(Some(Ok(answers)))
        } else if this.finished && this.running.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

/// Runs one command; its answer has the number of the command.
async fn run<S: Storage>(raw: &RawCommands<S>, command: Request) -> Answer {
    match command {
        Request::RawGet(request) => Answer::RawGet(raw.get(request).await),
        Request::RawBatchGet(request) => Answer::RawBatchGet(raw.batch_get(request).await),
        Request::RawPut(request) => Answer::RawPut(raw.put(request).await),
        Request::RawBatchPut(request) => Answer::RawBatchPut(raw.batch_put(request).await),
        Request::RawDelete(request) => Answer::RawDelete(raw.delete(request).await),
        Request::RawBatchDelete(request) => Answer::RawBatchDelete(raw.batch_delete(request).await),
        Request::RawScan(request) => Answer::RawScan(raw.scan(request).await),
        Request::RawDeleteRange(request) => Answer::RawDeleteRange(raw.delete_range(request).await),
        Request::RawBatchScan(request) => Answer::RawBatchScan(raw.batch_scan(request).await),
        Request::Empty(request) => {
            if request.delay_time > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(request.delay_time.min(10_000))).await;
            }
            Answer::Empty(BatchCommandsEmptyResponse { test_id: request.test_id })
        }
        Request::GetHealthFeedback(_) => Answer::GetHealthFeedback(kvrpcpb::GetHealthFeedbackResponse::default()),
        other => unsupported(&other),
    }
}

/// The answer to a command that this server does not have: an error in the response, so that the stream lives on.
fn unsupported(command: &Request) -> Answer {
    let text = format!("{} is not supported by this server", name(command));
    let error = || Some(KeyError { abort: text.clone(), ..Default::default() });
    macro_rules! with_error {
        ($answer:ident, $response:ident) => {
            Answer::$answer(kvrpcpb::$response { error: error(), ..Default::default() })
        };
    }
    macro_rules! with_errors {
        ($answer:ident, $response:ident) => {
            Answer::$answer(kvrpcpb::$response { errors: error().into_iter().collect(), ..Default::default() })
        };
    }
    match command {
        Request::Get(_) => with_error!(Get, GetResponse),
        Request::Scan(_) => with_error!(Scan, ScanResponse),
        Request::Prewrite(_) => with_errors!(Prewrite, PrewriteResponse),
        Request::Commit(_) => with_error!(Commit, CommitResponse),
        Request::Cleanup(_) => with_error!(Cleanup, CleanupResponse),
        Request::BatchGet(_) => with_error!(BatchGet, BatchGetResponse),
        Request::BatchRollback(_) => with_error!(BatchRollback, BatchRollbackResponse),
        Request::ScanLock(_) => with_error!(ScanLock, ScanLockResponse),
        Request::ResolveLock(_) => with_error!(ResolveLock, ResolveLockResponse),
        Request::Gc(_) => with_error!(Gc, GcResponse),
        Request::PessimisticLock(_) => with_errors!(PessimisticLock, PessimisticLockResponse),
        Request::PessimisticRollback(_) => with_errors!(PessimisticRollback, PessimisticRollbackResponse),
        Request::CheckTxnStatus(_) => with_error!(CheckTxnStatus, CheckTxnStatusResponse),
        Request::CheckSecondaryLocks(_) => with_error!(CheckSecondaryLocks, CheckSecondaryLocksResponse),
        Request::TxnHeartBeat(_) => with_error!(TxnHeartBeat, TxnHeartBeatResponse),
        _ => Answer::DeleteRange(kvrpcpb::DeleteRangeResponse { error: text.clone(), ..Default::default() }),
    }
}

/// The name of a command that is not supported.
fn name(command: &Request) -> &'static str {
    match command {
        Request::Get(_) => "KvGet",
        Request::Scan(_) => "KvScan",
        Request::Prewrite(_) => "KvPrewrite",
        Request::Commit(_) => "KvCommit",
        Request::Cleanup(_) => "KvCleanup",
        Request::BatchGet(_) => "KvBatchGet",
        Request::BatchRollback(_) => "KvBatchRollback",
        Request::ScanLock(_) => "KvScanLock",
        Request::ResolveLock(_) => "KvResolveLock",
        Request::Gc(_) => "KvGC",
        Request::DeleteRange(_) => "KvDeleteRange",
        Request::PessimisticLock(_) => "KvPessimisticLock",
        Request::PessimisticRollback(_) => "KVPessimisticRollback",
        Request::CheckTxnStatus(_) => "KvCheckTxnStatus",
        Request::CheckSecondaryLocks(_) => "KvCheckSecondaryLocks",
        Request::TxnHeartBeat(_) => "KvTxnHeartBeat",
        _ => "this command",
    }
}
