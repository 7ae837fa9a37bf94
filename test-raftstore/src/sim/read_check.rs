//! S-READ-REGION: the region that comes with a read is the one in force where the read takes place, that is: the one whose record is in the
//! same snapshot (TiKV hands out the region of the moment of the snapshot as well). Checked on every read that is answered.
//!
//! It cannot change afterwards, for the type says so: nobody can write to what an `Arc` shares.

use prost::Message;
use proto::metapb::Region;
use proto::raft_serverpb::RegionLocalState;
use raftstore::{RegionSnapshot, keys};
use storage::{Cf, Reader};

/// Compares the region of a read with the record in its snapshot.
///
/// # Errors
/// What both say.
pub fn check_read<S: Reader>(read: &RegionSnapshot<S>) -> Result<(), String> {
    let record = read.snapshot.get(Cf::Raft, &keys::region_state(read.region.id)).ok().flatten();
    let record: Option<Region> =
        record.and_then(|value| RegionLocalState::decode(value).ok()).and_then(|state| state.region);
    match record.as_ref() == Some(&*read.region) {
        true => Ok(()),
        false => Err(format!("a read is handed {:?}, and its snapshot is of {record:?}", read.region)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::{Durability, Engine, MemEngine, WriteBatch};

    use super::*;

    #[test]
    fn a_region_of_another_moment_is_noticed() {
        let region = |end: &'static str| Region { id: 7, end_key: end.into(), ..Region::default() };
        let engine = MemEngine::new();
        let state = RegionLocalState { region: Some(region("m")), ..Default::default() };
        let mut batch = WriteBatch::new();
        batch.put(Cf::Raft, keys::region_state(7), state.encode_to_vec());
        engine.write(batch, Durability::Sync).unwrap();
        let check = |region| check_read(&RegionSnapshot { snapshot: engine.snapshot(), region: Arc::new(region) });
        assert_eq!(check(region("m")), Ok(()));
        assert!(check(region("")).is_err(), "as it was before a split");
        assert!(check(Region { id: 8, ..region("m") }).is_err(), "which is not in the snapshot");
    }
}
