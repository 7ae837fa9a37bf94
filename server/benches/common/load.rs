//! A closed-loop load: N clients, each sending its next request when the last one is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;

use super::target::Target;

/// Length of a value.
pub const VALUE_LEN: usize = 128;
/// Keys that exist before the first phase; reads pick from these.
pub const PRELOADED_KEYS: u64 = 10_000;
/// Keys that puts pick from.
pub const PUT_KEYS: u64 = 100_000;
/// Longest latency that the histogram tells apart, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Put,
    /// A linearizable read.
    Get,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
        }
    }
}

/// One measured phase.
#[derive(Clone, Debug)]
pub struct Phase {
    pub operations_per_second: f64,
    pub p50_micros: u64,
    pub p99_micros: u64,
    /// Operations that the client reported as failed; they are not counted as done.
    pub errors: u64,
    /// The first failure's text.
    pub first_error: Option<String>,
}

struct Tally {
    latencies: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).expect("invariant: the bounds are valid");
        Tally { latencies, errors: 0, first_error: None }
    }
}

/// The key of this number.
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("bench/{number:010}"))
}

/// Runs `operation` with `clients` concurrent clients over `targets` (connections) and measures after the warm-up.
pub async fn run(
    targets: &[Target],
    operation: Operation,
    clients: usize,
    warm_up: Duration,
    measured: Duration,
) -> Phase {
    let start = Instant::now() + warm_up;
    let end = start + measured;
    let value = Bytes::from(vec![b'v'; VALUE_LEN]);
    let targets: Arc<[Target]> = targets.to_vec().into();
    let mut tasks = Vec::new();
    for client in 0..clients {
        let target = targets[client % targets.len()].clone();
        tasks.push(tokio::spawn(one_client(target, operation, client as u64, value.clone(), start, end)));
    }
    let mut all = Tally::new();
    for task in tasks {
        let tally = task.await.expect("a client task");
        all.latencies.add(&tally.latencies).expect("invariant: equal bounds");
        all.errors += tally.errors;
        all.first_error = all.first_error.or(tally.first_error);
    }
    Phase {
        operations_per_second: all.latencies.len() as f64 / measured.as_secs_f64(),
        p50_micros: all.latencies.value_at_quantile(0.5),
        p99_micros: all.latencies.value_at_quantile(0.99),
        errors: all.errors,
        first_error: all.first_error,
    }
}

async fn one_client(
    mut target: Target,
    operation: Operation,
    client: u64,
    value: Bytes,
    start: Instant,
    end: Instant,
) -> Tally {
    let mut tally = Tally::new();
    let mut random = Random(client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    loop {
        let asked = Instant::now();
        if asked >= end {
            return tally;
        }
        let answer = match operation {
            Operation::Put => target.put(key(random.below(PUT_KEYS)), value.clone()).await,
            Operation::Get => target.get(key(random.below(PRELOADED_KEYS))).await,
        };
        let answered = Instant::now();
        match answer {
            // Counted in the phase in which it is answered.
            Ok(()) if answered >= start && answered < end => {
                tally.latencies.saturating_record((answered - asked).as_micros().max(1) as u64);
            }
            Ok(()) => {}
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert(error);
            }
        }
    }
}

/// A small generator (xorshift): a benchmark needs spread, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Puts every key that reads will ask for.
pub async fn preload(targets: &[Target]) {
    const CONCURRENT: u64 = 32;
    let value = Bytes::from(vec![b'v'; VALUE_LEN]);
    let mut tasks = Vec::new();
    for lane in 0..CONCURRENT {
        let mut target = targets[lane as usize % targets.len()].clone();
        let value = value.clone();
        tasks.push(tokio::spawn(async move {
            for number in (lane..PRELOADED_KEYS).step_by(CONCURRENT as usize) {
                target.put(key(number), value.clone()).await.expect("preload a key");
            }
        }));
    }
    for task in tasks {
        task.await.expect("preload");
    }
}
