//! Known histories, a brute-force comparison on small random ones, and altered simulated ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::register::{ABSENT, Effect, RegisterOperation};
use super::search::{Search, SearchResult};
use super::simplify::simplify;
use super::*;
use crate::clock::VirtualTime;
use crate::history::{Answer, Operation, Outcome};
use crate::rng::SeededRng;

fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

fn get(name: &str) -> Operation {
    Operation::Get { key: key(name) }
}

fn put(name: &str, value: &str) -> Operation {
    Operation::Put { key: key(name), value: key(value) }
}

fn read(value: Option<&str>) -> Outcome {
    Outcome::Ok(Answer::Value(value.map(key)))
}

fn done() -> Outcome {
    Outcome::Ok(Answer::Done)
}

/// Builds histories event by event: `+` invokes, `-` completes.
#[derive(Default)]
struct Script {
    history: History,
    now: u64,
}

impl Script {
    fn start(&mut self, client: u64, operation: Operation) -> OperationId {
        self.now += 1;
        self.history.invoke(client, operation, VirtualTime::from_micros(self.now))
    }

    fn end(&mut self, id: OperationId, outcome: Outcome) {
        self.now += 1;
        self.history.complete(id, outcome, VirtualTime::from_micros(self.now));
    }

    fn run(&mut self, operation: Operation, outcome: Outcome) -> OperationId {
        let id = self.start(1, operation);
        self.end(id, outcome);
        id
    }

    fn legal(&self) -> bool {
        let verdict = check(&self.history);
        assert!(!matches!(verdict, Verdict::Undecided { .. }));
        verdict.is_linearizable()
    }
}

#[test]
fn a_sequential_history_is_accepted() {
    let mut script = Script::default();
    script.run(get("a"), read(None));
    script.run(put("a", "1"), done());
    script.run(get("a"), read(Some("1")));
    script.run(Operation::Delete { key: key("a") }, done());
    script.run(get("a"), read(None));
    assert!(script.legal());
}

#[test]
fn a_stale_read_is_refused_and_explained() {
    let mut script = Script::default();
    script.run(put("a", "1"), done());
    script.run(put("a", "2"), done());
    let stale = script.run(get("a"), read(Some("1")));
    script.run(get("a"), read(Some("2")));
    let Verdict::Illegal(explanation) = check(&script.history) else { panic!("accepted") };
    assert_eq!(explanation.culprit, Some(stale));
    assert_eq!(explanation.longest_order.len(), 2);
    assert_eq!(explanation.value, Some(key("2")));
    let text = explanation.to_string();
    assert!(text.contains("key a is not linearizable"), "{text}");
    assert!(text.contains("saw 1, but the key holds 2"), "{text}");
}

#[test]
fn concurrent_operations_may_take_either_order() {
    let mut script = Script::default();
    let first = script.start(1, put("a", "1"));
    let second = script.start(2, put("a", "2"));
    script.end(first, done());
    script.end(second, done());
    script.run(get("a"), read(Some("1")));
    assert!(script.legal());
    // But not one order for one reader and the other for the next.
    script.run(get("a"), read(Some("2")));
    assert!(!script.legal());
}

#[test]
fn a_new_then_old_value_is_refused() {
    let mut script = Script::default();
    script.run(put("a", "1"), done());
    let write = script.start(1, put("a", "2"));
    script.run(get("a"), read(Some("2")));
    script.run(get("a"), read(Some("1")));
    script.end(write, done());
    assert!(!script.legal());
}

#[test]
fn an_unknown_write_may_happen_late_or_never_but_not_twice() {
    let mut script = Script::default();
    script.run(put("a", "1"), done());
    let lost = script.start(2, put("a", "2"));
    script.end(lost, Outcome::Unknown);
    script.run(get("a"), read(Some("1")));
    assert!(script.legal(), "never");
    script.run(get("a"), read(Some("2")));
    assert!(script.legal(), "late");
    script.run(put("a", "3"), done());
    script.run(get("a"), read(Some("2")));
    assert!(!script.legal(), "twice");
}

#[test]
fn a_failed_write_must_stay_invisible() {
    let mut script = Script::default();
    script.run(put("a", "1"), Outcome::Failed);
    script.run(get("a"), read(None));
    assert!(script.legal());
    script.run(get("a"), read(Some("1")));
    assert!(!script.legal());
}

#[test]
fn a_value_seen_before_it_was_written_is_refused() {
    let mut script = Script::default();
    script.run(get("a"), read(Some("1")));
    let write = script.start(1, put("a", "1"));
    script.end(write, Outcome::Unknown);
    assert!(!script.legal());
}

#[test]
fn unknown_deletes_explain_one_loss_each() {
    let mut script = Script::default();
    for round in 0..3 {
        script.run(put("a", &round.to_string()), done());
        let delete = script.start(2, Operation::Delete { key: key("a") });
        script.end(delete, Outcome::Unknown);
    }
    script.run(get("a"), read(None));
    script.run(put("a", "x"), done());
    script.run(get("a"), read(None));
    script.run(put("a", "y"), done());
    script.run(get("a"), read(None));
    assert!(script.legal());
    script.run(put("a", "z"), done());
    script.run(get("a"), read(None));
    assert!(!script.legal(), "three deletes cannot have taken effect four times");
}

#[test]
fn compare_and_swap_chains() {
    let swap = |expected: Option<&str>, value: &str| Operation::CompareAndSwap {
        key: key("a"),
        expected: expected.map(key),
        value: key(value),
    };
    let answer =
        |succeeded, previous: Option<&str>| Outcome::Ok(Answer::Swapped { succeeded, previous: previous.map(key) });
    let mut script = Script::default();
    script.run(swap(None, "1"), answer(true, None));
    script.run(swap(Some("0"), "2"), answer(false, Some("1")));
    let unknown = script.start(2, swap(Some("1"), "3"));
    script.end(unknown, Outcome::Unknown);
    script.run(swap(Some("3"), "4"), answer(true, Some("3")));
    assert!(script.legal());
    // Both swaps from "4" cannot succeed.
    script.run(swap(Some("4"), "5"), answer(true, Some("4")));
    assert!(script.legal());
    script.run(swap(Some("4"), "6"), answer(true, Some("4")));
    assert!(!script.legal());
}

#[test]
fn an_answer_that_contradicts_itself_is_malformed() {
    let mut script = Script::default();
    let operation = Operation::CompareAndSwap { key: key("a"), expected: None, value: key("1") };
    script.run(operation, Outcome::Ok(Answer::Swapped { succeeded: true, previous: Some(key("0")) }));
    assert!(matches!(check(&script.history), Verdict::Malformed { operation: 0, .. }));
    let mut script = Script::default();
    script.run(get("a"), done());
    assert!(matches!(check(&script.history), Verdict::Malformed { .. }));
}

fn scan(limit: usize) -> Operation {
    Operation::Scan { start: key("a"), end: key("d"), limit }
}

fn pairs(list: &[(&str, &str)]) -> Outcome {
    Outcome::Ok(Answer::Pairs(list.iter().map(|(name, value)| (key(name), key(value))).collect()))
}

#[test]
fn scans_read_every_key_that_they_cover() {
    let mut script = Script::default();
    script.run(put("a", "1"), done());
    script.run(put("c", "3"), done());
    script.run(put("d", "4"), done());
    script.run(scan(10), pairs(&[("a", "1"), ("c", "3")]));
    script.run(scan(1), pairs(&[("a", "1")]));
    assert!(script.legal());
    let mut missing = Script { history: script.history.clone(), now: script.now };
    missing.run(scan(10), pairs(&[("a", "1")]));
    assert!(!missing.legal(), "c is missing");
    let mut skipped = Script { history: script.history.clone(), now: script.now };
    skipped.run(scan(1), pairs(&[("c", "3")]));
    assert!(!skipped.legal(), "a was skipped under a limit");
    let mut invented = Script { history: script.history.clone(), now: script.now };
    invented.run(scan(10), pairs(&[("a", "1"), ("b", "2"), ("c", "3")]));
    assert!(!invented.legal(), "b was never written");
}

#[test]
fn scans_out_of_order_or_range_are_malformed() {
    for answer in [
        pairs(&[("c", "3"), ("a", "1")]),
        pairs(&[("a", "1"), ("a", "1")]),
        pairs(&[("d", "4")]),
        pairs(&[("a", "1"), ("b", "1"), ("c", "1")]),
    ] {
        let mut script = Script::default();
        script.run(scan(2), answer);
        assert!(matches!(check(&script.history), Verdict::Malformed { .. }));
    }
}

/// Tries every order of every subset that contains all required operations.
fn brute_force(operations: &[RegisterOperation]) -> bool {
    fn place(operations: &[RegisterOperation], placed: u32, value: u32) -> bool {
        let open = |index: usize| placed & (1 << index) == 0;
        let required_left = (0..operations.len()).any(|index| open(index) && operations[index].returned.is_some());
        if !required_left {
            return true;
        }
        (0..operations.len()).filter(|index| open(*index)).any(|index| {
            let operation = &operations[index];
            let preceded = (0..operations.len())
                .any(|other| open(other) && operations[other].returned.is_some_and(|at| at < operation.invoked));
            match operation.effect.apply(value) {
                Some(next) if !preceded => place(operations, placed | 1 << index, next),
                _ => false,
            }
        })
    }
    place(operations, 0, ABSENT)
}

/// Up to eight operations with random intervals. Few values, so that writers are often not unique.
fn small_history(values: u32) -> impl Strategy<Value = Vec<RegisterOperation>> {
    let operation = (0..3u8, 0..values, 0..values, 0..4u8, 0..24u64, 1..10u64);
    prop::collection::vec(operation, 1..8).prop_map(|list| {
        list.into_iter()
            .enumerate()
            .map(|(source, (kind, first, second, unknown, invoked, length))| {
                let effect = match kind {
                    0 => Effect::Read(first),
                    1 => Effect::Write(first),
                    _ => Effect::Swap { expected: first, new: second },
                };
                // Odd and even, so that no invocation coincides with a return.
                let returned = (unknown != 0).then_some(invoked * 2 + length * 2 + 1);
                RegisterOperation { source, effect, invoked: invoked * 2, returned }
            })
            .collect()
    })
}

fn searched(operations: &[RegisterOperation]) -> bool {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| operation.invoked);
    match Search::new(&simplify(&sorted), DEFAULT_CONFIGURATION_LIMIT).run() {
        SearchResult::Ordered { .. } => true,
        SearchResult::Stuck(_) => false,
        SearchResult::OverLimit { .. } => panic!("a small history went over the limit"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_brute_force_when_values_repeat(operations in small_history(3)) {
        prop_assert_eq!(searched(&operations), brute_force(&operations));
    }

    #[test]
    fn agrees_with_brute_force_when_values_are_mostly_unique(operations in small_history(7)) {
        prop_assert_eq!(searched(&operations), brute_force(&operations));
    }
}

/// Runs clients against a real map in which each operation takes effect at a random moment of its interval, so that the
/// history is linearizable by construction. Unknown outcomes take effect, or not, at a random moment afterwards.
struct Simulated {
    rng: SeededRng,
    script: Script,
    map: BTreeMap<Bytes, Bytes>,
    /// Invoked, not yet effective.
    waiting: Vec<(u64, OperationId, Operation)>,
    /// Effective, not yet returned.
    effective: Vec<(u64, OperationId, Outcome)>,
    /// Given up by their clients, may still take effect.
    orphans: Vec<Operation>,
}

impl Simulated {
    fn history(seed: u64, clients: u64, operations: usize, unknown_permille: u32) -> History {
        let mut run = Self {
            rng: SeededRng::stream(seed, "checker"),
            script: Script::default(),
            map: BTreeMap::new(),
            waiting: Vec::new(),
            effective: Vec::new(),
            orphans: Vec::new(),
        };
        while run.script.history.records().len() < operations || !run.waiting.is_empty() || !run.effective.is_empty() {
            run.step(clients, operations, unknown_permille);
        }
        run.script.history
    }

    fn step(&mut self, clients: u64, operations: usize, unknown_permille: u32) {
        let client = self.rng.below(clients);
        let busy = self.waiting.iter().map(|entry| entry.0).chain(self.effective.iter().map(|entry| entry.0));
        let idle = !busy.into_iter().any(|other| other == client);
        if idle && self.script.history.records().len() < operations {
            let operation = self.draw(client);
            let id = self.script.start(client, operation.clone());
            self.waiting.push((client, id, operation));
            return;
        }
        if let Some(at) = self.waiting.iter().position(|entry| entry.0 == client) {
            let (_, id, operation) = self.waiting.remove(at);
            if self.rng.chance(unknown_permille) {
                self.script.end(id, Outcome::Unknown);
                self.orphans.push(operation);
            } else {
                let answer = self.apply(&operation);
                self.effective.push((client, id, Outcome::Ok(answer)));
            }
            return;
        }
        if let Some(at) = self.effective.iter().position(|entry| entry.0 == client) {
            let (_, id, outcome) = self.effective.remove(at);
            self.script.end(id, outcome);
        }
        if self.rng.chance(30) && !self.orphans.is_empty() {
            let orphan = self.orphans.remove(self.rng.below(self.orphans.len() as u64) as usize);
            self.apply(&orphan);
        }
    }

    fn draw(&mut self, client: u64) -> Operation {
        let key = Bytes::from(format!("k{}", self.rng.below(3)));
        let value = self.script.history.unique_value(client);
        match self.rng.below(10) {
            0..=3 => Operation::Get { key },
            4..=6 => Operation::Put { key, value },
            7 => Operation::Delete { key },
            8 => Operation::CompareAndSwap { expected: self.map.get(&key).cloned(), key, value },
            _ => Operation::Scan { start: key, end: Bytes::new(), limit: 2 },
        }
    }

    fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Get { key } => Answer::Value(self.map.get(key).cloned()),
            Operation::Put { key, value } => {
                self.map.insert(key.clone(), value.clone());
                Answer::Done
            }
            Operation::Delete { key } => {
                self.map.remove(key);
                Answer::Done
            }
            Operation::CompareAndSwap { key, expected, value } => {
                let previous = self.map.get(key).cloned();
                let succeeded = previous == *expected;
                if succeeded {
                    self.map.insert(key.clone(), value.clone());
                }
                Answer::Swapped { succeeded, previous }
            }
            Operation::Scan { start, limit, .. } => {
                let range = self.map.range(start.clone()..).take(*limit);
                Answer::Pairs(range.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
        }
    }
}

#[test]
fn histories_of_a_real_register_are_accepted() {
    for seed in 0..150 {
        let history = Simulated::history(seed, 2 + seed % 12, 400, 80);
        let verdict = check(&history);
        assert!(verdict.is_linearizable(), "seed {seed}: {verdict}");
    }
}

#[test]
fn altered_histories_are_refused() {
    for seed in 0..150 {
        let mut history = Simulated::history(seed, 2 + seed % 12, 300, 80);
        // A read that returns what was overwritten long ago, or what was never written.
        let records = history.records();
        let mut victims = records.iter().rev().filter(|record| matches!(record.operation, Operation::Get { .. }));
        let victim = victims.find(|record| matches!(record.outcome, Outcome::Ok(_))).unwrap().clone();
        let before_victim = |record: &&crate::history::Record| {
            record.operation.key() == victim.operation.key()
                && record.completed.is_some_and(|(_, stamp)| stamp < victim.invoked)
                && matches!(record.outcome, Outcome::Ok(Answer::Done))
        };
        let writes: Vec<_> = records.iter().filter(before_victim).collect();
        let oldest = writes.iter().find_map(|record| match &record.operation {
            Operation::Put { value, .. } => Some(value.clone()),
            _ => None,
        });
        let value = if seed % 2 == 0 { oldest } else { Some(key("never written")) };
        if writes.len() < 8 || value.is_none() {
            continue;
        }
        history.tamper(victim.id, Outcome::Ok(Answer::Value(value)));
        assert!(matches!(check(&history), Verdict::Illegal(_)), "seed {seed}");
    }
}

#[test]
fn a_lost_acknowledged_write_is_refused() {
    for seed in 0..100 {
        let mut history = Simulated::history(seed, 4, 300, 50);
        // A put that was acknowledged and read, made to have failed.
        let read_values: Vec<Bytes> = history
            .records()
            .iter()
            .filter_map(|record| match &record.outcome {
                Outcome::Ok(Answer::Value(Some(value))) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let put = history
            .records()
            .iter()
            .find(|record| matches!(&record.operation, Operation::Put { value, .. } if read_values.contains(value)));
        let Some(id) = put.map(|record| record.id) else { continue };
        history.tamper(id, Outcome::Failed);
        assert!(!check(&history).is_linearizable(), "seed {seed}");
    }
}

#[test]
fn thousands_of_operations_take_few_configurations() {
    let history = Simulated::history(1, 20, 6_000, 50);
    match check(&history) {
        Verdict::Linearizable(statistics) => {
            assert!(statistics.operations >= 5_000, "{statistics:?}");
            assert!(statistics.configurations < 20_000, "{statistics:?}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_search_over_its_limit_says_so() {
    let history = Simulated::history(1, 8, 300, 50);
    assert!(matches!(check_with_limit(&history, 5), Verdict::Undecided { .. }));
}
