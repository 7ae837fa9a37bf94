//! R-APPLY-SAME for the state itself: replicas that have applied the same entries hold the same data, at every moment and also
//! right after a crash (S-RESTART-EQ).
//!
//! The data that a store holds is compared with what the first store at the same applied index held. So an entry that was
//! applied twice, half or not at all shows at once, even where later writes would cover it up.

use std::collections::BTreeMap;
use std::hash::Hasher;

use prost::Message;
use proto::metapb::Region;
use proto::raft_serverpb::RaftApplyState;
use raftstore::keys;
use rustc_hash::FxHasher;
use storage::{Cf, Cursor, Engine, Reader};

use super::disk::SimDisk;

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
    /// Compares the data of `region` on `store`, which has all of it, with what others held at the same applied index. Returns that index.
    ///
    /// # Errors
    /// Which stores differ, at which index.
    pub fn check(&mut self, store: u64, region: &Region, kv: &SimDisk) -> Result<Option<u64>, String> {
        let snapshot = kv.snapshot();
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
    let (mut hasher, mut bytes, mut keys) = (FxHasher::default(), 0, 0);
    for cf in Cf::DATA {
        let Ok(mut cursor) = reader.cursor(cf, Some(&region.start_key), upper) else { continue };
        cursor.seek_to_first();
        while cursor.valid() {
            let value = cursor.value();
            hasher.write(cursor.key());
            hasher.write(&value[..value.len().min(HASHED_BYTES)]);
            hasher.write_usize(value.len());
            bytes += (cursor.key().len() + value.len()) as u64;
            keys += 1;
            cursor.next();
        }
    }
    Summary { digest: hasher.finish(), bytes, keys }
}
