//! The harness itself: its faults take place at the rates that were asked for, and a seed is its own replay.

use test_raftstore::cluster::{Chaos, Summary, generic_seed};

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
