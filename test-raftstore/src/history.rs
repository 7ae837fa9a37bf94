//! What the clients of a run asked and what they were told.
//!
//! Each operation has an invocation and, unless its client never heard again, a completion. Both carry a virtual time
//! (for people) and a *stamp*: a counter over all invocations and completions of the run, which is the real-time order
//! that linearizability refers to. Outcomes are kept apart carefully:
//!
//! - [`Outcome::Ok`]: the cluster answered; a write has taken effect before the completion.
//! - [`Outcome::Failed`]: the cluster said that nothing was done, and nothing will be (not leader, wrong epoch, …).
//! - [`Outcome::Unknown`]: time-out or crash; a write may have happened, may happen later, or never.
//!
//! A client must not repeat a write under the same operation after an unknown outcome: the first attempt could take
//! effect after the second. It records the operation as unknown and goes on with a new one.

use std::fmt;

use bytes::Bytes;

use crate::clock::VirtualTime;

/// Index of an operation in its [`History`].
pub type OperationId = usize;

/// What a client asks. Values of writes should be unique within a run (see [`History::unique_value`]): the checker is
/// correct without, but much faster with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read one key.
    Get { key: Bytes },
    /// Write one key.
    Put { key: Bytes, value: Bytes },
    /// Remove one key; succeeds whether or not the key is there.
    Delete { key: Bytes },
    /// Write `value` if the key holds `expected` (`None`: is absent), and report what it held.
    CompareAndSwap { key: Bytes, expected: Option<Bytes>, value: Bytes },
    /// Read the first `limit` keys of `[start, end)` in order; an empty `end` means no bound.
    Scan { start: Bytes, end: Bytes, limit: usize },
}

impl Operation {
    /// Whether the operation can change nothing.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Scan { .. })
    }

    /// The one key that the operation is about; `None` for a scan.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { key } | Self::Put { key, .. } | Self::Delete { key } | Self::CompareAndSwap { key, .. } => {
                Some(key)
            }
            Self::Scan { .. } => None,
        }
    }
}

/// What the cluster answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a get: the value, or that the key is absent.
    Value(Option<Bytes>),
    /// To a put or a delete.
    Done,
    /// To a compare-and-swap: whether it wrote, and what the key held before.
    Swapped { succeeded: bool, previous: Option<Bytes> },
    /// To a scan: pairs in ascending order of keys.
    Pairs(Vec<(Bytes, Bytes)>),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect between invocation and completion and returned this.
    Ok(Answer),
    /// It did not take effect and never will.
    Failed,
    /// Nobody knows: it may take effect at any time after its invocation, or never.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its index in the history.
    pub id: OperationId,
    /// Who asked.
    pub client: u64,
    /// What was asked.
    pub operation: Operation,
    /// When it was asked (virtual).
    pub invoked_at: VirtualTime,
    /// Place of the invocation in the real-time order of the run.
    pub invoked: u64,
    /// When and at which place it ended; `None` while it is in flight.
    pub completed: Option<(VirtualTime, u64)>,
    /// How it ended; `Unknown` while it is in flight.
    pub outcome: Outcome,
}

/// The operations of a run in the order of their invocation.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Vec<Record>,
    stamp: u64,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `client` asks for `operation` now.
    pub fn invoke(&mut self, client: u64, operation: Operation, at: VirtualTime) -> OperationId {
        let id = self.records.len();
        let invoked = self.next_stamp();
        self.records.push(Record {
            id,
            client,
            operation,
            invoked_at: at,
            invoked,
            completed: None,
            outcome: Outcome::Unknown,
        });
        id
    }

    /// Notes that operation `id` ended with `outcome`. Only the first completion counts; later ones (an answer after the
    /// client gave up) are ignored and return false.
    pub fn complete(&mut self, id: OperationId, outcome: Outcome, at: VirtualTime) -> bool {
        let stamp = self.next_stamp();
        match self.records.get_mut(id) {
            Some(record) if record.completed.is_none() => {
                record.completed = Some((at, stamp));
                record.outcome = outcome;
                true
            }
            _ => false,
        }
    }

    /// A value that no other operation of this history writes: name it after the operation that is about to be invoked.
    pub fn unique_value(&self, client: u64) -> Bytes {
        Bytes::from(format!("c{client}-{}", self.records.len()))
    }

    /// All operations in the order of invocation.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Changes a recorded outcome. For tests of the checker: a history that is altered this way must be refused.
    pub fn tamper(&mut self, id: OperationId, outcome: Outcome) {
        if let Some(record) = self.records.get_mut(id) {
            record.outcome = outcome;
        }
    }

    /// How many operations ended how: (ok, failed, unknown).
    pub fn count_outcomes(&self) -> (usize, usize, usize) {
        self.records.iter().fold((0, 0, 0), |(ok, failed, unknown), record| match record.outcome {
            Outcome::Ok(_) => (ok + 1, failed, unknown),
            Outcome::Failed => (ok, failed + 1, unknown),
            Outcome::Unknown => (ok, failed, unknown + 1),
        })
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(formatter, "get {}", text(key)),
            Self::Put { key, value } => write!(formatter, "put {} = {}", text(key), text(value)),
            Self::Delete { key } => write!(formatter, "delete {}", text(key)),
            Self::CompareAndSwap { key, expected, value } => {
                write!(formatter, "swap {}: {} -> {}", text(key), maybe(expected.as_ref()), text(value))
            }
            Self::Scan { start, end, limit } => {
                write!(formatter, "scan [{}, {}) limit {limit}", text(start), text(end))
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(Answer::Value(value)) => write!(formatter, "read {}", maybe(value.as_ref())),
            Self::Ok(Answer::Done) => formatter.write_str("ok"),
            Self::Ok(Answer::Swapped { succeeded, previous }) => {
                let verb = if *succeeded { "swapped" } else { "refused" };
                write!(formatter, "{verb}, held {}", maybe(previous.as_ref()))
            }
            Self::Ok(Answer::Pairs(pairs)) => {
                formatter.write_str("pairs")?;
                pairs.iter().try_for_each(|(key, value)| write!(formatter, " {}={}", text(key), text(value)))
            }
            Self::Failed => formatter.write_str("failed"),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{} client {} [{} .. ", self.id, self.client, self.invoked_at)?;
        match self.completed {
            Some((at, _)) => write!(formatter, "{at}]")?,
            None => formatter.write_str("never]")?,
        }
        write!(formatter, " {}: {}", self.operation, self.outcome)
    }
}

/// Bytes as readable text: printable ASCII as it is, everything else escaped.
pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn maybe(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "nothing".to_string(), |value| text(value))
}
