use proptest::prelude::*;
use proto::pdpb::Timestamp;

use super::*;

fn combined(timestamp: Timestamp) -> u64 {
    ((timestamp.physical as u64) << 18) | timestamp.logical as u64
}

fn oracle(engine: &MemEngine) -> TimestampOracle<MemEngine> {
    TimestampOracle::load(engine.clone()).unwrap()
}

#[test]
fn the_answer_is_the_largest_of_its_batch() {
    let mut oracle = oracle(&MemEngine::new());
    let first = oracle.generate(10, 5000).unwrap();
    assert_eq!((first.physical, first.logical, first.suffix_bits), (5000, 10, 0));
    let second = oracle.generate(5, 5000).unwrap();
    assert_eq!((second.physical, second.logical), (5000, 15));
    let later = oracle.generate(1, 5001).unwrap();
    assert_eq!((later.physical, later.logical), (5001, 1));
}

#[test]
fn a_full_millisecond_runs_ahead_of_the_clock() {
    let mut oracle = oracle(&MemEngine::new());
    let most = u32::try_from(MAX_LOGICAL).unwrap();
    assert_eq!(oracle.generate(most, 5000).unwrap().logical, i64::from(most));
    let next = oracle.generate(1, 5000).unwrap();
    assert_eq!((next.physical, next.logical), (5001, 1));
}

#[test]
fn counts_that_no_millisecond_holds_are_refused() {
    let mut oracle = oracle(&MemEngine::new());
    for count in [0, 1 << 18, u32::MAX] {
        assert!(matches!(oracle.generate(count, 5000), Err(Error::InvalidRequest { .. })));
    }
    assert!(matches!(oracle.generate(1, u64::MAX / 2), Err(Error::ClockOutOfRange { .. })));
    // A clock that was wrong for a moment has done no harm.
    assert_eq!(oracle.generate(1, 5000).unwrap().physical, 5000);
}

#[test]
fn there_is_one_write_for_each_window() {
    let engine = MemEngine::new();
    let mut oracle = oracle(&engine);
    oracle.generate(1, 10_000).unwrap();
    engine.faults().set_free_bytes(Some(0));
    for now_ms in 10_000..10_000 + WINDOW_MS {
        oracle.generate(1, now_ms).unwrap();
    }
    assert!(matches!(oracle.generate(1, 10_000 + WINDOW_MS), Err(Error::Storage(_))));
    engine.faults().clear();
    oracle.generate(1, 10_000 + WINDOW_MS).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Generate { count: u32, now_ms: u64 },
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // The clock jumps anywhere in twenty seconds, now and then far away.
    let now_ms = prop_oneof![9 => 100_000..120_000u64, 1 => 0..10_000_000u64];
    let count = prop_oneof![9 => 1..64u32, 1 => 1..(1u32 << 18)];
    let generate = (count, now_ms).prop_map(|(count, now_ms)| Step::Generate { count, now_ms });
    proptest::collection::vec(prop_oneof![8 => generate, 1 => Just(Step::Crash)], 1..200)
}

proptest! {
    #[test]
    fn timestamps_grow_over_restarts_and_clocks_that_jump(steps in steps()) {
        let mut engine = MemEngine::new();
        let mut oracle = oracle(&engine);
        let mut last = 0;
        for step in steps {
            match step {
                Step::Generate { count, now_ms } => {
                    let timestamp = oracle.generate(count, now_ms).unwrap();
                    prop_assert!(timestamp.logical as u64 <= MAX_LOGICAL);
                    prop_assert!(timestamp.logical >= i64::from(count));
                    let smallest_of_batch = combined(timestamp) - u64::from(count) + 1;
                    prop_assert!(smallest_of_batch > last, "{smallest_of_batch} after {last}");
                    last = combined(timestamp);
                }
                Step::Crash => {
                    engine = engine.crash(0);
                    oracle = TimestampOracle::load(engine.clone()).unwrap();
                }
            }
        }
    }
}
