//! Writers for the crash test: unique values, a record of what was acknowledged, and the check of what is left.
//!
//! **Own keys** have one writer, which writes growing numbers. When the outcome of a write is unknown (an error, or an
//! answer so late that the client has asked twice), the writer never touches that key again: the request may still take
//! effect later. So the final value of a key must be exactly the last acknowledged one, or the one unknown after it.
//!
//! **Shared keys** have many writers. Every write is recorded with its start and, if it was acknowledged, its end. The final
//! value must be of a write that no acknowledged write followed entirely: that is linearizability of the last read.

pub mod own;
pub mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tikv_client::RawClient;

use own::OwnKeys;
use shared::SharedWrites;

/// The official client's deadline for one RPC is 2 s; a call that took this long may have sent its request twice.
const MAYBE_SENT_TWICE: Duration = Duration::from_millis(1900);
/// Errors in a row after which a writer connects again: the client keeps a dead store's region in its cache when it never
/// had a connection to that store.
const ERRORS_UNTIL_RECONNECT: u32 = 3;
/// Keys shared by all writers.
const SHARED_KEYS: u64 = 4;

/// Counters that the test watches while the writers run.
#[derive(Default)]
pub struct Progress {
    pub stop: AtomicBool,
    pub acknowledged: AtomicU64,
    pub unknown: AtomicU64,
    pub reads: AtomicU64,
}

/// How one write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged at once: it has taken effect, once.
    Acknowledged,
    /// Acknowledged, but a second copy of the request may still be on its way.
    AcknowledgedLate,
    /// It may have taken effect, or may later, or never.
    Unknown,
}

/// What one writer leaves behind for the check.
pub struct Record {
    pub own: OwnKeys,
    pub shared: SharedWrites,
}

/// One writer: writes own and shared keys by turns and reads own keys back until told to stop.
pub struct Writer {
    number: usize,
    scheduler: String,
    client: RawClient,
    errors: u32,
    progress: Arc<Progress>,
}

impl Writer {
    /// A writer with a connection of its own.
    pub fn new(number: usize, scheduler: &str, client: RawClient, progress: Arc<Progress>) -> Self {
        Writer { number, scheduler: scheduler.to_owned(), client, errors: 0, progress }
    }

    /// Writes until `progress.stop`. Panics when a read contradicts an acknowledged write.
    pub async fn run(mut self) -> Record {
        let mut record = Record { own: OwnKeys::new(self.number), shared: SharedWrites::default() };
        let mut turn = 0u64;
        while !self.progress.stop.load(Ordering::SeqCst) {
            turn += 1;
            match turn % 8 {
                0 => self.read_own(&record.own, turn).await,
                3 => self.write_shared(&mut record.shared, turn).await,
                _ => self.write_own(&mut record.own, turn).await,
            }
        }
        record
    }

    async fn write_own(&mut self, own: &mut OwnKeys, turn: u64) {
        let write = own.next_write(turn);
        let outcome = self.put(write.key(), write.value()).await;
        own.record(write, outcome);
    }

    async fn write_shared(&mut self, shared: &mut SharedWrites, turn: u64) {
        let key = shared::key((turn / 8) % SHARED_KEYS);
        let value = shared::value(self.number, turn);
        let start = Instant::now();
        let outcome = self.put(key.clone(), value.clone()).await;
        shared.record(key, value, start, outcome);
    }

    async fn read_own(&mut self, own: &OwnKeys, turn: u64) {
        let Some((key, expected)) = own.settled(turn) else { return };
        match self.client.get(key.clone()).await {
            Ok(found) => {
                self.errors = 0;
                self.progress.reads.fetch_add(1, Ordering::SeqCst);
                let name = String::from_utf8_lossy(&key).into_owned();
                assert_eq!(found, Some(expected), "{name}: a read contradicts the last acknowledged write");
            }
            Err(_) => self.after_error().await,
        }
    }

    async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Outcome {
        let start = Instant::now();
        let answer = self.client.put(key, value).await;
        let late = start.elapsed() >= MAYBE_SENT_TWICE;
        match answer {
            Ok(()) => {
                self.errors = 0;
                self.progress.acknowledged.fetch_add(1, Ordering::SeqCst);
                if late { Outcome::AcknowledgedLate } else { Outcome::Acknowledged }
            }
            Err(_) => {
                self.progress.unknown.fetch_add(1, Ordering::SeqCst);
                self.after_error().await;
                Outcome::Unknown
            }
        }
    }

    async fn after_error(&mut self) {
        self.errors += 1;
        if self.errors >= ERRORS_UNTIL_RECONNECT {
            if let Ok(client) = RawClient::new(vec![self.scheduler.clone()]).await {
                self.client = client;
            }
            self.errors = 0;
        }
    }
}
