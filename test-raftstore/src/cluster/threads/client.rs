//! A client on a thread of its own. What it asks whom, and what it makes of the answers, is the simulator's client; here are the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use proto::metapb::Region;
use raftstore::{ReadCommand, Router, WriteCommand};
use storage::Engine;

use super::super::driver::{header, lock};
use super::super::work::Work;
use super::{Shared, TICK};
use crate::history::{Operation, Outcome};
use crate::sim::client::{Client, Reply, Workload, covers, read, write_request, written};

/// How long a client waits for an operation, with all its attempts.
const OPERATION_TIMEOUT: Duration = TICK.saturating_mul(20);
/// How long it rests before it tries again.
const BACK_OFF: Duration = Duration::from_millis(5);

/// Works until the work is done or taken away.
pub fn run<E: Engine>(shared: &Arc<Shared<E>>, work: Work, stop: &AtomicBool) -> Work {
    let mut client = Client::new(work.client(), shared.rng(work.client()));
    client.work = Some(work);
    let nothing = Workload { keys: Vec::new() };
    while !stop.load(Ordering::Relaxed) {
        let invoked = {
            let mut history = lock(&shared.history);
            let operation = client.next_operation(&nothing, &shared.scheduler, &history);
            operation.map(|operation| (history.invoke(client.id, operation.clone(), shared.now()), operation))
        };
        let Some((number, operation)) = invoked else { break };
        let outcome = attempt(shared, &mut client, &operation);
        lock(&shared.history).complete(number, outcome.clone(), shared.now());
        let work = client.work.as_mut().expect("invariant: a client on a thread has work");
        work.completed(&operation, &outcome);
        if let Some(complaint) = work.complaint() {
            lock(&shared.complaint).get_or_insert_with(|| complaint.to_owned());
            break;
        }
        thread::sleep(Duration::from_micros(client.draw_pause(TICK.as_micros() as u64)));
    }
    client.work.take().expect("invariant: a client on a thread has work")
}

/// All attempts of one operation.
fn attempt<E: Engine>(shared: &Shared<E>, client: &mut Client, operation: &Operation) -> Outcome {
    let deadline = Instant::now() + OPERATION_TIMEOUT;
    while Instant::now() < deadline {
        let Some(region) = client.region_of_operation(operation, &shared.scheduler) else {
            thread::sleep(BACK_OFF);
            continue;
        };
        if !covers(&region, operation) {
            return Outcome::Failed; // it was split: no snapshot holds all that was to be read
        }
        let store = client.choose_store(&region);
        let router = lock(&shared.routers).get(&store).cloned();
        let reply = match router {
            Some(router) => call(&router, &region, store, operation, deadline),
            None => Reply::Retry { cause: "connection refused", leader: None, regions: Vec::new() },
        };
        client.learn(region.id, store, &reply);
        match reply {
            Reply::Done(answer) => return Outcome::Ok(answer),
            Reply::InDoubt { .. } if !operation.is_read_only() => return Outcome::Unknown,
            Reply::Retry { .. } | Reply::InDoubt { .. } => thread::sleep(BACK_OFF),
        }
    }
    Outcome::Failed
}

fn call<E: Engine>(router: &Router<E>, region: &Region, store: u64, operation: &Operation, deadline: Instant) -> Reply {
    let header = header(region, store);
    let (replies, answered) = channel();
    let asked = operation.clone();
    match write_request(operation) {
        Some(request) => {
            let callback = Box::new(move |result| drop(replies.send(written(&asked, result))));
            router.write(WriteCommand { header, requests: vec![request], callback });
        }
        None => {
            let callback = Box::new(move |result| drop(replies.send(read(&asked, result))));
            router.read(ReadCommand { header, callback });
        }
    }
    let wait = deadline.saturating_duration_since(Instant::now());
    answered.recv_timeout(wait).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Reply::InDoubt { cause: "timed out" },
        RecvTimeoutError::Disconnected => Reply::InDoubt { cause: "connection broken" },
    })
}
