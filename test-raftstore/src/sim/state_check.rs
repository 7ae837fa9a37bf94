//! R-APPLY-SAME for the state itself: replicas that have applied the same entries hold the same data, at every moment and also
//! right after a crash (S-RESTART-EQ).
//!
//! The data that a store holds is compared with what the first store at the same applied index held. So an entry that was
//! applied twice, half or not at all shows at once, even where later writes would cover it up.

use std::collections::BTreeMap;

use prost::Message;
use proto::metapb::Region;
use proto::raft_serverpb::{PeerState, RaftApplyState, RegionLocalState};
use raftstore::keys;
use storage::{Cf, Cursor, Engine, Reader};

use super::disk::SimDisk;
use crate::rng::{FNV_OFFSET, fnv1a_continue};

/// A value's head is unique in a run; its padding need not be hashed.
const HASHED_BYTES: usize = 64;

/// The data of a region at an applied index.
#[derive(Clone, Copy, Debug)]
struct AppliedState {
    sum: Summary,
    /// The store that held it first.
    store: u64,
}

/// What each region's data was at each applied index that some store stopped at.
#[derive(Debug, Default)]
pub struct AppliedStates {
    first: BTreeMap<(u64, u64), AppliedState>,
}

impl AppliedStates {
    /// Compares the data of `region` on `store` with what others held at the same applied index. Returns that index; `None` if the data is
    /// being replaced.
    ///
    /// # Errors
    /// Which stores differ, at which index.
    pub fn check(&mut self, store: u64, region: &Region, kv: &SimDisk) -> Result<Option<u64>, String> {
        let snapshot = kv.snapshot();
        let local = snapshot.get(Cf::Raft, &keys::region_state(region.id)).ok().flatten();
        let local = local.and_then(|value| RegionLocalState::decode(value).ok());
        if local.is_none_or(|local| local.state() != PeerState::Normal) {
            return Ok(None); // a snapshot is being restored: neither the old data nor the new
        }
        let state = snapshot.get(Cf::Raft, &keys::apply_state(region.id)).ok().flatten();
        let Some(state) = state.and_then(|value| RaftApplyState::decode(value).ok()) else { return Ok(None) };
        let sum = summarize(&snapshot, region);
        let now = AppliedState { sum, store };
        let first = *self.first.entry((region.id, state.applied_index)).or_insert(now);
        if first.sum.digest == sum.digest {
            return Ok(Some(state.applied_index));
        }
        Err(format!(
            "region {}: with everything applied up to {}, store {store} holds other data than store {} did",
            region.id, state.applied_index, first.store
        ))
    }

    /// Bytes and keys of a region with everything applied up to `index`, if a store has stopped there.
    pub fn size(&self, region: u64, index: u64) -> Option<(u64, u64)> {
        self.first.get(&(region, index)).map(|state| (state.sum.bytes, state.sum.keys))
    }
}

/// What the data of a region comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// A hash over all of it.
    pub digest: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// How many pairs.
    pub keys: u64,
}

pub(crate) fn summarize(reader: &impl Reader, region: &Region) -> Summary {
    let upper = (!region.end_key.is_empty()).then_some(region.end_key.as_ref());
    let (mut hash, mut bytes, mut keys) = (FNV_OFFSET, 0, 0);
    for cf in Cf::DATA {
        let Ok(mut cursor) = reader.cursor(cf, Some(&region.start_key), upper) else { continue };
        cursor.seek_to_first();
        while cursor.valid() {
            let value = cursor.value();
            hash = fnv1a_continue(hash, cursor.key());
            hash = fnv1a_continue(hash, &value[..value.len().min(HASHED_BYTES)]);
            hash = fnv1a_continue(hash, &(value.len() as u64).to_le_bytes());
            bytes += (cursor.key().len() + value.len()) as u64;
            keys += 1;
            cursor.next();
        }
    }
    Summary { digest: hash, bytes, keys }
}
