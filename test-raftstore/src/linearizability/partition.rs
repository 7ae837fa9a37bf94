//! From a client history to one list of register operations per key.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::register::{ABSENT, Effect, RegisterOperation, Values};
use crate::history::{Answer, History, Operation, OperationId, Outcome, Record, text};

/// The register operations of each key, in the order of invocation, and the numbers of the values in them.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// Per key, its operations.
    pub keys: BTreeMap<Bytes, Vec<RegisterOperation>>,
    /// The values that the operations refer to by number.
    pub values: Values,
}

/// An answer that no order of operations can explain.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// The operation that was answered so.
    pub operation: OperationId,
    /// What is wrong.
    pub reason: String,
}

/// Splits `history` by key. Failed operations and reads without an answer are left out, since they demand nothing.
///
/// # Errors
/// [`Malformed`] if an answer does not fit its question.
pub fn split_by_key(history: &History) -> Result<Partition, Malformed> {
    let universe = all_keys(history);
    let mut partition = Partition::default();
    for record in history.records() {
        match &record.outcome {
            Outcome::Failed => {}
            Outcome::Unknown => partition.add_unknown(record),
            Outcome::Ok(answer) => partition
                .add_answered(record, answer, &universe)
                .map_err(|reason| Malformed { operation: record.id, reason })?,
        }
    }
    Ok(partition)
}

fn all_keys(history: &History) -> BTreeSet<Bytes> {
    let mut keys = BTreeSet::new();
    for record in history.records() {
        keys.extend(record.operation.key().cloned());
        if let Outcome::Ok(Answer::Pairs(pairs)) = &record.outcome {
            keys.extend(pairs.iter().map(|(key, _)| key.clone()));
        }
    }
    keys
}

impl Partition {
    fn push(&mut self, key: &Bytes, record: &Record, effect: Effect) {
        let answered = matches!(record.outcome, Outcome::Ok(_));
        let returned = record.completed.filter(|_| answered).map(|(_, stamp)| stamp);
        let operation = RegisterOperation { source: record.id, effect, invoked: record.invoked, returned };
        self.keys.entry(key.clone()).or_default().push(operation);
    }

    fn add_unknown(&mut self, record: &Record) {
        match &record.operation {
            Operation::Get { .. } | Operation::Scan { .. } => {}
            Operation::Put { key, value } => {
                let value = self.values.number(Some(value));
                self.push(key, record, Effect::Write(value));
            }
            Operation::Delete { key } => self.push(key, record, Effect::Write(ABSENT)),
            Operation::CompareAndSwap { key, expected, value } => {
                let expected = self.values.number(expected.as_ref());
                let new = self.values.number(Some(value));
                self.push(key, record, Effect::Swap { expected, new });
            }
        }
    }

    fn add_answered(&mut self, record: &Record, answer: &Answer, universe: &BTreeSet<Bytes>) -> Result<(), String> {
        match (&record.operation, answer) {
            (Operation::Get { key }, Answer::Value(value)) => {
                let value = self.values.number(value.as_ref());
                self.push(key, record, Effect::Read(value));
            }
            (Operation::Put { key, value }, Answer::Done) => {
                let value = self.values.number(Some(value));
                self.push(key, record, Effect::Write(value));
            }
            (Operation::Delete { key }, Answer::Done) => {
                self.push(key, record, Effect::Write(ABSENT));
            }
            (Operation::CompareAndSwap { key, expected, value }, Answer::Swapped { succeeded, previous }) => {
                if *succeeded != (expected == previous) {
                    return Err(format!("{}: answer contradicts itself: {}", record.operation, record.outcome));
                }
                let held = self.values.number(previous.as_ref());
                let effect = if *succeeded {
                    Effect::Swap { expected: held, new: self.values.number(Some(value)) }
                } else {
                    Effect::Read(held)
                };
                self.push(key, record, effect);
            }
            (Operation::Scan { start, end, limit }, Answer::Pairs(pairs)) => {
                check_pairs(start, end, *limit, pairs)?;
                self.add_scan(record, (start, end, *limit), pairs, universe);
            }
            (operation, _) => return Err(format!("{operation}: answer of another kind: {}", record.outcome)),
        }
        Ok(())
    }

    /// One read for each known key that the scan covered: up to its last pair if the limit cut it off, else the range.
    fn add_scan(
        &mut self,
        record: &Record,
        (start, end, limit): (&Bytes, &Bytes, usize),
        pairs: &[(Bytes, Bytes)],
        universe: &BTreeSet<Bytes>,
    ) {
        let found: BTreeMap<&Bytes, &Bytes> = pairs.iter().map(|(key, value)| (key, value)).collect();
        let last = if pairs.len() >= limit { pairs.last().map(|(key, _)| key) } else { None };
        let cut_off = pairs.len() >= limit && pairs.is_empty();
        for key in universe.range(start.clone()..) {
            if cut_off || (!end.is_empty() && key >= end) || last.is_some_and(|last| key > last) {
                break;
            }
            let value = self.values.number(found.get(key).copied());
            self.push(key, record, Effect::Read(value));
        }
    }
}

fn check_pairs(start: &Bytes, end: &Bytes, limit: usize, pairs: &[(Bytes, Bytes)]) -> Result<(), String> {
    if pairs.len() > limit {
        return Err(format!("scan with limit {limit} returned {} pairs", pairs.len()));
    }
    if let Some([(first, _), (second, _)]) = pairs.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        return Err(format!("scan returned {} before {}", text(first), text(second)));
    }
    match pairs.iter().find(|(key, _)| key < start || (!end.is_empty() && key >= end)) {
        Some((key, _)) => Err(format!("scan [{}, {}) returned {}", text(start), text(end), text(key))),
        None => Ok(()),
    }
}
