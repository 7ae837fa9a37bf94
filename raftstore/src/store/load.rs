//! What a start makes of the records on disk.
//!
//! | state on disk | what the start does |
//! |---|---|
//! | Normal | loads the peer |
//! | Applying | does the rest of the snapshot, then loads the peer |
//! | Applying, and the snapshot is not whole | leaves it alone: the replica is out of order until it is replaced |
//! | Tombstone | clears the log, if the peer did not come to that |
//! | none | there is no peer |
//!
//! Data that belongs to no region is left over from a snapshot that was being restored, or from a peer that was being destroyed: it is
//! removed before anybody can come upon it.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use proto::{
    metapb::Region,
    raft_serverpb::{PeerState, RaftLocalState, RegionLocalState},
};
use slog::{error, info};
use storage::{Cf, Cursor, Durability, Engine, WriteBatch};

use super::region_states;
use crate::{
    batch::Router,
    error::{Error, Result},
    keys,
    log_writer::clear_region,
    peer::{Peer, PeerContext},
    peer_storage::read,
    snapshot::recover,
};

/// Loads all peers and hands them to the router.
pub(super) fn load_peers<E: Engine>(context: &Arc<PeerContext<E>>, router: &Router<E>) -> Result<()> {
    let mut out_of_order = BTreeSet::new();
    let mut regions = Vec::new();
    for state in region_states(&context.engines.kv)? {
        let Some(region) = state.region.clone() else { continue };
        let whole = match state.state() {
            PeerState::Normal => true,
            PeerState::Applying => finish_snapshot(context, &state)?,
            PeerState::Tombstone => {
                bury_again(context, region.id)?;
                continue;
            }
            _ => continue,
        };
        if whole {
            let peer = Peer::load(context.clone(), state)?;
            info!(context.logger, "loaded a peer"; "region" => peer.region_id(), "peer" => peer.peer().id,
                "applied" => peer.applied_index());
            context.meta.lock().put(region.clone());
            router.register(Box::new(peer));
        } else {
            out_of_order.insert(region.id);
        }
        regions.push(region);
    }
    context.snapshots.collect_at_start(|id| out_of_order.contains(&id.region_id))?;
    remove_stray_data(context, regions)
}

/// Finishes the snapshot that a region was restoring when the store stopped. Returns false if it is not whole: the region
/// then has no peer here that could do any harm, and the next start tries again.
fn finish_snapshot<E: Engine>(context: &PeerContext<E>, state: &RegionLocalState) -> Result<bool> {
    match recover::recover(&context.engines, &context.snapshots, state, &context.logger) {
        Ok(()) => {
            context.metrics.snapshots_restored.inc();
            Ok(true)
        }
        Err(error @ (Error::Snapshot(_) | Error::SnapshotIo(_))) => {
            let region = state.region.as_ref().map_or(0, |region| region.id);
            error!(context.logger, "a snapshot cannot be restored; the replica is out of order until it is replaced";
                "region" => region, "error" => %error);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A crash may have come between a peer's tombstone and the end of its log (invariant WRITE-ORDER).
///
/// A raft state without a log is that of an uninitialised peer, which may have come after the one of the tombstone: what it has promised is kept.
fn bury_again<E: Engine>(context: &PeerContext<E>, region_id: u64) -> Result<()> {
    // lab:begin 3B store::bury_again  hint="what may be left of a peer that has a tombstone?"
    let raft = &context.engines.raft;
    let state: Option<RaftLocalState> = read(raft, Cf::Default, &keys::raft_state(region_id))?;
    let (start, end) = (keys::raft_log(region_id, 0), keys::raft_log(region_id, u64::MAX));
    let mut log = raft.cursor(Cf::Default, Some(&start), Some(&end))?;
    log.seek_to_first();
    if log.valid() || state.is_some_and(|state| state.last_index > 0) {
        info!(context.logger, "clears the log of a removed peer"; "region" => region_id);
        let mut batch = WriteBatch::new();
        clear_region(&mut batch, region_id);
        raft.write(batch, Durability::Sync)?;
    }
    Ok(log.status()?)
    // lab:end
}

/// Removes the data between the regions.
fn remove_stray_data<E: Engine>(context: &PeerContext<E>, regions: Vec<Region>) -> Result<()> {
    let kv = &context.engines.kv;
    let mut batch = WriteBatch::new();
    for (start, end) in gaps(regions) {
        for cf in Cf::DATA {
            let upper = (!end.is_empty()).then_some(&end[..]);
            let mut cursor = kv.cursor(cf, Some(&start), upper)?;
            cursor.seek_to_first();
            if cursor.valid() {
                info!(context.logger, "removes data that belongs to no region"; "cf" => cf.name(), "start" => ?start, "end" => ?end);
                batch.delete_range(cf, start.clone(), end.clone());
            }
            cursor.status()?;
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    Ok(kv.write(batch, Durability::Sync)?)
}

/// The ranges that no region has. An empty end is unbounded.
fn gaps(mut regions: Vec<Region>) -> Vec<(Bytes, Bytes)> {
    regions.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    let (mut gaps, mut from) = (Vec::new(), Some(Bytes::new()));
    for region in regions {
        let Some(start) = from.take() else { break };
        if start < region.start_key {
            gaps.push((start, region.start_key));
        }
        from = (!region.end_key.is_empty()).then_some(region.end_key);
    }
    gaps.extend(from.map(|start| (start, Bytes::new())));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_is_left_between_regions() {
        let found = |bounds: &[(&'static str, &'static str)]| {
            let region = |(start, end): &(&'static str, &'static str)| Region {
                start_key: Bytes::from_static(start.as_bytes()),
                end_key: Bytes::from_static(end.as_bytes()),
                ..Default::default()
            };
            let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            gaps(bounds.iter().map(region).collect())
                .into_iter()
                .map(|(a, b)| format!("{}-{}", text(a), text(b)))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), ["-"]);
        assert_eq!(found(&[("", "")]), [""; 0]);
        assert_eq!(found(&[("m", ""), ("b", "g")]), ["-b", "g-m"]);
        assert_eq!(found(&[("", "g"), ("g", "m")]), ["m-"]);
    }
}
