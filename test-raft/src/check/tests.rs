//! The search inside `cargo test`: a small group holds every rule, and a node that forgets its vote is found out.

use super::{Bounds, check};
use crate::group::Breakage;

#[test]
fn small_groups_hold_every_rule_in_every_order_of_events() {
    let summary = match check(&Bounds { crashes: 0, wire: 4, states: 60_000, ..Bounds::small() }) {
        Ok(summary) => summary,
        Err(counterexample) => panic!("{counterexample}"),
    };
    println!("{summary:?}");
    assert!(summary.complete && summary.states > 10_000, "{summary:?}");
}

#[test]
fn a_forgotten_vote_is_found_by_a_shortest_way() {
    let bounds = Bounds { breakage: Some(Breakage::ForgetVote), ..Bounds::small() };
    let counterexample = check(&bounds).expect_err("two votes in one term");
    println!("{counterexample}");
    assert_eq!(counterexample.violation.id, "R-VOTE");
    assert!(counterexample.events.len() <= 5, "not a shortest way: {counterexample}");
    let again = check(&bounds).expect_err("the same search");
    assert_eq!(again.events, counterexample.events);
}

#[test]
fn a_slow_disk_a_change_and_a_read_are_walked_too() {
    let bounds = Bounds { proposals: 0, crashes: 0, wire: 3, ..Bounds::small() };
    let without = check(&bounds).expect("no rule breaks").states;
    for (what, bounds) in [
        ("a slow disk", Bounds { delays: 1, ..bounds }),
        ("a change", Bounds { changes: 1, ..bounds }),
        ("a read", Bounds { reads: 1, ..bounds }),
    ] {
        let summary = check(&bounds).unwrap_or_else(|counterexample| panic!("{what}: {counterexample}"));
        println!("{what}: {summary:?}");
        assert!(summary.complete && summary.states > 2 * without, "{what}: {summary:?}, {without} without it");
    }
}

#[test]
fn a_change_that_is_in_force_too_early_is_found() {
    let bounds = Bounds { changes: 1, breakage: Some(Breakage::ConfigureAtAppend), ..Bounds::small() };
    let counterexample = check(&bounds).expect_err("in force before it is applied");
    assert_eq!(counterexample.violation.id, "R-CONF-APPLIED", "{counterexample}");
}
