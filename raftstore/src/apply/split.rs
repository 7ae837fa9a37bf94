//! A split, applied: one region becomes several, each with its own state, in one batch.
//!
//! Order (invariant WRITE-ORDER): the kv engine alone is written, and synced. The raft engine knows nothing of the new regions; a peer
//! without raft state begins at the initial index, so a crash right after the batch is repaired by the next start. The data stays where
//! it is: the parts share the engine.

use prost::Message;
use proto::{
    metapb::Region,
    raft_cmdpb::BatchSplitRequest,
    raft_serverpb::{PeerState, RegionLocalState},
};
use storage::{Cf, Engine};

use super::{ApplyRegion, ApplyWorker};
use crate::{error::Result, keys, message::ApplyResult, split::parts_of, store::bootstrap::put_first_state};

impl<E: Engine> ApplyWorker<E> {
    /// Splits a region whose epoch was checked. Returns its parts in key order.
    ///
    /// The outer error is fatal, the inner one a refusal.
    pub(super) fn split(
        &mut self,
        region: &mut ApplyRegion,
        request: &BatchSplitRequest,
    ) -> Result<Result<Vec<Region>>> {
        // lab:begin 3B apply::split  hint="which records change, and what may a crash leave of them?"
        let parts = match parts_of(&region.region, request) {
            Ok(parts) => parts,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut skipped = Vec::new();
        for part in &parts {
            if part.id == region.region.id {
                let state = PeerState::Normal as i32;
                let state = RegionLocalState { state, region: Some(part.clone()), ..Default::default() };
                self.batch.put(Cf::Raft, keys::region_state(part.id), state.encode_to_vec());
                continue;
            }
            if self.is_here_already(part)? {
                skipped.push(part.id);
                continue;
            }
            put_first_state(&mut self.batch, part);
        }
        self.must_sync = true;
        let (own, split_off) = parts.iter().cloned().partition::<Vec<_>, _>(|part| part.id == region.region.id);
        region.region = own.into_iter().next().expect("invariant S-SPLIT-IDS: one part keeps the id of the region");
        region.split_off = split_off;
        region.results.push(ApplyResult::Split { parts: parts.clone(), skipped });
        Ok(Ok(parts))
        // lab:end
    }

    /// Has this store a newer peer of a part's region, or a record of one, than the split would make? A region is younger than the split
    /// that makes it; so whatever is known of it was learned from others that have applied the split long ago.
    fn is_here_already(&self, part: &Region) -> Result<bool> {
        if self.kv.get(Cf::Raft, &keys::region_state(part.id))?.is_some() {
            return Ok(true);
        }
        let by_message = self.router.meta().lock().uninitialized(part.id);
        Ok(by_message.is_some_and(|id| !part.peers.iter().any(|peer| peer.id == id)))
    }
}
