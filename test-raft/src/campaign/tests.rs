//! The campaign inside `cargo test`: enough seeds to see that the rules hold, that faults happen, and that work gets done.

use super::{Options, run_seed};
use crate::group::{Breakage, Counts};

#[test]
fn seeds_hold_every_rule_and_get_work_done() {
    let mut counts = Counts::default();
    for seed in 0..300 {
        match run_seed(seed, &Options::default()) {
            Ok(report) => counts += report.counts,
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{counts:?}");
    assert!(counts.leaders > 500 && counts.applied > 10_000, "the faults leave room for work: {counts:?}");
    assert!(counts.requested > 50 && counts.forwarded > 50 && counts.reads_dropped > 50, "of each kind: {counts:?}");
    assert!(counts.crashes > 500 && counts.restored > 50 && counts.reads > 300, "and things happen: {counts:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 7, 11] {
        let run = || run_seed(seed, &Options { in_words: seed == 7, ..Options::default() }).expect("a clean seed");
        assert_eq!(run(), run());
    }
    let of = |seed| run_seed(seed, &Options::default()).expect("a clean seed").digest;
    assert_ne!(of(3), of(4));
}

#[test]
fn every_broken_promise_of_the_owner_is_noticed_by_its_rule() {
    for breakage in Breakage::ALL {
        let options = Options { breakage: Some(breakage), ..Options::default() };
        let failure = (0..300).find_map(|seed| run_seed(seed, &options).err());
        let failure = failure.unwrap_or_else(|| panic!("{} is not noticed", breakage.name()));
        assert!(breakage.caught_by().contains(&&*failure.violation.id), "{}: {failure}", breakage.name());
    }
}
