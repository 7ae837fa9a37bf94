//! The stream of region heartbeats: a queue that never blocks its senders, and a task that keeps the stream open.
//!
//! A heartbeat describes a region's present state, so of two queued ones of the same region only the newer is worth sending. The
//! queue therefore holds at most one heartbeat a region, in the order in which the regions were first queued, and stays small
//! while the scheduler is away.
//!
//! A scheduler that restarted has forgotten who leads, and clients give up after a second and a half. So each new stream begins with
//! the last report of every region. Reports of regions that have another leader by now do no harm: they carry an older term or epoch,
//! which the scheduler refuses, and what it refuses is not repeated again.
//!
//! The task ends when all senders are gone, or when the receiver of the answers is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::pdpb::{RegionHeartbeatRequest, RegionHeartbeatResponse};
use slog::{debug, info, warn};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::backoff::Backoff;
use crate::connection::{CALL_TIMEOUT, Connection};
use crate::error::{Error, Result};

/// Regions that may wait; a store with more of them reports the rest at its next interval.
const QUEUE_LIMIT: usize = 65_536;
/// Heartbeats handed to gRPC that it has not written yet.
const IN_FLIGHT: usize = 256;
/// Answers that wait for the store; they are advice, so a full queue drops the newest.
const ANSWER_LIMIT: usize = 1024;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Queue {
    order: VecDeque<u64>,
    waiting: BTreeMap<u64, RegionHeartbeatRequest>,
    /// The last report of each region, to be repeated on the next stream.
    reported: BTreeMap<u64, RegionHeartbeatRequest>,
    closed: bool,
}

impl Queue {
    /// `false`: the queue is full.
    fn push(&mut self, region_id: u64, heartbeat: RegionHeartbeatRequest) -> bool {
        if !self.waiting.contains_key(&region_id) {
            if self.order.len() >= QUEUE_LIMIT {
                return false;
            }
            self.order.push_back(region_id);
        }
        self.waiting.insert(region_id, heartbeat);
        true
    }

    /// Queues what was reported before, unless something newer waits already.
    fn repeat_reports(&mut self) {
        for (region_id, heartbeat) in std::mem::take(&mut self.reported) {
            if !self.waiting.contains_key(&region_id) {
                self.push(region_id, heartbeat);
            }
        }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    connections: watch::Sender<u64>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heartbeat queued first; waits for one. `None` once all senders are gone and the queue is empty.
    async fn next(&self) -> Option<RegionHeartbeatRequest> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(id) = queue.order.pop_front()
                    && let Some(heartbeat) = queue.waiting.remove(&id)
                {
                    queue.reported.insert(id, heartbeat.clone());
                    return Some(heartbeat);
                }
                if queue.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }
}

impl Shared {
    /// A refused report is out of date; the scheduler will not want it again either.
    fn on_answer(&self, answer: &RegionHeartbeatResponse) {
        let refused = answer.header.as_ref().is_some_and(|header| header.error.is_some());
        let mut queue = self.queue();
        let last = queue.reported.get(&answer.region_id).and_then(|report| report.region.as_ref());
        if refused && last.is_some_and(|region| region.region_epoch == answer.region_epoch) {
            queue.reported.remove(&answer.region_id);
        }
    }
}

/// Closes the queue when the last sender goes.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.wake.notify_one();
    }
}

/// The sending half of the heartbeat stream; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct RegionHeartbeatSender {
    shared: Arc<CloseOnDrop>,
}

impl RegionHeartbeatSender {
    /// Queues a heartbeat in place of an older one of the same region. Never blocks, never fails loudly: `false` says that it was
    /// dropped (it names no region, or 65,536 regions wait already) and that the next interval has to bring it.
    pub fn send(&self, heartbeat: RegionHeartbeatRequest) -> bool {
        let Some(id) = heartbeat.region.as_ref().map(|region| region.id) else { return false };
        let shared = &self.shared.0;
        let queued = shared.queue().push(id, heartbeat);
        shared.wake.notify_one();
        queued
    }

    /// Counts the streams opened so far, each of which began with the last report of every region.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.shared.0.connections.subscribe()
    }
}

/// Starts the task; see [`crate::SchedulerClient::region_heartbeats`].
pub(crate) fn start(connection: Arc<Connection>) -> (RegionHeartbeatSender, mpsc::Receiver<RegionHeartbeatResponse>) {
    let (connections, _) = watch::channel(0);
    let shared = Arc::new(Shared { queue: Mutex::default(), wake: Notify::new(), connections });
    let (answers, receiver) = mpsc::channel(ANSWER_LIMIT);
    let sender = RegionHeartbeatSender { shared: Arc::new(CloseOnDrop(shared.clone())) };
    tokio::spawn(keep_open(connection, shared, answers));
    (sender, receiver)
}

async fn keep_open(connection: Arc<Connection>, shared: Arc<Shared>, answers: mpsc::Sender<RegionHeartbeatResponse>) {
    let logger = connection.logger().clone();
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    loop {
        match run_stream(&connection, &shared, &answers, &mut backoff).await {
            Ok(()) => {
                debug!(logger, "region heartbeat stream closed");
                return;
            }
            Err(error) => {
                let delay = backoff.step();
                warn!(logger, "region heartbeat stream broken, opening another";
                    "delay_ms" => delay.as_millis() as u64, "error" => %error);
                tokio::time::sleep(delay).await;
                connection.refresh().await;
            }
        }
    }
}

/// One stream from opening to its end. `Ok` = nobody needs it any more.
async fn run_stream(
    connection: &Connection,
    shared: &Shared,
    answers: &mpsc::Sender<RegionHeartbeatResponse>,
    backoff: &mut Backoff,
) -> Result<()> {
    const METHOD: &str = "RegionHeartbeat";
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let mut client = connection.leader();
    let opening = client.region_heartbeat(ReceiverStream::new(receiver));
    let mut incoming = tokio::time::timeout(CALL_TIMEOUT, opening)
        .await
        .map_err(|_| Error::Timeout { method: METHOD, after: CALL_TIMEOUT })?
        .map_err(|status| Error::from_status(METHOD, &status))?
        .into_inner();
    info!(connection.logger(), "region heartbeat stream open");
    shared.queue().repeat_reports();
    shared.connections.send_modify(|count| *count += 1);
    loop {
        tokio::select! {
            permit = sender.reserve() => {
                let Ok(permit) = permit else { return Err(broken(METHOD, "the stream was closed")) };
                // Waiting for a heartbeat happens in the branch below, so that answers keep flowing meanwhile.
                tokio::select! {
                    heartbeat = shared.next() => match heartbeat {
                        Some(mut heartbeat) => {
                            heartbeat.header = connection.header();
                            permit.send(heartbeat);
                        }
                        None => return Ok(()),
                    },
                    message = incoming.message() => if !deliver(message, shared, answers, backoff)? { return Ok(()) },
                }
            }
            message = incoming.message() => if !deliver(message, shared, answers, backoff)? { return Ok(()) },
        }
    }
}

/// Passes an answer on. `Ok(false)` = the receiver is gone.
fn deliver(
    message: std::result::Result<Option<RegionHeartbeatResponse>, tonic::Status>,
    shared: &Shared,
    answers: &mpsc::Sender<RegionHeartbeatResponse>,
    backoff: &mut Backoff,
) -> Result<bool> {
    const METHOD: &str = "RegionHeartbeat";
    match message {
        Ok(Some(answer)) => {
            backoff.reset();
            shared.on_answer(&answer);
            match answers.try_send(answer) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(true),
                Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
            }
        }
        Ok(None) => Err(broken(METHOD, "the scheduler closed the stream")),
        Err(status) => Err(Error::from_status(METHOD, &status)),
    }
}

fn broken(method: &'static str, message: &str) -> Error {
    Error::Status { method, code: tonic::Code::Unavailable, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::metapb;
    use proto::pdpb::ResponseHeader;

    fn heartbeat(region_id: u64, term: u64) -> RegionHeartbeatRequest {
        let region = Some(metapb::Region { id: region_id, ..Default::default() });
        RegionHeartbeatRequest { region, term, ..Default::default() }
    }

    fn queue() -> (RegionHeartbeatSender, Arc<Shared>) {
        let (connections, _) = watch::channel(0);
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Notify::new(), connections });
        (RegionHeartbeatSender { shared: Arc::new(CloseOnDrop(shared.clone())) }, shared)
    }

    #[tokio::test]
    async fn a_new_stream_repeats_the_last_report_of_each_region_but_not_refused_ones() {
        let (sender, shared) = queue();
        for (region, term) in [(1, 5), (2, 5), (3, 5)] {
            assert!(sender.send(heartbeat(region, term)));
            shared.next().await.unwrap();
        }
        let header = Some(ResponseHeader { error: Some(Default::default()), ..Default::default() });
        shared.on_answer(&RegionHeartbeatResponse { header, region_id: 2, ..Default::default() });
        shared.on_answer(&RegionHeartbeatResponse { region_id: 1, ..Default::default() });
        assert!(sender.send(heartbeat(3, 6)));

        shared.queue().repeat_reports();
        drop(sender);
        let mut repeated = Vec::new();
        while let Some(report) = shared.next().await {
            repeated.push((report.region.unwrap().id, report.term));
        }
        assert_eq!(repeated, [(3, 6), (1, 5)]);
    }

    #[tokio::test]
    async fn a_newer_heartbeat_replaces_the_queued_one_of_its_region() {
        let (sender, shared) = queue();
        assert!(sender.send(heartbeat(1, 5)));
        assert!(sender.send(heartbeat(2, 5)));
        assert!(sender.send(heartbeat(1, 6)));
        assert!(!sender.send(RegionHeartbeatRequest::default()));

        let first = shared.next().await.unwrap();
        let second = shared.next().await.unwrap();
        assert_eq!((first.region.unwrap().id, first.term), (1, 6));
        assert_eq!((second.region.unwrap().id, second.term), (2, 5));

        drop(sender);
        assert!(shared.next().await.is_none());
    }
}
