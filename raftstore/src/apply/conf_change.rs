//! A change of members, applied; and the end of the peer that is removed by it.
//!
//! Order (invariant WRITE-ORDER): the region's state is in the same batch as the apply state, and synced, so that no epoch ever goes back. For the peer that is removed, the batch holds
//! its tombstone and removes its data, and is synced at once; the raft log goes later, so that a crash in between leaves a tombstone and a log
//! that nobody reads.
//!
//! Nothing is applied behind the own removal (S-APPLY-STOP): the region no longer concerns this store, and what comes next may contradict what it
//! has.

use prost::Message;
use proto::{
    eraftpb::{ConfChangeV2, Entry},
    metapb::{Peer, Region},
    raft_cmdpb::ChangePeerRequest,
    raft_serverpb::{PeerState, RegionLocalState},
};
use storage::{Cf, Engine};

use super::{ApplyRegion, ApplyWorker};
use crate::{
    error::Result,
    keys,
    membership::region_after,
    message::{Applied, ApplyResult, DestroyTask},
    peer_storage::read,
    split::Growth,
    store::put_tombstone,
};

impl<E: Engine> ApplyWorker<E> {
    /// Changes the members of a region whose epoch was checked. Returns the region after it, or the refusal.
    pub(super) fn change_members(
        &mut self,
        region: &mut ApplyRegion,
        entry: &Entry,
        changes: &[ChangePeerRequest],
        raft: ConfChangeV2,
    ) -> Result<Region> {
        // lab:begin 3B apply::change_members  hint="which records change? and if this very peer goes?"
        let next = region_after(&region.region, changes)?;
        region.region = next.clone();
        match next.peers.iter().find(|peer| peer.id == region.peer.id) {
            Some(own) => region.peer = *own,
            None => {
                region.removed_by = Some((entry.index, entry.term));
                return Ok(next);
            }
        }
        let state = PeerState::Normal as i32;
        let state = RegionLocalState { state, region: Some(next.clone()), ..Default::default() };
        self.batch.put(Cf::Raft, keys::region_state(next.id), state.encode_to_vec());
        self.must_sync = true;
        region.results.push(ApplyResult::MembersChanged {
            change: ConfChangeV2 { context: Default::default(), ..raft },
            region: Box::new(next.clone()),
        });
        Ok(next)
        // lab:end
    }

    /// Removes a peer that has missed its removal.
    pub(super) fn destroy(&mut self, task: DestroyTask) -> Result<()> {
        // lab:begin 3B apply::destroy  hint="what has this store of the region: everything, half a snapshot, a tombstone, nothing?"
        let DestroyTask { region, peer } = task;
        let id = region.id;
        let record: Option<RegionLocalState> = read(&self.kv, Cf::Raft, &keys::region_state(id))?;
        match record.as_ref().map(RegionLocalState::state) {
            Some(PeerState::Normal) => {
                let known = self.take(id)?.filter(|known| known.peer.id == peer.id);
                let known =
                    known.unwrap_or_else(|| panic!("invariant S-TOMB: peer {} is not that of region {id}", peer.id));
                self.bury(known, (0, 0))
            }
            // It has come to its own removal meanwhile.
            Some(PeerState::Tombstone) if is_tombstone_of(record.as_ref(), &peer) => Ok(()),
            // Half of a snapshot: the range of the snapshot's region goes, and that of the region before.
            Some(PeerState::Applying) => {
                let restored = record.and_then(|record| record.region).unwrap_or_default();
                self.regions.remove(&id);
                put_tombstone(&mut self.batch, &region, peer, (0, 0));
                self.end(&restored, peer, (0, 0), Vec::new())
            }
            // The peer was never initialised, so it has no data.
            _ => self.end(&region, peer, (0, 0), Vec::new()),
        }
        // lab:end
    }

    /// Removes a region from this store, on disk at once. What was applied so far is told to the peer along with it.
    pub(super) fn bury(&mut self, region: ApplyRegion, removed_by: (u64, u64)) -> Result<()> {
        self.end(&region.region, region.peer, removed_by, region.results)
    }

    fn end(
        &mut self,
        region: &Region,
        peer: Peer,
        removed_by: (u64, u64),
        mut results: Vec<ApplyResult>,
    ) -> Result<()> {
        // lab:begin 3B apply::end  hint="synced, before anybody is told"
        put_tombstone(&mut self.batch, region, peer, removed_by);
        self.must_sync = true;
        results.push(ApplyResult::Buried { removed_by });
        self.flush()?;
        self.buried.push((region.id, Applied { index: removed_by.0, results, growth: Growth::default() }));
        Ok(())
        // lab:end
    }
}

fn is_tombstone_of(record: Option<&RegionLocalState>, peer: &Peer) -> bool {
    record.is_some_and(|record| record.removed_records.iter().any(|removed| removed.id == peer.id))
}
