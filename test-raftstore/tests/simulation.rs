//! The simulated cluster: hundreds of seeds hold every rule, a seed is its own replay, and broken promises are noticed.

use std::ops::Range;
use std::path::PathBuf;

use test_raftstore::sim::campaign::{Totals, run_seed, run_seeds};
use test_raftstore::sim::disk::DiskLie;
use test_raftstore::sim::shrink::shrink;
use test_raftstore::sim::{HarnessLie, Lies, Options, Simulation};
use test_raftstore::trace::default_folder;

/// Runs seeds that must be clean.
fn run_clean(seeds: Range<u64>, options: &Options) -> Totals {
    let mut totals = Totals::default();
    run_seeds(seeds, 1, options, &default_folder(), |report| totals.add(report))
        .unwrap_or_else(|failure| panic!("{failure}"));
    totals
}

#[test]
fn three_stores_hold_every_rule_for_two_hundred_seeds() {
    let totals = run_clean(0..200, &Options::three_stores("three-stores"));
    assert_eq!(totals.seeds, 200);
    // The run has to have been a trial: clients got through, and things broke.
    let (ok, _, unknown) = totals.outcomes;
    assert!(ok > 200 * 50, "{totals:?}");
    assert!(unknown > 200, "{totals:?}");
    assert!(totals.crashes > 200, "{totals:?}");
    assert!(totals.lost > 200 * 10, "{totals:?}");
    assert!(totals.background_tasks > 200 * 10, "logs have to be compacted: {totals:?}");
    let snapshots = totals.snapshots;
    assert!(snapshots.sent > 100 && snapshots.restored > 50, "stores have to fall behind their logs: {totals:?}");
    assert!(snapshots.failed > 10 && snapshots.damaged > 0, "transfers have to fail: {totals:?}");
    assert!(snapshots.cancelled > 0 && snapshots.refused > 0, "snapshots have to come too late: {totals:?}");
    assert!(snapshots.interrupted > 0, "stores have to crash while they restore one: {totals:?}");
    assert!(snapshots.created > 20 && snapshots.adopted > 0, "stores have to miss splits: {totals:?}");
}

#[test]
fn clusters_of_any_size_hold_every_rule() {
    assert_eq!(run_clean(1_000..1_050, &Options::campaign()).seeds, 50);
}

#[test]
fn a_seed_is_its_own_replay() {
    for seed in 0..5 {
        let run = || {
            let mut simulation = Simulation::new(seed, Options { trace_capacity: usize::MAX, ..Options::campaign() });
            let report = simulation.run().unwrap_or_else(|failure| panic!("{failure}"));
            (simulation.trace().to_json_lines(), report.digest, report.steps)
        };
        let (first, second) = (run(), run());
        assert!(first.0.len() > 100_000, "seed {seed}: a trace of {} bytes", first.0.len());
        assert!(first == second, "seed {seed}: two runs differ");
    }
}

fn scratch() -> PathBuf {
    default_folder().join("lies")
}

/// Runs seeds until the lie is noticed, and says by which rule.
fn noticed(name: &str, lies: Lies, harness_lie: Option<HarnessLie>, within: u64) -> &'static str {
    let options = Options { lies, harness_lie, ..Options::three_stores(name) };
    let failure = (0..within).find_map(|seed| run_seed(seed, &options, &scratch()).err());
    let failure = failure.unwrap_or_else(|| panic!("{name}: not noticed within {within} seeds"));
    println!("{name}: noticed at seed {} by {}", failure.seed, failure.id);
    failure.id
}

#[test]
fn a_disk_that_acknowledges_before_it_syncs_is_noticed() {
    let lies = Lies { raft: Some(DiskLie::SyncWithoutSyncing), ..Lies::default() };
    assert_eq!(noticed("sync-without-syncing", lies, None, 3), "R-COMMIT-QUORUM");
}

#[test]
fn a_forgotten_vote_is_noticed() {
    let lies = Lies { raft: Some(DiskLie::ForgetVote), ..Lies::default() };
    assert_eq!(noticed("forget-vote", lies, None, 200), "R-VOTE");
}

#[test]
fn entries_that_are_applied_twice_are_noticed() {
    let lies = Lies { kv: Some(DiskLie::ForgetApplyState), ..Lies::default() };
    assert_eq!(noticed("forget-apply-state", lies, None, 3), "R-APPLY-SAME");
}

#[test]
fn logs_deleted_before_the_apply_state_is_durable_are_noticed() {
    let lies = Lies { kv: Some(DiskLie::BarrierWithoutSyncing), ..Lies::default() };
    assert_eq!(noticed("barrier-without-syncing", lies, None, 3), "WRITE-ORDER");
}

#[test]
fn stale_reads_are_noticed() {
    assert_eq!(noticed("read-locally", Lies::default(), Some(HarnessLie::ReadLocally), 5), "LINEARIZABLE");
}

#[test]
fn writes_acknowledged_too_early_are_noticed() {
    assert_eq!(noticed("acknowledge-early", Lies::default(), Some(HarnessLie::AcknowledgeEarly), 5), "LINEARIZABLE");
}

#[test]
fn votes_for_everyone_are_noticed() {
    let id = noticed("grant-every-vote", Lies::default(), Some(HarnessLie::GrantEveryVote), 20);
    assert!(["R-VOTE", "R-ELECT", "R-COMPLETE"].contains(&id), "{id}");
}

#[test]
fn refused_appends_reported_as_taken_are_noticed() {
    let id = noticed("accept-every-append", Lies::default(), Some(HarnessLie::AcceptEveryAppend), 50);
    assert!(["R-COMMIT-QUORUM", "PANIC", "R-COMPLETE"].contains(&id), "{id}");
}

#[test]
fn entries_that_change_on_the_way_are_noticed() {
    assert_eq!(noticed("corrupt-entries", Lies::default(), Some(HarnessLie::CorruptEntries), 3), "R-LOG-MATCH");
}

#[test]
fn a_failing_seed_shrinks_to_what_it_needs() {
    let options = Options { harness_lie: Some(HarnessLie::ReadLocally), ..Options::three_stores("shrink") };
    let shrunk = shrink(0, &options, 1_000).expect("stale reads are noticed at seed 0");
    assert!(shrunk.needed.0.len() * 5 < shrunk.before, "{} of {} events are left", shrunk.needed, shrunk.before);
    let failure = Simulation::new(0, shrunk.options.clone()).run().expect_err("the smallest run fails");
    assert_eq!((failure.id, failure.step), (shrunk.failure.id, shrunk.failure.step));
    // Each of the events that are left is needed.
    for event in &shrunk.needed.0 {
        let mut fewer = shrunk.needed.clone();
        fewer.0.remove(event);
        let outcome = Simulation::new(0, Options { only: Some(fewer), ..options.clone() }).run();
        assert!(outcome.is_ok(), "the run fails without {event}, too");
    }
}
