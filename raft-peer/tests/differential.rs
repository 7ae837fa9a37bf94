//! The same schedule for a group of raft-core and for one of the `raft` crate.

use raft_peer::{differential, seeds};

#[test]
fn both_come_to_the_same_logs() {
    let results = seeds::run_all(0..300, 2, differential::run);
    let failures: Vec<&String> = results.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of 300 schedules: {}", failures.len(), failures[0]);
    let committed: u64 = results.iter().filter_map(|(_, result)| result.as_ref().ok()).map(|(_, commit)| commit).sum();
    assert!(committed > 10 * 300, "only {committed} entries: the schedules are too hostile to say anything");
}
