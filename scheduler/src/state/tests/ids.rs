use std::collections::BTreeSet;

use super::*;

#[test]
fn ids_start_at_one_and_a_request_for_none_gets_one() {
    let mut cluster = open(&MemEngine::new());
    assert_eq!(cluster.alloc_ids(1).unwrap(), 1);
    assert_eq!(cluster.alloc_ids(0).unwrap(), 2);
    // The answer is the largest of the batch: 3, 4, 5.
    assert_eq!(cluster.alloc_ids(3).unwrap(), 5);
}

#[test]
fn no_id_comes_twice_over_crashes_at_any_point() {
    let mut engine = MemEngine::new();
    let mut seen = BTreeSet::new();
    for round in 0..20u32 {
        let mut cluster = open(&engine);
        for count in [1, 700, 999, 1000, 1001, 5] {
            let largest = cluster.alloc_ids(count + round).unwrap();
            for id in largest - u64::from(count + round) + 1..=largest {
                assert!(seen.insert(id), "id {id} was handed out twice");
            }
        }
        // Nothing that was not synced survives.
        engine = engine.crash(0);
    }
}

#[test]
fn a_request_for_too_many_ids_is_refused_and_takes_none() {
    let mut cluster = open(&MemEngine::new());
    assert!(matches!(cluster.alloc_ids(MAX_IDS_PER_REQUEST + 1), Err(Error::InvalidRequest { .. })));
    assert_eq!(cluster.alloc_ids(1).unwrap(), 1);
}

#[test]
fn a_failing_disk_hands_out_nothing() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    engine.faults().set_free_bytes(Some(0));
    assert!(matches!(cluster.alloc_ids(1), Err(Error::Storage(_))));
    engine.faults().clear();
    assert_eq!(cluster.alloc_ids(1).unwrap(), 1);
}
