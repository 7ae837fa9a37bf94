//! Stores crash before and after every change of their disks, at every place of the write-order table.
//!
//! `SCENARIO=split` runs the crashes of one scenario, `AT=split:1:17-after-kv` one of them again, `AT=split:1` lists the changes.

use std::env;
use std::panic::resume_unwind;

use test_raftstore::sim::crash_points::{Mark, Point, Row, SCENARIOS, Scenario, Tally, explore, replay};
use test_raftstore::verdict::Failure;

fn fail<T>(failure: Box<Failure>) -> T {
    println!("{failure}");
    // The verdict says it all: no backtrace of the harness.
    resume_unwind(Box::new("the verdict is above"))
}

fn scenario(name: &str) -> &'static Scenario {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.unwrap_or_else(|| panic!("there is no scenario {name:?}"))
}

#[test]
fn a_crash_at_every_write_is_made_up_for() {
    if let Ok(point) = env::var("AT") {
        let point: Point = point.parse().unwrap_or_else(|error| panic!("AT={point}: {error}"));
        return println!("{}", replay(&point).unwrap_or_else(fail));
    }
    let only = env::var("SCENARIO").ok();
    let scenarios = match &only {
        Some(name) => std::slice::from_ref(scenario(name)),
        None => SCENARIOS,
    };
    let mut tally = Tally::default();
    for scenario in scenarios {
        let before = tally.crashes;
        explore(scenario, None, &mut tally).unwrap_or_else(fail);
        println!("{:<16}{:>6} crashes", scenario.name, tally.crashes - before);
    }
    println!("{tally}");
    if only.is_none() {
        assert_eq!(tally.missing(), [""; 0], "places of the table at which no store has crashed");
    }
}

/// Each write that has to be synced, taken by a disk that does not. But for the second half of an identity: nothing is done with it before the first
/// peers are written, to the same engine and synced. And but for the log of a removed peer: the next start clears it.
#[test]
fn a_write_that_is_not_synced_is_noticed() {
    for (name, write, rule) in [
        ("alone", Mark::first(Row::Append), "R-COMMIT-QUORUM"),
        ("append", Mark::first(Row::Append), "R-COMMIT-QUORUM"),
        ("snapshot", Mark::first(Row::SnapshotReceived), "RESTART"),
        ("snapshot", Mark::second(Row::SnapshotReceived), "RESTART"),
        ("snapshot", Mark::second(Row::SnapshotRestored), "L-APPLY"),
        ("compaction", Mark::first(Row::LogCompaction), "WRITE-ORDER"),
        ("split", Mark::only(Row::Split), "S-EPOCH"),
        ("add-peer", Mark::only(Row::ChangeOfMembers), "S-EPOCH"),
        ("remove-peer", Mark::first(Row::EndOfPeer), "S-TOMB"),
        ("missed-removal", Mark::first(Row::EndOfPeer), "S-TOMB"),
        ("bootstrap", Mark::first(Row::Identity), "RESTART"),
        ("bootstrap", Mark::only(Row::FirstPeer), "WRITE-ORDER"),
    ] {
        let outcome = explore(scenario(name), Some(write), &mut Tally::default());
        let noticed = outcome.err().map_or("nothing", |failure| failure.id);
        assert_eq!(noticed, rule, "{name}: {write:?} is not synced");
    }
}
