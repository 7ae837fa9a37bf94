//! Keys with one writer: growing numbers, and what must be read at the end.

use std::collections::BTreeMap;

use super::Outcome;

/// Keys in use by one writer at a time.
const SLOTS: u64 = 32;
/// Bytes added to a value, so that values are of a realistic size.
const PADDING: usize = 64;

/// One write of one own key, not yet answered.
#[derive(Clone, Debug)]
pub struct OwnWrite {
    slot: u64,
    key: Vec<u8>,
    number: u64,
    writer: usize,
}

impl OwnWrite {
    pub fn key(&self) -> Vec<u8> {
        self.key.clone()
    }

    pub fn value(&self) -> Vec<u8> {
        value(self.writer, self.number)
    }
}

/// What is known of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    unknown: Option<u64>,
}

/// All keys that one writer has written.
#[derive(Debug)]
pub struct OwnKeys {
    writer: usize,
    generation: BTreeMap<u64, u64>,
    known: BTreeMap<Vec<u8>, Known>,
    next_number: u64,
}

impl OwnKeys {
    pub fn new(writer: usize) -> Self {
        OwnKeys { writer, generation: BTreeMap::new(), known: BTreeMap::new(), next_number: 1 }
    }

    /// The next write; its number is larger than all before it.
    pub fn next_write(&mut self, turn: u64) -> OwnWrite {
        let slot = turn % SLOTS;
        let number = self.next_number;
        self.next_number += 1;
        OwnWrite { slot, key: self.key(slot), number, writer: self.writer }
    }

    /// Notes how a write ended. A key whose last write may still take effect is never written again.
    pub fn record(&mut self, write: OwnWrite, outcome: Outcome) {
        let known = self.known.entry(write.key).or_default();
        match outcome {
            Outcome::Acknowledged | Outcome::AcknowledgedLate => known.acknowledged = Some(write.number),
            Outcome::Unknown => known.unknown = Some(write.number),
        }
        if outcome != Outcome::Acknowledged {
            *self.generation.entry(write.slot).or_default() += 1;
        }
    }

    /// A key in use with the value that a read must find now.
    pub fn settled(&self, turn: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        // Turns that read are multiples of eight; spread them over all slots.
        let key = self.key((turn / 8) % SLOTS);
        let number = self.known.get(&key)?.acknowledged?;
        Some((key, value(self.writer, number)))
    }

    /// All keys ever written.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.known.keys().cloned().collect()
    }

    /// Why `found` cannot be the final value of `key`, or `None` when it is right.
    pub fn complaint(&self, key: &[u8], found: Option<&Vec<u8>>) -> Option<String> {
        let known = self.known.get(key)?;
        let allowed = [known.acknowledged, known.unknown];
        let fits = match found {
            Some(found) => allowed.iter().flatten().any(|number| &value(self.writer, *number) == found),
            None => known.acknowledged.is_none(),
        };
        let name = String::from_utf8_lossy(key);
        let found = found.map(|found| String::from_utf8_lossy(found).into_owned());
        (!fits).then(|| format!("{name}: found {found:?}, known: {known:?}"))
    }

    fn key(&self, slot: u64) -> Vec<u8> {
        let generation = self.generation.get(&slot).copied().unwrap_or_default();
        format!("crash/own/{}/{slot:02}/{generation:06}", self.writer).into_bytes()
    }
}

fn value(writer: usize, number: u64) -> Vec<u8> {
    format!("{number:020} of writer {writer} {}", "x".repeat(PADDING)).into_bytes()
}
