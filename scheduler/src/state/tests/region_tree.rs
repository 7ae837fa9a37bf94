//! Heartbeats and what they make of the region tree: the behaviours that project 3C's first sixteen tests ask for.

use proto::metapb::StoreState;
use proto::pdpb::PeerStats;

use super::*;

/// Three regions with a peer on each of three stores, at epoch (2, 2), and the cluster that has heard of them.
fn three_regions() -> (Cluster<MemEngine>, Vec<RegionInfo>) {
    let stores: &[u64] = &[1, 2, 3];
    let mut cluster = open(&MemEngine::new());
    for id in stores {
        cluster.put_store(&store(*id)).unwrap();
    }
    let metas = [
        region(1, ("", "h"), (2, 2), stores),
        region(2, ("h", "q"), (2, 2), stores),
        region(3, ("q", ""), (2, 2), stores),
    ];
    cluster.bootstrap(&store(1), metas.to_vec()).unwrap();
    let mut infos: Vec<RegionInfo> = metas.into_iter().map(led).collect();
    for (at, info) in infos.iter_mut().enumerate() {
        info.leader = Some(info.meta.peers[at]);
        cluster.region_heartbeat(heartbeat(info)).unwrap();
    }
    check(&cluster, &infos);
    (cluster, infos)
}

/// The tree is exactly `infos`, under every lookup, and its counts follow from them.
fn check(cluster: &Cluster<MemEngine>, infos: &[RegionInfo]) {
    let tree = cluster.regions();
    let mut sorted = infos.to_vec();
    sorted.sort_by(|a, b| a.meta.start_key.cmp(&b.meta.start_key));
    assert_eq!(tree.iter().cloned().collect::<Vec<_>>(), sorted);
    assert_eq!(tree.len(), infos.len());
    for (at, info) in sorted.iter().enumerate() {
        assert_eq!(tree.get(info.id()), Some(info));
        assert_eq!(tree.find(&info.meta.start_key), Some(info));
        let touches = |previous: &&RegionInfo| previous.meta.end_key == info.meta.start_key;
        let previous = at.checked_sub(1).map(|before| &sorted[before]).filter(touches);
        assert_eq!(tree.find_previous(&info.meta.start_key), previous);
    }
    for store_id in 1..=5 {
        let on_store = |info: &&RegionInfo| info.meta.peers.iter().any(|peer| peer.store_id == store_id);
        let led_from = |info: &&RegionInfo| info.leader.is_some_and(|leader| leader.store_id == store_id);
        let pending = |info: &RegionInfo| info.pending_peers.iter().filter(|peer| peer.store_id == store_id).count();
        let expected = StoreLoad {
            region_count: infos.iter().filter(on_store).count(),
            region_size: infos.iter().filter(on_store).map(|info| info.approximate_size).sum(),
            leader_count: infos.iter().filter(led_from).count(),
            leader_size: infos.iter().filter(led_from).map(|info| info.approximate_size).sum(),
            pending_count: infos.iter().map(pending).sum(),
        };
        assert_eq!(tree.load_of(store_id), expected, "store {store_id}");
    }
}

fn epoch(info: &mut RegionInfo) -> &mut RegionEpoch {
    info.meta.region_epoch.as_mut().unwrap()
}

#[test]
fn an_identical_heartbeat_changes_nothing() {
    let (mut cluster, infos) = three_regions();
    for info in &infos {
        let answer = cluster.region_heartbeat(heartbeat(info)).unwrap();
        assert_eq!((answer.region_id, answer.region_epoch), (info.id(), info.meta.region_epoch));
        check(&cluster, &infos);
    }
}

#[test]
fn a_newer_version_replaces_and_an_older_one_is_refused() {
    let (mut cluster, mut infos) = three_regions();
    for at in 0..infos.len() {
        epoch(&mut infos[at]).version += 1;
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);

        // Newer in conf_ver does not make up for older in version.
        let mut stale = infos[at].clone();
        epoch(&mut stale).version -= 1;
        epoch(&mut stale).conf_ver += 1;
        let error = cluster.region_heartbeat(heartbeat(&stale)).unwrap_err();
        assert!(matches!(error, Error::StaleRegion { .. }), "{error}");
        check(&cluster, &infos);
    }
}

#[test]
fn a_newer_conf_ver_replaces_and_an_older_one_is_refused() {
    let (mut cluster, mut infos) = three_regions();
    for at in 0..infos.len() {
        let original = infos[at].clone();
        epoch(&mut infos[at]).conf_ver += 1;
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
        assert!(matches!(cluster.region_heartbeat(heartbeat(&original)), Err(Error::StaleRegion { .. })));
        check(&cluster, &infos);

        epoch(&mut infos[at]).conf_ver += 1;
        epoch(&mut infos[at]).version += 1;
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
    }
}

#[test]
fn pending_and_down_peers_come_and_go() {
    let (mut cluster, mut infos) = three_regions();
    for at in 0..infos.len() {
        let follower = *infos[at].meta.peers.iter().find(|peer| Some(**peer) != infos[at].leader).unwrap();
        infos[at].pending_peers = vec![follower];
        infos[at].down_peers = vec![PeerStats { peer: Some(follower), down_seconds: 30 }];
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
        assert_eq!(cluster.regions().load_of(follower.store_id).pending_count, 1);

        infos[at].pending_peers.clear();
        infos[at].down_peers.clear();
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
        assert_eq!(cluster.regions().load_of(follower.store_id).pending_count, 0);
    }
}

#[test]
fn peers_leave_and_come_back() {
    let (mut cluster, mut infos) = three_regions();
    let original = infos.clone();
    for at in 0..infos.len() {
        let leader = infos[at].leader.unwrap();
        infos[at].meta.peers = vec![leader];
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
    }
    for at in 0..infos.len() {
        infos[at] = original[at].clone();
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
    }
}

#[test]
fn a_new_leader_is_recorded_unless_its_term_is_older() {
    let (mut cluster, mut infos) = three_regions();
    for at in 0..infos.len() {
        let former = infos[at].clone();
        infos[at].leader = Some(infos[at].meta.peers[(at + 1) % 3]);
        infos[at].term = 7;
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);

        let late = RegionInfo { term: 6, ..former };
        assert!(matches!(cluster.region_heartbeat(heartbeat(&late)), Err(Error::StaleRegion { .. })));
        check(&cluster, &infos);
    }
}

#[test]
fn the_approximate_size_is_recorded_in_mebibytes() {
    let (mut cluster, mut infos) = three_regions();
    for at in 0..infos.len() {
        infos[at].approximate_size = 144;
        infos[at].approximate_keys = 1_000_000;
        cluster.region_heartbeat(heartbeat(&infos[at])).unwrap();
        check(&cluster, &infos);
    }
    // A region with a few bytes is not nothing.
    infos[0].approximate_size = 1;
    let small = RegionHeartbeatRequest { approximate_size: 17, ..heartbeat(&infos[0]) };
    cluster.region_heartbeat(small).unwrap();
    check(&cluster, &infos);
}

#[test]
fn the_stores_of_a_region_are_those_of_its_peers() {
    let (cluster, _) = three_regions();
    let second = cluster.regions().get(2).unwrap();
    assert_eq!(second.leader.unwrap().store_id, 2);
    assert_eq!(second.follower_stores().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn heartbeats_that_contradict_themselves_are_refused() {
    let (mut cluster, infos) = three_regions();
    let good = heartbeat(&infos[0]);
    let stranger = Peer { id: 999, store_id: 1, ..Default::default() };
    for bad in [
        RegionHeartbeatRequest { region: None, ..good.clone() },
        RegionHeartbeatRequest { leader: None, ..good.clone() },
        RegionHeartbeatRequest { leader: Some(stranger), ..good.clone() },
        RegionHeartbeatRequest { region: Some(Region { peers: vec![], ..infos[0].meta.clone() }), ..good.clone() },
        RegionHeartbeatRequest { region: Some(Region { region_epoch: None, ..infos[0].meta.clone() }), ..good },
    ] {
        assert!(matches!(cluster.region_heartbeat(bad), Err(Error::InvalidRequest { .. })));
    }
    check(&cluster, &infos);
}

#[test]
fn a_leader_on_an_unknown_or_removed_store_is_refused() {
    let (mut cluster, infos) = three_regions();
    cluster.put_store(&store(4)).unwrap();
    cluster.set_store_state(4, StoreState::Tombstone).unwrap();
    for (store_id, removed) in [(4, true), (5, false)] {
        let mut info = infos[0].clone();
        info.meta.peers.push(peer(1, store_id));
        epoch(&mut info).conf_ver += 1;
        info.leader = Some(peer(1, store_id));
        match cluster.region_heartbeat(heartbeat(&info)) {
            Err(Error::StoreTombstone { .. }) if removed => {}
            Err(Error::UnknownStore { .. }) if !removed => {}
            other => panic!("{other:?}"),
        }
    }
    check(&cluster, &infos);
}

#[test]
fn an_equally_new_region_on_the_same_keys_is_refused() {
    let (mut cluster, infos) = three_regions();
    let intruder = led(region(9, ("g", "k"), (2, 2), &[1]));
    assert!(matches!(cluster.region_heartbeat(heartbeat(&intruder)), Err(Error::Overlap { .. })));
    let older = led(region(9, ("g", "k"), (5, 1), &[1]));
    assert!(matches!(cluster.region_heartbeat(heartbeat(&older)), Err(Error::StaleRegion { .. })));
    check(&cluster, &infos);
}

#[test]
fn scans_start_inside_a_region_and_end_before_their_bound() {
    let (cluster, _) = three_regions();
    let ids = |start: &str, end: &str| {
        cluster.regions().scan(start.as_bytes(), end.as_bytes()).map(RegionInfo::id).collect::<Vec<_>>()
    };
    assert_eq!(ids("", ""), [1, 2, 3]);
    assert_eq!(ids("i", ""), [2, 3]);
    assert_eq!(ids("i", "q"), [2]);
    assert_eq!(ids("i", "qa"), [2, 3]);
    assert_eq!(ids("z", ""), [3]);
    assert_eq!(cluster.regions().find_previous(b"").map(RegionInfo::id), None);
    assert_eq!(cluster.regions().find_previous(b"z").map(RegionInfo::id), Some(2));
}
