//! Random histories: a comparison with brute force on small ones, and large ones of a simulated register, as they are and altered.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::register::{ABSENT, Effect, RegisterOperation};
use super::search::{Search, SearchResult};
use super::simplify::simplify;
use super::tests::{Script, key};
use super::*;
use crate::history::{Answer, Operation, Outcome};
use crate::rng::SeededRng;

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
