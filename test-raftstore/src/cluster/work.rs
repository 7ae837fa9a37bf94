//! What one client of a lab test does, and what it must be told.
//!
//! A client writes keys that only it writes (its *own* keys) and keys that all clients share. What it is told of its own keys must be
//! what it wrote, which is checked at once; the shared ones are left to the linearizability check at the end of the run, and so are own
//! keys with a write of unknown outcome: nobody can say what they hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::history::{Answer, Operation, Outcome, text};
use crate::rng::SeededRng;

/// How many keys all clients share.
const SHARED_KEYS: u64 = 4;

/// A scan that may take several operations: one a region.
#[derive(Clone, Debug)]
struct Scan {
    from: Bytes,
    end: Bytes,
    found: Vec<(Bytes, Bytes)>,
    /// It covers all keys that only this client writes.
    own: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Work {
    client: u64,
    rng: SeededRng,
    /// Operations of the present round that have still to succeed.
    remaining: u64,
    /// What comes after the drawn operations, in this order, each repeated until it succeeds.
    todo: VecDeque<Todo>,
    scan: Option<Scan>,
    next_key: u64,
    /// The client's own keys with what they hold; `None`: deleted.
    own: BTreeMap<Bytes, Option<Bytes>>,
    /// Own keys of which nobody knows what they hold.
    uncertain: BTreeSet<Bytes>,
    /// What was seen last of each shared key.
    seen: BTreeMap<Bytes, Option<Bytes>>,
    /// Ticks between two operations at the most.
    pause: u64,
    complaint: Option<String>,
    /// The answer to what was asked for last.
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
enum Todo {
    Ask(Operation),
    Scan { from: Bytes, end: Bytes },
    ScanOwn,
}

impl Work {
    /// A client that pauses up to `pause` ticks between two operations.
    pub fn new(client: u64, rng: SeededRng, pause: u64) -> Self {
        Self {
            client,
            rng,
            remaining: 0,
            todo: VecDeque::new(),
            scan: None,
            next_key: 0,
            own: BTreeMap::new(),
            uncertain: BTreeSet::new(),
            seen: BTreeMap::new(),
            pause,
            complaint: None,
            answer: None,
        }
    }

    /// A client that gets one thing done, whatever that takes, and is done then.
    pub fn errand(client: u64, operation: Operation) -> Self {
        let mut work = Self::new(client, SeededRng::stream(client, "errand"), 0);
        work.todo.push_back(match operation {
            Operation::Scan { start: from, end, .. } => Todo::Scan { from, end },
            other => Todo::Ask(other),
        });
        work
    }

    /// What came of an errand.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Whose work it is.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Another round: so many operations have to succeed.
    pub fn begin_round(&mut self, operations: u64) {
        self.remaining = operations;
    }

    /// The last round: read all own keys, delete them one by one, read again.
    pub fn begin_verification(&mut self) {
        let present = |key: &&Bytes| self.uncertain.contains(*key) || self.own.get(*key).is_some_and(Option::is_some);
        let keys: Vec<Bytes> = self.own.keys().filter(present).cloned().collect();
        self.todo.push_back(Todo::ScanOwn);
        self.todo.extend(keys.into_iter().map(|key| Todo::Ask(Operation::Delete { key })));
        self.todo.push_back(Todo::ScanOwn);
        self.pause = 0;
    }

    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.remaining == 0 && self.todo.is_empty() && self.scan.is_none()
    }

    /// How many own keys hold a value, as far as is known.
    pub fn keys_held(&self) -> usize {
        self.own.values().filter(|value| value.is_some()).count()
    }

    /// What the client was told and cannot be, if there is such a thing.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Part of a tick to wait before the next operation, in thousandths.
    pub fn draw_pause(&mut self) -> u64 {
        self.rng.within(1..=1 + self.pause * 1000)
    }

    /// The next operation, if any. A write writes `value`, which no other operation writes.
    pub fn next(&mut self, value: Bytes) -> Option<Operation> {
        if self.scan.is_none() {
            match self.todo.front() {
                _ if self.remaining > 0 => return Some(self.draw(value)),
                Some(Todo::Ask(operation)) => return Some(operation.clone()),
                Some(Todo::Scan { from, end }) => {
                    let (from, end) = (from.clone(), end.clone());
                    self.scan = Some(Scan { from, end, found: Vec::new(), own: false });
                }
                Some(Todo::ScanOwn) => self.begin_scan(),
                None => {}
            }
        }
        self.scan_operation()
    }

    fn scan_operation(&self) -> Option<Operation> {
        let scan = self.scan.as_ref()?;
        Some(Operation::Scan { start: scan.from.clone(), end: scan.end.clone(), limit: usize::MAX })
    }

    fn begin_scan(&mut self) {
        self.scan = Some(Scan { from: self.own_key(0), end: self.own_key(999_999), found: Vec::new(), own: true });
    }

    /// Keys of different clients, and shared ones, differ in their first eight bytes: a bound fits between any two.
    fn own_key(&self, number: u64) -> Bytes {
        format!("{:02}{number:06}", self.client).into()
    }

    fn draw(&mut self, value: Bytes) -> Operation {
        let shared = Bytes::from(format!("shared{}", self.rng.below(SHARED_KEYS)));
        match self.rng.below(100) {
            0..40 => {
                self.next_key += 1;
                Operation::Put { key: self.own_key(self.next_key), value }
            }
            40..52 => {
                self.begin_scan();
                self.scan_operation().expect("invariant: a scan has just begun")
            }
            52..60 if self.next_key > 0 => {
                let number = self.rng.within(1..=self.next_key);
                Operation::Delete { key: self.own_key(number) }
            }
            60..70 => Operation::Put { key: shared, value },
            70..75 => Operation::Delete { key: shared },
            75..85 => {
                let expected = self.seen.get(&shared).cloned().unwrap_or_default();
                Operation::CompareAndSwap { key: shared, expected, value }
            }
            _ => Operation::Get { key: shared },
        }
    }

    /// Takes in how an operation has ended; `operation` as it was asked, which for a scan may be a part of what was wanted.
    pub fn completed(&mut self, operation: &Operation, outcome: &Outcome) {
        match (operation, outcome) {
            (Operation::Scan { end, .. }, Outcome::Ok(Answer::Pairs(pairs))) => self.scanned(end, pairs),
            (Operation::Scan { .. }, _) => return,
            (Operation::Put { key, .. } | Operation::Delete { key }, Outcome::Unknown) => {
                if !is_shared(key) {
                    self.own.entry(key.clone()).or_default();
                    self.uncertain.insert(key.clone());
                }
                return;
            }
            (_, Outcome::Ok(answer)) => {
                self.answer = Some(answer.clone());
                self.learn(operation, answer);
            }
            _ => return,
        }
        if self.scan.is_some() {
            return;
        }
        if self.remaining > 0 {
            self.remaining -= 1;
        } else {
            self.todo.pop_front();
        }
    }

    fn learn(&mut self, operation: &Operation, answer: &Answer) {
        let (key, value) = match (operation, answer) {
            (Operation::Put { key, value }, _) => (key, Some(value.clone())),
            (Operation::Delete { key }, _) => (key, None),
            (Operation::Get { key }, Answer::Value(value)) => (key, value.clone()),
            (Operation::CompareAndSwap { key, value, .. }, Answer::Swapped { succeeded, previous }) => {
                (key, if *succeeded { Some(value.clone()) } else { previous.clone() })
            }
            _ => return,
        };
        let known = if is_shared(key) { &mut self.seen } else { &mut self.own };
        known.insert(key.clone(), value);
    }

    /// A scan has got as far as `end`.
    fn scanned(&mut self, end: &Bytes, pairs: &[(Bytes, Bytes)]) {
        let Some(scan) = &mut self.scan else { return };
        scan.found.extend_from_slice(pairs);
        if *end != scan.end {
            scan.from = end.clone();
            return;
        }
        let (found, own) = (std::mem::take(&mut scan.found), scan.own);
        self.scan = None;
        if own {
            self.compare(&found.into_iter().collect());
        } else {
            self.answer = Some(Answer::Pairs(found));
        }
    }

    fn compare(&mut self, found: &BTreeMap<Bytes, Bytes>) {
        let certain = |key: &&Bytes| !self.uncertain.contains(*key);
        let expected = |key: &Bytes| self.own.get(key).cloned().flatten();
        let all: BTreeSet<&Bytes> = found.keys().chain(self.own.keys()).filter(certain).collect();
        let wrong = all.into_iter().find(|key| expected(key).as_ref() != found.get(*key));
        if let Some(key) = wrong {
            let show = |value: Option<&Bytes>| value.map_or_else(|| "nothing".to_owned(), |value| text(value));
            self.complaint = Some(format!(
                "client {} reads all keys that only it writes: {} holds {}, but what it wrote last, and was told is done, is {}",
                self.client,
                text(key),
                show(found.get(key)),
                show(expected(key).as_ref())
            ));
        }
    }
}

fn is_shared(key: &[u8]) -> bool {
    key.starts_with(b"shared")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work::new(3, SeededRng::stream(1, "work"), 2)
    }

    fn pairs(pairs: &[(&'static str, &'static str)]) -> Outcome {
        Outcome::Ok(Answer::Pairs(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()))
    }

    fn put(key: &'static str, value: &'static str) -> Operation {
        Operation::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn a_round_is_over_when_enough_operations_have_succeeded() {
        let mut work = work();
        work.begin_round(3);
        let mut failing = true;
        for number in 0.. {
            let Some(operation) = work.next(format!("v{number}").into()) else { break };
            failing = !failing;
            let outcome = match operation {
                _ if failing => Outcome::Failed,
                Operation::Scan { .. } => pairs(&[]),
                _ => Outcome::Ok(Answer::Done),
            };
            work.completed(&operation, &outcome);
            assert!(number < 20);
        }
        assert!(work.is_done());
    }

    #[test]
    fn own_keys_must_hold_what_was_written() {
        for (found, fine) in [
            (&[("03000001", "a")][..], true),
            (&[], false),
            (&[("03000001", "b")], false),
            (&[("03000001", "a"), ("03000002", "x")], false),
            (&[("03000001", "a"), ("03000003", "in doubt")], true),
        ] {
            let mut work = work();
            work.completed(&put("03000001", "a"), &Outcome::Ok(Answer::Done));
            work.completed(&put("03000003", "c"), &Outcome::Unknown);
            work.todo.push_back(Todo::ScanOwn);
            let scan = work.next("v".into()).unwrap();
            work.completed(&scan, &pairs(found));
            assert_eq!(work.complaint().is_none(), fine, "{found:?}: {:?}", work.complaint());
            assert!(work.is_done());
        }
    }

    #[test]
    fn a_scan_over_several_regions_is_one_look() {
        let mut work = work();
        work.completed(&put("03000001", "a"), &Outcome::Ok(Answer::Done));
        work.completed(&put("03000007", "b"), &Outcome::Ok(Answer::Done));
        work.todo.push_back(Todo::ScanOwn);
        let Some(Operation::Scan { start, end, limit }) = work.next("v".into()) else { panic!("no scan") };
        let clipped = Operation::Scan { start, end: "03000004".into(), limit };
        work.completed(&clipped, &pairs(&[("03000001", "a")]));
        assert!(!work.is_done() && work.complaint().is_none());
        let rest = work.next("v".into()).unwrap();
        assert_eq!(rest, Operation::Scan { start: "03000004".into(), end, limit });
        work.completed(&rest, &pairs(&[]));
        assert!(work.complaint().unwrap().contains("03000007 holds nothing"), "{:?}", work.complaint());
    }

    #[test]
    fn verification_deletes_what_is_there() {
        let mut work = work();
        work.completed(&put("03000001", "a"), &Outcome::Ok(Answer::Done));
        work.begin_verification();
        let scan = work.next("v".into()).unwrap();
        work.completed(&scan, &pairs(&[("03000001", "a")]));
        let delete = work.next("v".into()).unwrap();
        assert_eq!(delete, Operation::Delete { key: "03000001".into() });
        work.completed(&delete, &Outcome::Unknown);
        work.completed(&work.clone().next("v".into()).unwrap(), &Outcome::Ok(Answer::Done));
        let scan = work.next("v".into()).unwrap();
        work.completed(&scan, &pairs(&[]));
        assert!(work.is_done() && work.complaint().is_none() && work.keys_held() == 0);
    }
}
