//! Timestamps from the scheduler: a task that gathers the wishes of many callers into one request on one stream.
//!
//! While an answer is on its way new wishes gather, so the number of round trips does not grow with the number of callers. After
//! any failure the stream is dropped together with answers that may still arrive on it.

use std::sync::Arc;
use std::time::Duration;

use proto::pdpb::{self, Timestamp, TsoRequest, TsoResponse};
use slog::warn;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::connection::{CALL_TIMEOUT, Connection, checked};
use crate::error::{Error, Result};

const METHOD: &str = "Tso";
/// Largest request of one caller, and most timestamps that one round trip fetches (2^18 exist in a millisecond).
const MAX_COUNT: u32 = 1000;
const MAX_BATCH: u32 = 10_000;
const QUEUE: usize = 1024;
const ATTEMPTS: usize = 6;

struct Wish {
    count: u32,
    reply: oneshot::Sender<Result<Timestamp>>,
}

/// Handle on the task.
#[derive(Clone)]
pub(crate) struct Timestamps {
    wishes: mpsc::Sender<Wish>,
}

impl Timestamps {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        let (wishes, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(serve(connection, receiver));
        Self { wishes }
    }

    pub(crate) async fn get(&self, count: u32) -> Result<Timestamp> {
        let stopped = || Error::Status { method: METHOD, code: tonic::Code::Cancelled, message: "stopped".into() };
        let (reply, answer) = oneshot::channel();
        let wish = Wish { count: count.clamp(1, MAX_COUNT), reply };
        self.wishes.send(wish).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct TsoStream {
    requests: mpsc::Sender<TsoRequest>,
    responses: Streaming<TsoResponse>,
}

async fn serve(connection: Arc<Connection>, mut wishes: mpsc::Receiver<Wish>) {
    let mut stream = None;
    while let Some(first) = wishes.recv().await {
        let mut total = first.count;
        let mut batch = vec![first];
        while total + MAX_COUNT <= MAX_BATCH
            && let Ok(wish) = wishes.try_recv()
        {
            total += wish.count;
            batch.push(wish);
        }
        distribute(batch, fetch(&connection, &mut stream, total).await);
    }
}

/// Hands the batch's timestamps out in the order of the wishes. The answer is the largest one; all share its physical part.
fn distribute(batch: Vec<Wish>, answer: Result<Timestamp>) {
    let total: i64 = batch.iter().map(|wish| i64::from(wish.count)).sum();
    let mut handed_out = 0;
    for wish in batch {
        handed_out += i64::from(wish.count);
        let share =
            answer.clone().map(|largest| Timestamp { logical: largest.logical - total + handed_out, ..largest });
        // A caller that gave up has dropped its end; its timestamps are simply lost.
        let _gone = wish.reply.send(share);
    }
}

async fn fetch(connection: &Connection, stream: &mut Option<TsoStream>, count: u32) -> Result<Timestamp> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    let mut attempt = 1;
    loop {
        let error = match tokio::time::timeout(CALL_TIMEOUT, exchange(connection, stream, count)).await {
            Ok(Ok(timestamp)) => return Ok(timestamp),
            Ok(Err(error)) => error,
            Err(_) => Error::Timeout { method: METHOD, after: CALL_TIMEOUT },
        };
        *stream = None;
        if !error.is_transport() || attempt == ATTEMPTS {
            return Err(error);
        }
        warn!(connection.logger(), "timestamp stream broken, opening another"; "attempt" => attempt, "error" => %error);
        attempt += 1;
        tokio::time::sleep(backoff.step()).await;
        connection.refresh().await;
    }
}

/// One request and its answer, on the open stream or on a new one.
async fn exchange(connection: &Connection, stream: &mut Option<TsoStream>, count: u32) -> Result<Timestamp> {
    let broken =
        |message: &str| Error::Status { method: METHOD, code: tonic::Code::Unavailable, message: message.into() };
    let request = TsoRequest { header: connection.header(), count, ..Default::default() };
    let open = match stream {
        Some(open) => {
            open.requests.send(request).await.map_err(|_| broken("the stream was closed"))?;
            open
        }
        None => {
            let (requests, receiver) = mpsc::channel(1);
            // Sent before the stream is opened: the scheduler may send its response headers together with the first answer only.
            requests.send(request).await.map_err(|_| broken("the stream was closed"))?;
            let mut client = connection.leader();
            let opening = client.tso(ReceiverStream::new(receiver)).await;
            let responses = opening.map_err(|status| Error::from_status(METHOD, &status))?.into_inner();
            stream.insert(TsoStream { requests, responses })
        }
    };
    let response = match open.responses.message().await {
        Ok(Some(response)) => checked(METHOD, response)?,
        Ok(None) => return Err(broken("the scheduler closed the stream")),
        Err(status) => return Err(Error::from_status(METHOD, &status)),
    };
    usable(&response, count)
}

fn usable(response: &pdpb::TsoResponse, count: u32) -> Result<Timestamp> {
    match &response.timestamp {
        Some(timestamp) if response.count == count && timestamp.logical >= i64::from(count) - 1 => Ok(*timestamp),
        _ => Err(Error::MissingField { method: METHOD, field: "timestamp" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_shared_in_order_and_without_gaps() {
        let mut replies = Vec::new();
        let batch = [2, 1, 3]
            .map(|count| {
                let (reply, answer) = oneshot::channel();
                replies.push(answer);
                Wish { count, reply }
            })
            .into();
        distribute(batch, Ok(Timestamp { physical: 7, logical: 100, suffix_bits: 0 }));
        let largest: Vec<i64> = replies.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap().logical).collect();
        // 95, 96 | 97 | 98, 99, 100
        assert_eq!(largest, [96, 97, 100]);
    }
}
