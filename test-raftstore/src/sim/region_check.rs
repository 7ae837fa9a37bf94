//! Rules about the regions of all stores, checked on their records after every apply and restart.
//!
//! | id | rule |
//! |---|---|
//! | S-DISJOINT | the regions of a store do not overlap |
//! | S-EPOCH | on a store, no part of a region's epoch ever goes back; everywhere, a region of one epoch has one range and one set of peers |
//! | S-SPLIT-IDS | a peer id belongs to one region and one store |
//! | S-COVER | at the end, the newest regions cover the key space without gap or overlap |

use std::collections::BTreeMap;

use proto::metapb::{Region, RegionEpoch};

/// What was seen of the regions so far.
#[derive(Debug, Default)]
pub struct RegionRecords {
    /// The last epoch of each region on each store.
    epochs: BTreeMap<(u64, u64), RegionEpoch>,
    /// The region at each of its epochs.
    known: BTreeMap<(u64, u64, u64), Region>,
    /// Region and store of each peer.
    peers: BTreeMap<u64, (u64, u64)>,
}

impl RegionRecords {
    /// Checks the records of one store.
    ///
    /// # Errors
    /// The rule and what is wrong.
    pub fn check(&mut self, store: u64, regions: &[&Region]) -> Result<(), (&'static str, String)> {
        check_disjoint(regions).map_err(|details| ("S-DISJOINT", format!("store {store}: {details}")))?;
        for region in regions {
            self.check_epoch(store, region).map_err(|details| ("S-EPOCH", format!("store {store}: {details}")))?;
            self.check_ids(region).map_err(|details| ("S-SPLIT-IDS", format!("store {store}: {details}")))?;
        }
        Ok(())
    }

    fn check_epoch(&mut self, store: u64, region: &Region) -> Result<(), String> {
        let epoch = region.region_epoch.unwrap_or_default();
        let last = self.epochs.insert((store, region.id), epoch).unwrap_or_default();
        if epoch.version < last.version || epoch.conf_ver < last.conf_ver {
            return Err(format!("region {} went from {last:?} back to {epoch:?}", region.id));
        }
        let known = self.known.entry((region.id, epoch.version, epoch.conf_ver)).or_insert_with(|| region.clone());
        if known != region {
            return Err(format!("{region:?} has the epoch of {known:?}"));
        }
        Ok(())
    }

    fn check_ids(&mut self, region: &Region) -> Result<(), String> {
        for peer in &region.peers {
            let place = *self.peers.entry(peer.id).or_insert((region.id, peer.store_id));
            if place != (region.id, peer.store_id) {
                return Err(format!("peer {} of {region:?} belongs to (region, store) {place:?}", peer.id));
            }
        }
        Ok(())
    }
}

fn sorted<'a>(regions: &[&'a Region]) -> Vec<&'a Region> {
    let mut sorted = regions.to_vec();
    sorted.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    sorted
}

fn check_disjoint(regions: &[&Region]) -> Result<(), String> {
    let overlap = |pair: &[&Region]| pair[0].end_key.is_empty() || pair[0].end_key > pair[1].start_key;
    match sorted(regions).windows(2).find(|pair| overlap(pair)) {
        Some(pair) => Err(format!("{:?} overlaps {:?}", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// Do these regions cover the key space without gap or overlap?
///
/// # Errors
/// Where they do not.
pub fn check_cover(regions: &[Region]) -> Result<(), String> {
    let mut covered_to = Some(&[][..]);
    for region in sorted(&regions.iter().collect::<Vec<_>>()) {
        if covered_to != Some(&region.start_key[..]) {
            return Err(format!("{region:?} does not begin where the regions before it end, at {covered_to:?}"));
        }
        covered_to = (!region.end_key.is_empty()).then_some(&region.end_key[..]);
    }
    match covered_to {
        None => Ok(()),
        Some(end) => Err(format!("there is no region behind {end:?}")),
    }
}

#[cfg(test)]
mod tests {
    use proto::metapb::Peer;

    use super::*;

    fn region(id: u64, start: &'static str, end: &'static str, version: u64) -> Region {
        Region {
            id,
            start_key: start.into(),
            end_key: end.into(),
            region_epoch: Some(RegionEpoch { conf_ver: 1, version }),
            peers: vec![Peer { id: id * 10, store_id: 1, ..Default::default() }],
            ..Default::default()
        }
    }

    fn rule(records: &mut RegionRecords, regions: &[Region]) -> &'static str {
        records.check(1, &regions.iter().collect::<Vec<_>>()).map_or_else(|(rule, _)| rule, |()| "held")
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let mut records = RegionRecords::default();
        assert_eq!(rule(&mut records, &[region(1, "", "m", 1), region(2, "m", "", 1)]), "held");
        assert_eq!(rule(&mut records, &[region(1, "g", "m", 2), region(3, "", "g", 2)]), "held");
        assert_eq!(rule(&mut records, &[region(1, "", "m", 1)]), "S-EPOCH");
        assert_eq!(rule(&mut records, &[region(3, "", "f", 2)]), "S-EPOCH");
        assert_eq!(rule(&mut records, &[region(3, "", "g", 2), region(1, "f", "m", 3)]), "S-DISJOINT");
        let stolen = Region { peers: region(1, "", "", 1).peers, ..region(4, "g", "h", 3) };
        assert_eq!(rule(&mut records, &[stolen]), "S-SPLIT-IDS");
    }

    #[test]
    fn a_cover_has_neither_gap_nor_overlap() {
        let cover = |bounds: &[(&'static str, &'static str)]| {
            let regions: Vec<Region> = bounds.iter().map(|(start, end)| region(1, start, end, 1)).collect();
            check_cover(&regions).is_ok()
        };
        assert!(cover(&[("g", ""), ("", "g")]));
        for wrong in [&[][..], &[("", "g")], &[("g", "")], &[("", "g"), ("h", "")], &[("", "g"), ("f", "")]] {
            assert!(!cover(wrong), "{wrong:?}");
        }
    }
}
