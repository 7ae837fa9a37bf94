//! Splits and merges as heartbeats and reports tell of them.

use super::*;

const STORES: &[u64] = &[1, 2, 3];

fn ids(cluster: &Cluster<MemEngine>) -> Vec<u64> {
    cluster.regions().iter().map(RegionInfo::id).collect()
}

#[test]
fn the_half_that_has_not_reported_is_a_hole() {
    for right_first in [true, false] {
        let mut cluster = bootstrapped(&MemEngine::new());
        // Region 1 ["", m) splits at "g": the new region 5 is the left half.
        let left = led(region(5, ("", "g"), (1, 2), STORES));
        let right = led(region(1, ("g", "m"), (1, 2), STORES));
        let (first, second) = if right_first { (&right, &left) } else { (&left, &right) };
        let (first_key, second_key) = if right_first { (b"h", b"a") } else { (b"a", b"h") };

        cluster.region_heartbeat(heartbeat(first)).unwrap();
        assert_eq!(cluster.regions().find(first_key), Some(first));
        assert_eq!(cluster.regions().find(second_key), None);
        assert_eq!(cluster.regions().find_previous(b"z").map(RegionInfo::id), right_first.then_some(1));

        // The parent's late heartbeat does not come back over its halves.
        let parent = led(region(1, ("", "m"), (1, 1), STORES));
        assert!(matches!(cluster.region_heartbeat(heartbeat(&parent)), Err(Error::StaleRegion { .. })));

        cluster.region_heartbeat(heartbeat(second)).unwrap();
        assert_eq!(ids(&cluster), [5, 1, 2]);
        assert_eq!(cluster.regions().find(second_key), Some(second));
    }
}

#[test]
fn a_reported_split_leaves_no_hole_and_keeps_the_known_leader() {
    let engine = MemEngine::new();
    let mut cluster = bootstrapped(&engine);
    cluster.region_heartbeat(heartbeat(&led(first_regions().remove(0)))).unwrap();
    let left = region(5, ("", "g"), (1, 2), STORES);
    let right = region(1, ("g", "m"), (1, 2), STORES);
    cluster.report_split(vec![left.clone(), right.clone()]).unwrap();
    assert_eq!(ids(&cluster), [5, 1, 2]);
    assert_eq!(cluster.regions().find(b"h").unwrap().leader, Some(peer(1, 1)));
    assert_eq!(cluster.regions().find(b"a").unwrap().leader, None);

    // A report that comes after the heartbeats, or twice, takes nothing away.
    cluster.region_heartbeat(heartbeat(&led(left.clone()))).unwrap();
    cluster.report_split(vec![left, right]).unwrap();
    assert_eq!(cluster.regions().find(b"a").unwrap().leader, Some(peer(5, 1)));
    cluster.report_split(vec![first_regions().remove(0)]).unwrap();
    assert_eq!(ids(&cluster), [5, 1, 2]);

    // The engine keeps the order of writes, so any prefix that survives a crash is free of overlap.
    for survivors in 0..=engine.unsynced() {
        open(&engine.crash_image(survivors));
    }
    assert_eq!(ids(&open(&engine.crash_image(usize::MAX))), [5, 1, 2]);
}

#[test]
fn a_split_gets_ids_for_each_region_and_each_peer() {
    let mut cluster = bootstrapped(&MemEngine::new());
    let parent = first_regions().remove(0);
    let ids = cluster.ask_split(&parent, 2).unwrap();
    let mut all: Vec<u64> = Vec::new();
    for id in &ids {
        assert_eq!(id.new_peer_ids.len(), STORES.len());
        all.push(id.new_region_id);
        all.extend(&id.new_peer_ids);
    }
    assert_eq!(all.len(), 8);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8, "no id twice");
    assert!(cluster.alloc_ids(1).unwrap() > *all.last().unwrap());
}

#[test]
fn a_split_of_a_stale_or_unknown_region_is_refused() {
    let mut cluster = bootstrapped(&MemEngine::new());
    let newer = led(region(1, ("", "m"), (1, 3), STORES));
    cluster.region_heartbeat(heartbeat(&newer)).unwrap();
    let stale = first_regions().remove(0);
    assert!(matches!(cluster.ask_split(&stale, 1), Err(Error::StaleRegion { .. })));
    assert!(matches!(cluster.ask_split(&newer.meta, 0), Err(Error::InvalidRequest { .. })));
    assert!(matches!(cluster.ask_split(&newer.meta, u32::MAX), Err(Error::InvalidRequest { .. })));
    cluster.ask_split(&newer.meta, 1).unwrap();

    // In a hole nobody knows the region.
    cluster.region_heartbeat(heartbeat(&led(region(1, ("g", "m"), (1, 4), STORES)))).unwrap();
    let unknown = region(8, ("a", "b"), (1, 4), STORES);
    assert!(matches!(cluster.ask_split(&unknown, 1), Err(Error::UnknownRegion { region_id: 8 })));
}

/// Splits every region in two; the new region takes the left half.
fn split_all(regions: &[RegionInfo], next_id: &mut u64, keys: &mut impl Iterator<Item = u32>) -> Vec<RegionInfo> {
    let mut halves = Vec::new();
    for info in regions {
        let version = info.epoch().version + 1;
        let low = u32::from_str_radix(std::str::from_utf8(&info.meta.start_key).unwrap(), 16).unwrap_or(0);
        let high = u32::from_str_radix(std::str::from_utf8(&info.meta.end_key).unwrap(), 16).unwrap_or(1 << 16);
        let middle = format!("{:04x}", low + (high - low) / 2 + keys.next().unwrap_or(0) % 2);
        let start = String::from_utf8(info.meta.start_key.to_vec()).unwrap();
        let end = String::from_utf8(info.meta.end_key.to_vec()).unwrap();
        *next_id += 1;
        halves.push(led(region(*next_id, (&start, &middle), (1, version), STORES)));
        halves.push(led(region(info.id(), (&middle, &end), (1, version), STORES)));
    }
    halves
}

/// Merges neighbours in pairs; the right one takes its left neighbour in.
fn merge_all(regions: &[RegionInfo]) -> Vec<RegionInfo> {
    let merge = |pair: &[RegionInfo]| match pair {
        [left, right] => {
            let mut meta = right.meta.clone();
            meta.start_key = left.meta.start_key.clone();
            let version = left.epoch().version.max(right.epoch().version) + 1;
            meta.region_epoch = Some(RegionEpoch { conf_ver: 1, version });
            led(meta)
        }
        one => one[0].clone(),
    };
    regions.chunks(2).map(merge).collect()
}

#[test]
fn every_lookup_is_right_through_rounds_of_splits_and_merges() {
    let mut cluster = open(&MemEngine::new());
    for id in STORES {
        cluster.put_store(&store(*id)).unwrap();
    }
    let whole = region(1, ("", ""), (1, 1), STORES);
    cluster.bootstrap(&store(1), vec![whole.clone()]).unwrap();
    let mut regions = vec![led(whole)];
    let mut next_id = 1;
    let mut keys = (0u32..).map(|at| at.wrapping_mul(2_654_435_761) >> 7);

    // Seven rounds of splits, seven of merges, then both in turns.
    let rounds = (0..7).map(|_| true).chain((0..7).map(|_| false)).chain((0..14).map(|round| round % 3 != 2));
    for split in rounds {
        regions = if split { split_all(&regions, &mut next_id, &mut keys) } else { merge_all(&regions) };
        for info in &regions {
            cluster.region_heartbeat(heartbeat(info)).unwrap();
            assert_eq!(cluster.regions().get(info.id()), Some(info));
            assert_eq!(cluster.regions().find(&info.meta.start_key), Some(info));
        }
        assert_eq!(cluster.regions().iter().cloned().collect::<Vec<_>>(), regions);
    }
}
