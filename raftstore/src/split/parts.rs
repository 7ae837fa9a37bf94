//! What becomes of a region that is cut. Pure, so that every replica comes to the same parts.

use proto::{
    metapb::{Peer, Region, RegionEpoch},
    raft_cmdpb::BatchSplitRequest,
};

use super::bound::check_split_keys;
use crate::error::{Error, Result};

/// The parts of `region` in key order. One of them keeps its id: the last one if the request says so, else the first. All get the same
/// epoch, with the version moved on by the number of new regions, and a peer on each store that had one.
///
/// # Errors
/// [`Error::AdminRefused`] if the keys do not cut the region (S-SPLIT-KEY) or the ids do not fit it (S-SPLIT-IDS).
pub fn parts_of(region: &Region, request: &BatchSplitRequest) -> Result<Vec<Region>> {
    // lab:begin 3B split::parts_of  hint="which bounds, which ids, which epoch? and what may not be taken from the old region?"
    check_split_keys(region, request.requests.iter().map(|r| &r.split_key))?;
    check_ids(region, request)?;
    let epoch = region.region_epoch.unwrap_or_default();
    let version = epoch.version + request.requests.len() as u64;
    let region_epoch = Some(RegionEpoch { version, ..epoch });
    let new_parts = request.requests.iter().map(|new| Region {
        id: new.new_region_id,
        peers: region.peers.iter().zip(&new.new_peer_ids).map(|(peer, id)| Peer { id: *id, ..*peer }).collect(),
        ..region.clone()
    });
    let mut parts: Vec<Region> = match request.right_derive {
        true => new_parts.chain([region.clone()]).collect(),
        false => [region.clone()].into_iter().chain(new_parts).collect(),
    };
    let cuts = || request.requests.iter().map(|r| r.split_key.clone());
    let starts = [region.start_key.clone()].into_iter().chain(cuts());
    let ends = cuts().chain([region.end_key.clone()]);
    for ((part, start_key), end_key) in parts.iter_mut().zip(starts).zip(ends) {
        (part.start_key, part.end_key, part.region_epoch) = (start_key, end_key, region_epoch);
    }
    Ok(parts)
    // lab:end
}

/// As many peer ids as peers for each new region, and no id twice.
fn check_ids(region: &Region, request: &BatchSplitRequest) -> Result<()> {
    let refuse = |reason: String| Err(Error::AdminRefused { region_id: region.id, reason });
    let mut regions = vec![region.id];
    let mut peers: Vec<u64> = region.peers.iter().map(|peer| peer.id).collect();
    for new in &request.requests {
        let (ids, members) = (new.new_peer_ids.len(), region.peers.len());
        if ids != members {
            return refuse(format!("{ids} peer ids for a new region of {members} peers"));
        }
        regions.push(new.new_region_id);
        peers.extend(&new.new_peer_ids);
    }
    for ids in [&mut regions, &mut peers] {
        ids.sort_unstable();
        if ids.first() == Some(&0) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("the ids of its parts are missing or not unique".to_owned());
        }
    }
    Ok(())
}
