//! Splits that nobody names a key for: regions that grew too large, and regions that are to be cut in the middle.

use bytes::Bytes;
use raftstore::{Config, Error, split::SplitLimits};

use crate::{
    common::Cluster,
    split::{cluster, on_disk, parts, split_at, with_config, write},
};

#[test]
fn a_region_that_grows_too_large_is_split_until_all_parts_are_within_the_limits_3b() {
    let split = SplitLimits { max_bytes: 3_000, split_bytes: 2_000, max_cuts: 2, ..SplitLimits::default() };
    let (mut cluster, _) =
        with_config(Config { split, split_check_ticks: 3, region_heartbeat_ticks: 10, ..Config::default() });
    let mut regions = cluster.regions.clone();
    for i in 0..200 {
        let key = format!("{i:03}");
        let region = regions.iter().rfind(|region| region.start_key <= key).unwrap().clone();
        let written = write(&mut cluster, &region, &key, &".".repeat(97));
        if written.is_err() {
            // The client looks again.
            assert!(matches!(written, Err(Error::EpochNotMatch { .. })), "{written:?}");
            regions = on_disk(&mut cluster, 1);
            let region = regions.iter().rfind(|region| region.start_key <= key).unwrap().clone();
            write(&mut cluster, &region, &key, &".".repeat(97)).unwrap();
        }
        if i % 20 == 0 {
            cluster.tick(1);
        }
    }
    cluster.tick(40);
    let regions = on_disk(&mut cluster, 1);
    let sizes: Vec<usize> = regions
        .iter()
        .map(|region| {
            let inside = |i: &usize| {
                let key = Bytes::from(format!("{i:03}"));
                region.start_key <= key && (region.end_key.is_empty() || key < region.end_key)
            };
            (0..200).filter(inside).count() * 100
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 20_000);
    assert!(sizes.iter().all(|size| *size <= 3_000), "{sizes:?}");
    assert!(sizes.len() <= 14, "not more than need be: {sizes:?}");
    let heartbeats = cluster.reports.regions.lock().unwrap();
    assert!(heartbeats.iter().any(|heartbeat| heartbeat.approximate_keys > 0 && heartbeat.approximate_size > 0));
}

#[test]
fn a_region_is_cut_in_the_middle_when_no_key_is_named_3b() {
    let (mut cluster, leader) = cluster();
    let answer = cluster.admin(cluster.header(leader), split_at(&[]));
    cluster.settle();
    assert!(matches!(answer.error(), Error::AdminRefused { .. }), "nothing to cut");
    for i in 0..100 {
        cluster.must_put(&format!("{i:03}"), "v");
    }
    let answer = cluster.admin(cluster.header(leader), split_at(&[]));
    cluster.settle();
    let found = parts(&answer);
    assert!(found[0].end_key > b"049"[..] && found[0].end_key <= b"050"[..], "{found:?}");
}

/// Invariant S-SIZE, in the leader's reports: the parts do not count what has gone to others.
#[test]
fn a_region_that_was_split_does_not_count_what_it_gave_away_3b() {
    let (mut cluster, leader) = with_config(Config { region_heartbeat_ticks: 3, ..Config::default() });
    for i in 0..20 {
        cluster.must_put(&format!("a{i}"), "v");
    }
    let keys_of = |cluster: &Cluster, id: u64| {
        let heartbeats = cluster.reports.regions.lock().unwrap();
        let last = heartbeats.iter().rfind(|heartbeat| heartbeat.region.as_ref().is_some_and(|region| region.id == id));
        last.map_or(0, |heartbeat| heartbeat.approximate_keys)
    };
    cluster.tick(4);
    let id = cluster.regions[0].id;
    assert!(keys_of(&cluster, id) >= 20);
    let answer = cluster.admin(cluster.header(leader), split_at(&["m"]));
    cluster.settle();
    let found = parts(&answer);
    assert_eq!((found[1].id, keys_of(&cluster, id)), (id, 0), "all keys are in the other part");
}
