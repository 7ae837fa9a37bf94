//! Known histories, legal and illegal.

use bytes::Bytes;

use super::*;
use crate::clock::VirtualTime;
use crate::history::{Answer, Operation, Outcome};

pub(super) fn key(name: &str) -> Bytes {
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
pub(super) struct Script {
    pub(super) history: History,
    now: u64,
}

impl Script {
    pub(super) fn start(&mut self, client: u64, operation: Operation) -> OperationId {
        self.now += 1;
        self.history.invoke(client, operation, VirtualTime::from_micros(self.now))
    }

    pub(super) fn end(&mut self, id: OperationId, outcome: Outcome) {
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
