//! What a store has promised is not forgotten with the record that says who promised it: part of WRITE-ORDER.
//!
//! The log of a region is of no use without the region's record in the kv engine, and an identity that is not in both engines gives way to a new
//! one. So the kv engine comes first in both cases: a log that stands there alone has lost what it belongs to. Checked whenever a store starts.

use raftstore::store::bootstrap::read_ident;
use raftstore::{Engines, keys};
use storage::{Cf, Reader};

use super::disk::{SimDisk, pairs};

/// The regions of which there is something in the raft engine, with the length of the key: that of a raft state, or of an entry.
fn regions_with_log(raft: &SimDisk) -> Vec<(u64, usize)> {
    let cursor = raft.cursor(Cf::Default, None, None);
    let keys = cursor.map(pairs).unwrap_or_default().into_iter().map(|(key, _)| key);
    keys.filter_map(|key| Some((u64::from_be_bytes(key.get(1..9)?.try_into().ok()?), key.len()))).collect()
}

/// Checks, before a store starts, that it does not get another identity in spite of what it has promised.
///
/// # Errors
/// It does.
pub fn check_identity(engines: &Engines<SimDisk>) -> Result<(), String> {
    let unknown = matches!(read_ident(engines), Ok(None));
    match regions_with_log(&engines.raft).first() {
        Some((region, _)) if unknown => Err(format!(
            "WRITE-ORDER: the identity of the store is lost, and it has promised something in region {region}"
        )),
        _ => Ok(()),
    }
}

/// Checks that each region with entries in the raft engine has a record in the kv engine.
///
/// # Errors
/// One that has none.
pub fn check_log_owners(engines: &Engines<SimDisk>) -> Result<(), String> {
    let known = |region| engines.kv.get(Cf::Raft, &keys::region_state(region)).ok().flatten().is_some();
    let entry = keys::raft_log(0, 0).len();
    let forgotten = regions_with_log(&engines.raft).into_iter().find(|(region, key)| *key == entry && !known(*region));
    match forgotten {
        Some((region, _)) => {
            Err(format!("there are log entries of region {region}, and the kv engine does not know it"))
        }
        None => Ok(()),
    }
}
