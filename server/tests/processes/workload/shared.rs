//! Keys with many writers: every write with its time span, and which final values are possible.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Outcome;

/// The key of this number.
pub fn key(number: u64) -> Vec<u8> {
    format!("crash/shared/{number}").into_bytes()
}

/// A value that no other write of this run has.
pub fn value(writer: usize, turn: u64) -> Vec<u8> {
    format!("writer {writer} turn {turn:020}").into_bytes()
}

/// One write of a shared key.
#[derive(Clone, Debug)]
struct Span {
    value: Vec<u8>,
    start: Instant,
    /// When it was acknowledged; `None` when it may still take effect.
    end: Option<Instant>,
    acknowledged: bool,
}

/// The writes of one writer, or of all after [`SharedWrites::merge`].
#[derive(Debug, Default)]
pub struct SharedWrites {
    spans: BTreeMap<Vec<u8>, Vec<Span>>,
}

impl SharedWrites {
    /// Notes a write that has just ended.
    pub fn record(&mut self, key: Vec<u8>, value: Vec<u8>, start: Instant, outcome: Outcome) {
        let now = Instant::now();
        let span = Span {
            value,
            start,
            end: (outcome == Outcome::Acknowledged).then_some(now),
            acknowledged: outcome != Outcome::Unknown,
        };
        self.spans.entry(key).or_default().push(span);
    }

    /// Adds another writer's writes.
    pub fn merge(&mut self, other: SharedWrites) {
        for (key, spans) in other.spans {
            self.spans.entry(key).or_default().extend(spans);
        }
    }

    /// All keys ever written.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.spans.keys().cloned().collect()
    }

    /// Why `found` cannot be the final value of `key`, or `None` when it can.
    pub fn complaint(&self, key: &[u8], found: Option<&Vec<u8>>) -> Option<String> {
        let spans = self.spans.get(key)?;
        let name = String::from_utf8_lossy(key);
        let Some(found) = found else {
            let lost = spans.iter().find(|span| span.acknowledged)?;
            return Some(format!("{name}: nothing there, but {:?} was acknowledged", text(&lost.value)));
        };
        let Some(write) = spans.iter().find(|span| &span.value == found) else {
            return Some(format!("{name}: {:?} was never written", text(found)));
        };
        let end = write.end?;
        // An acknowledged write that began after this one had ended must have replaced it.
        let later = spans.iter().find(|span| span.acknowledged && span.start > end)?;
        Some(format!("{name}: {:?} is left, but {:?} followed it", text(found), text(&later.value)))
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
