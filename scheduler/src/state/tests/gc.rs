use bytes::Bytes;

use super::*;

const NOW_MS: u64 = 1_000_000_000;

#[test]
fn the_safe_point_never_goes_back_and_survives_a_crash() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    assert_eq!(cluster.gc_safe_point(), 0);
    assert_eq!(cluster.advance_gc_safe_point(100).unwrap(), 100);
    assert_eq!(cluster.advance_gc_safe_point(50).unwrap(), 100);
    assert_eq!(open(&engine.crash(0)).gc_safe_point(), 100);
}

#[test]
fn the_smallest_wish_of_all_services_is_reported_until_it_lapses() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    let (cdc, backup) = (Bytes::from("cdc"), Bytes::from("backup"));
    let smallest = cluster.update_service_safe_point(&cdc, 200, 60, NOW_MS).unwrap();
    assert_eq!((smallest.safe_point, smallest.ttl(NOW_MS / 1000)), (200, 60));
    let smallest = cluster.update_service_safe_point(&backup, 300, 600, NOW_MS).unwrap();
    assert_eq!(smallest.service_id, cdc);

    // Below the smallest it is too late; the answer shows it, nothing is kept.
    let smallest = cluster.update_service_safe_point(&backup, 100, 600, NOW_MS).unwrap();
    assert_eq!((smallest.service_id.clone(), smallest.safe_point), (cdc.clone(), 200));

    let mut cluster = open(&engine.crash(0));
    let wishes = cluster.gc_state(NOW_MS).services;
    assert_eq!(wishes.iter().map(|wish| wish.safe_point).collect::<Vec<_>>(), [300, 200]);

    // A minute later the first one has lapsed, and withdrawing the other leaves none.
    let smallest = cluster.update_service_safe_point(&backup, 300, 600, NOW_MS + 61_000).unwrap();
    assert_eq!(smallest.service_id, backup);
    let smallest = cluster.update_service_safe_point(&backup, 0, 0, NOW_MS + 61_000).unwrap();
    assert_eq!((smallest.service_id.as_ref(), smallest.safe_point), (&b"gc_worker"[..], 0));
}

#[test]
fn a_wish_for_what_may_be_gone_is_refused() {
    let mut cluster = open(&MemEngine::new());
    cluster.advance_gc_safe_point(1000).unwrap();
    let error = cluster.update_service_safe_point(&Bytes::from("cdc"), 999, 60, NOW_MS).unwrap_err();
    assert!(error.to_string().contains("1000"), "{error}");
    assert!(cluster.update_service_safe_point(&Bytes::new(), 2000, 60, NOW_MS).is_err());
    assert!(cluster.update_service_safe_point(&Bytes::from("gc_worker"), 2000, 60, NOW_MS).is_err());
    cluster.update_service_safe_point(&Bytes::from("gc_worker"), 2000, i64::MAX, NOW_MS).unwrap();
}
