//! Keys of raftstore's own records.
//!
//! | engine, column family | key | value |
//! |---|---|---|
//! | both | `01` | `raft_serverpb.StoreIdent` |
//! | kv, `raft` | `02` region id | `raft_serverpb.RegionLocalState` |
//! | kv, `raft` | `03` region id | `raft_serverpb.RaftApplyState` |
//! | kv, `raft` | `04` region id | `raft_serverpb.RaftLocalState`, while a snapshot is being restored |
//! | raft, `default` | `02` region id | `raft_serverpb.RaftLocalState` |
//! | raft, `default` | `03` region id, index | `eraftpb.Entry` |
//!
//! Ids and indexes are 8 bytes, big endian, so that their order is the order of the keys.

use crate::error::{Error, Result};

const IDENT: u8 = 0x01;
const STATE: u8 = 0x02;
const DETAIL: u8 = 0x03;
const SNAPSHOT: u8 = 0x04;

/// Key of the store's identity, in both engines.
pub const STORE_IDENT: &[u8] = &[IDENT];

fn with_region(prefix: u8, region_id: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(prefix);
    key.extend_from_slice(&region_id.to_be_bytes());
    key
}

/// Key of a region's `RegionLocalState` in the kv engine.
pub fn region_state(region_id: u64) -> Vec<u8> {
    with_region(STATE, region_id)
}

/// All keys of `RegionLocalState` records: `[start, end)`.
pub fn region_state_range() -> (Vec<u8>, Vec<u8>) {
    (vec![STATE], vec![STATE + 1])
}

/// Region id of a [`region_state`] key.
///
/// # Errors
/// [`Error::Corrupted`] if it is no such key.
pub fn region_id_of_state(key: &[u8]) -> Result<u64> {
    match key.split_first() {
        Some((&STATE, id)) if id.len() == 8 => {
            Ok(u64::from_be_bytes(id.try_into().expect("invariant: eight bytes were just counted")))
        }
        _ => Err(Error::Corrupted(format!("{key:02x?} is not the key of a region state"))),
    }
}

/// Key of a region's `RaftApplyState` in the kv engine.
pub fn apply_state(region_id: u64) -> Vec<u8> {
    with_region(DETAIL, region_id)
}

/// Key of the copy of a region's `RaftLocalState` that the kv engine holds while a snapshot is being restored.
pub fn snapshot_raft_state(region_id: u64) -> Vec<u8> {
    with_region(SNAPSHOT, region_id)
}

/// Key of a region's `RaftLocalState` in the raft engine.
pub fn raft_state(region_id: u64) -> Vec<u8> {
    with_region(STATE, region_id)
}

/// Key of a log entry in the raft engine.
pub fn raft_log(region_id: u64, index: u64) -> Vec<u8> {
    let mut key = with_region(DETAIL, region_id);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_log_are_ordered_by_region_then_index() {
        let mut keys = vec![raft_log(2, 1), raft_log(1, 256), raft_log(1, 2), raft_log(1, 255)];
        keys.sort();
        assert_eq!(keys, vec![raft_log(1, 2), raft_log(1, 255), raft_log(1, 256), raft_log(2, 1)]);
    }

    #[test]
    fn region_id_survives_the_round_trip_and_strangers_are_refused() {
        assert_eq!(region_id_of_state(&region_state(77)).unwrap(), 77);
        assert!(region_id_of_state(&apply_state(77)).is_err());
        assert!(region_id_of_state(&[STATE, 1]).is_err());
    }
}
