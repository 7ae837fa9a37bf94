//! The harness itself: its faults take place at the rates that were asked for, and a seed is its own replay.

use test_raftstore::cluster::setup::{DriverKind, EngineKind};
use test_raftstore::cluster::{Chaos, Cluster, Environment, Setup, Summary, generic_seed, run_seed};
use test_raftstore::verdict::Failure;

fn summary(name: &str, chaos: Chaos, seed: u64) -> Summary {
    generic_seed(name, chaos, seed).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_seed_is_its_own_replay() {
    let chaos = Chaos::none(5).unreliable().crash().partitions();
    let run = |seed| summary("replay", chaos, seed);
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).digest, run(4).digest);
}

#[test]
fn faults_take_place_where_they_are_asked_for_and_nowhere_else() {
    let calm = summary("calm", Chaos::none(5), 1);
    assert_eq!((calm.crashes, calm.lost, calm.cut), (0, 0, 0));
    let (ok, failed, unknown) = calm.outcomes;
    assert!(ok >= 300 && failed + unknown < 10, "{calm:?}");

    let unreliable = summary("unreliable", Chaos::none(5).unreliable(), 1);
    assert!(unreliable.lost > 300 && unreliable.crashes + unreliable.cut == 0, "{unreliable:?}");
    let partitions = summary("partitions", Chaos::none(5).partitions(), 1);
    assert!(partitions.cut > 500 && partitions.crashes + partitions.lost == 0, "{partitions:?}");
    let crash = summary("crash", Chaos::none(5).crash(), 1);
    assert!(crash.crashes > 15 + 3 && crash.lost + crash.cut == 0, "{crash:?}");
}

/// Runs a short test with stores on threads, in memory.
fn on_threads(body: impl FnOnce(&mut Cluster)) -> Result<Summary, Box<Failure>> {
    let environment = Environment { driver: DriverKind::Threads, engine: EngineKind::Mem, seeds: 0..1 };
    run_seed("on_threads", &Setup::new(3), &environment, 0, body)
}

#[test]
fn stores_run_on_threads_and_come_back_from_their_disks() {
    let summary = on_threads(|cluster| {
        cluster.put("k1", "v1");
        cluster.split("k5");
        cluster.remove_peer("k1", 3);
        cluster.crash_all();
        cluster.start_all();
        cluster.must_get("k1", "v1");
        cluster.put("k9", "v9");
    });
    let summary = summary.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(summary.crashes == 3 && summary.outcomes.0 >= 3, "{summary:?}");
}

#[test]
fn what_does_not_hold_on_threads_is_told_by_its_rule() {
    let failure = on_threads(|cluster| {
        cluster.put("k1", "v1");
        let store = cluster.leader("k1");
        cluster.crash(store);
        cluster.wait("L-APPLY", "the store that is down holds k2", 3, |cluster| cluster.stored(store, "k2").is_some());
    });
    let failure = failure.expect_err("nobody has written k2");
    assert_eq!(failure.id, "L-APPLY");
    assert!(failure.details.contains("in term"), "{failure}");
}
