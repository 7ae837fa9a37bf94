//! What a kv disk says of the regions of its store, decoded once for each time that it says something else.
//!
//! The rules look at these records after nearly every step, and few steps change them.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_serverpb::{PeerState, RegionLocalState};
use raftstore::keys;
use raftstore::store::region_states;
use storage::{Cf, MemEngine, Reader};

use super::disk::pairs;

/// The records of one store, ordered by region id. Whoever holds the same `Arc` as before has seen them.
pub type Records = Arc<[RegionLocalState]>;

/// Remembers the records of one store.
#[derive(Default)]
pub struct RecordCache {
    last: RefCell<Decoded>,
}

#[derive(Default)]
struct Decoded {
    /// That of the engine.
    version: Option<u64>,
    pairs: Vec<(Bytes, Bytes)>,
    states: Records,
}

impl RecordCache {
    /// The records as they are now; none if one of them does not decode.
    pub fn get(&self, kv: &MemEngine) -> Records {
        let mut last = self.last.borrow_mut();
        let version = Some(kv.version());
        if last.version != version {
            last.version = version;
            let pairs = encoded(kv);
            if last.pairs != pairs {
                last.pairs = pairs;
                last.states = region_states(kv).unwrap_or_default().into();
            }
        }
        last.states.clone()
    }
}

fn encoded(kv: &MemEngine) -> Vec<(Bytes, Bytes)> {
    let (start, end) = keys::region_state_range();
    kv.cursor(Cf::Raft, Some(&start), Some(&end)).map(pairs).unwrap_or_default()
}

/// The record of a region.
pub fn of_region(states: &[RegionLocalState], region: u64) -> Option<&RegionLocalState> {
    let id = |state: &RegionLocalState| state.region.as_ref().map_or(0, |region| region.id);
    states.binary_search_by_key(&region, id).ok().map(|place| &states[place])
}

/// The regions of records that are no tombstones.
pub fn in_use(states: &[RegionLocalState]) -> Vec<&Region> {
    let states = states.iter().filter(|state| state.state() != PeerState::Tombstone);
    states.filter_map(|state| state.region.as_ref()).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use storage::{Durability, Engine, WriteBatch};

    use super::*;

    fn put(kv: &MemEngine, region: u64, end_key: &'static str) {
        let region = Region { id: region, end_key: end_key.into(), ..Region::default() };
        let mut batch = WriteBatch::new();
        let key = keys::region_state(region.id);
        batch.put(Cf::Raft, key, RegionLocalState { region: Some(region), ..Default::default() }.encode_to_vec());
        kv.write(batch, Durability::Buffered).unwrap();
    }

    fn ends(records: &Records) -> Vec<&[u8]> {
        in_use(records).into_iter().map(|region| &region.end_key[..]).collect()
    }

    #[test]
    fn records_are_those_of_the_moment() {
        let (kv, cache) = (MemEngine::new(), RecordCache::default());
        assert!(cache.get(&kv).is_empty());
        put(&kv, 2, "m");
        put(&kv, 9, "");
        let both = cache.get(&kv);
        assert_eq!(ends(&both), [&b"m"[..], b""]);
        put(&kv, 2, "m");
        assert!(Arc::ptr_eq(&both, &cache.get(&kv)), "nothing new was written");
        kv.sync().unwrap();
        put(&kv, 2, "g");
        assert_eq!(ends(&cache.get(&kv)), [&b"g"[..], b""]);
        assert_eq!(ends(&cache.get(&kv.crash(0))), [&b"m"[..], b""], "a crash takes back what was not synced");
        assert_eq!(of_region(&both, 9).and_then(|state| state.region.as_ref()).map(|region| region.id), Some(9));
        assert_eq!(of_region(&both, 3), None);
    }
}
