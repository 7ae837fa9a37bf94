use super::*;

#[test]
fn exactly_one_bootstrap_wins_and_it_survives_a_crash() {
    let engine = MemEngine::new();
    let mut cluster = bootstrapped(&engine);
    assert!(matches!(cluster.bootstrap(&store(2), first_regions()), Err(Error::AlreadyBootstrapped)));

    let mut cluster = open(&engine.crash(0));
    assert!(cluster.is_bootstrapped());
    assert!(matches!(cluster.bootstrap(&store(2), first_regions()), Err(Error::AlreadyBootstrapped)));
    let metas: Vec<Region> = cluster.regions().iter().map(|region| region.meta.clone()).collect();
    assert_eq!(metas, first_regions());
    assert!(cluster.regions().iter().all(|region| region.leader.is_none()), "leaders are learnt again");
}

#[test]
fn regions_must_cover_the_key_space_without_overlap() {
    let stores: &[u64] = &[1, 2, 3];
    let refused = |regions: Vec<Region>| {
        let mut cluster = open(&MemEngine::new());
        for id in 1..=3 {
            cluster.put_store(&store(id)).unwrap();
        }
        let error = cluster.bootstrap(&store(1), regions).unwrap_err();
        assert!(!cluster.is_bootstrapped() && cluster.regions().is_empty());
        error
    };
    assert!(matches!(refused(vec![]), Error::RangeNotCovered { .. }));
    assert!(matches!(refused(vec![region(1, ("", "m"), (1, 1), stores)]), Error::RangeNotCovered { .. }));
    assert!(matches!(refused(vec![region(1, ("a", ""), (1, 1), stores)]), Error::RangeNotCovered { .. }));
    let hole = vec![region(1, ("", "k"), (1, 1), stores), region(2, ("m", ""), (1, 1), stores)];
    assert!(matches!(refused(hole), Error::RangeNotCovered { .. }));
    let overlap = vec![region(1, ("", "n"), (1, 1), stores), region(2, ("m", ""), (1, 1), stores)];
    assert!(matches!(refused(overlap), Error::InvalidRequest { .. }));
    let twice = vec![region(1, ("", "m"), (1, 1), stores), region(1, ("m", ""), (1, 1), stores)];
    assert!(matches!(refused(twice), Error::InvalidRequest { .. }));
}

#[test]
fn peers_on_unregistered_or_removed_stores_are_refused() {
    let mut cluster = open(&MemEngine::new());
    cluster.put_store(&store(2)).unwrap();
    let error = cluster.bootstrap(&store(1), first_regions()).unwrap_err();
    assert!(matches!(error, Error::UnknownStore { store_id: 3 }));

    cluster.put_store(&store(3)).unwrap();
    cluster.set_store_state(3, proto::metapb::StoreState::Tombstone).unwrap();
    let error = cluster.bootstrap(&store(1), first_regions()).unwrap_err();
    assert!(matches!(error, Error::StoreTombstone { store_id: 3 }));
}

#[test]
fn regions_that_make_no_sense_are_refused() {
    let mut cluster = open(&MemEngine::new());
    let whole = ("", "");
    let without_epoch = Region { region_epoch: None, ..region(1, whole, (1, 1), &[1]) };
    let double_store = {
        let mut meta = region(1, whole, (1, 1), &[1]);
        meta.peers.push(Peer { id: 99, store_id: 1, ..Default::default() });
        meta
    };
    for bad in [
        region(0, whole, (1, 1), &[1]),
        region(1, whole, (0, 1), &[1]),
        region(1, whole, (1, 1), &[]),
        region(1, ("b", "a"), (1, 1), &[1]),
        region(1, ("a", "a"), (1, 1), &[1]),
        without_epoch,
        double_store,
    ] {
        assert!(matches!(cluster.bootstrap(&store(1), vec![bad]), Err(Error::InvalidRequest { .. })));
    }
    cluster.bootstrap(&store(1), vec![region(1, whole, (1, 1), &[1])]).unwrap();
}

#[test]
fn a_crash_before_the_sync_leaves_no_half_of_a_bootstrap() {
    let engine = MemEngine::new();
    let mut cluster = open(&engine);
    for id in 1..=3 {
        cluster.put_store(&store(id)).unwrap();
    }
    engine.faults().set_free_bytes(Some(0));
    assert!(cluster.bootstrap(&store(1), first_regions()).is_err());
    assert!(!cluster.is_bootstrapped());
    engine.faults().clear();

    let mut cluster = open(&engine.crash(0));
    assert!(!cluster.is_bootstrapped() && cluster.regions().is_empty());
    cluster.bootstrap(&store(1), first_regions()).unwrap();
}
