//! What the log makes of a region, worked out a second time beside the stores: the commands of each region's log are followed once, in
//! order, and every store must come to the same region at the same index.
//!
//! | id | rule | from |
//! |---|---|---|
//! | S-EPOCH-APPLY | a command whose epoch is not that of the region at its place in the log changes nothing, on no store; one whose epoch fits makes the same of the region everywhere | Raft, section 5.4.3; TiKV, `check_region_epoch` on apply |
//! | S-KEY-APPLY | what is written by a region lies in its range at that index | TiKV, `check_key_in_region` on apply |
//!
//! The entries are read from the store that comes to an index first, right after it has applied them: its log cannot have let go of them
//! yet, and nobody was told of the outcome. So a value that is refused there can be nowhere on that store, for no client
//! writes a value twice before it is told so.

use std::collections::BTreeMap;

use prost::Message;
use proto::eraftpb::{Entry, EntryType};
use proto::metapb::{Region, RegionEpoch};
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, RaftCmdRequest, Request};
use raftstore::keys;
use raftstore::membership::{changes_of, decode, region_after};
use raftstore::split::parts_of;
use storage::{Cf, Reader};

use super::disk::SimDisk;

/// The course of one region.
#[derive(Debug)]
struct Course {
    /// Its log was followed to here.
    index: u64,
    /// The region from an index on.
    regions: BTreeMap<u64, Region>,
}

impl Course {
    fn from(index: u64, region: &Region) -> Self {
        Self { index, regions: BTreeMap::from([(index, region.clone())]) }
    }

    fn at(&self, index: u64) -> Option<&Region> {
        self.regions.range(..=index).next_back().map(|(_, region)| region)
    }

    /// Follows one entry. Returns the writes of it that must have had no effect.
    fn follow(&mut self, entry: &Entry) -> Vec<Request> {
        self.index = entry.index;
        let (Some(now), Some(command)) = (self.at(entry.index), command_of(entry)) else { return Vec::new() };
        let sent = command.header.as_ref().and_then(|header| header.region_epoch).unwrap_or_default();
        let Some(admin) = command.admin_request else {
            return if is_lawful(now, &sent, &command.requests) { Vec::new() } else { command.requests };
        };
        if let Some(next) = region_behind(now, &sent, &admin) {
            self.regions.insert(entry.index, next);
        }
        Vec::new()
    }
}

/// The courses of all regions.
#[derive(Debug)]
pub struct RegionHistory {
    courses: BTreeMap<u64, Course>,
    /// No value is written twice on purpose.
    values_are_unique: bool,
    /// How often the log of the first store that came to an index had let go of an entry; its word was taken then.
    pub believed: u64,
}

impl RegionHistory {
    /// Nothing was seen yet.
    pub fn new(values_are_unique: bool) -> Self {
        Self { courses: BTreeMap::new(), values_are_unique, believed: 0 }
    }

    /// Follows the log as far as a store has, and compares its record of the region with what came of that.
    ///
    /// # Errors
    /// The rule that is broken, and how.
    pub fn check(
        &mut self,
        region: &Region,
        applied: u64,
        raft: &SimDisk,
        kv: &SimDisk,
    ) -> Result<(), (&'static str, String)> {
        let course = self.courses.entry(region.id).or_insert_with(|| Course::from(applied, region));
        while course.index < applied {
            let index = course.index + 1;
            let found = raft.get(Cf::Default, &keys::raft_log(region.id, index)).ok().flatten();
            let Some(entry) = found.and_then(|value| Entry::decode(value).ok()) else {
                *course = Course::from(applied, region);
                self.believed += 1;
                break;
            };
            let refused = course.follow(&entry);
            if self.values_are_unique
                && let Some(request) = refused.into_iter().find(|request| has_effect(request, kv))
            {
                let now = course.at(index);
                return Err((
                    "S-KEY-APPLY",
                    format!("entry {index} was applied to {now:?}, and has written {request:?}"),
                ));
            }
        }
        match course.at(applied) {
            Some(expected) if expected != region => Err((
                "S-EPOCH-APPLY",
                format!("with everything applied up to {applied} the log makes {expected:?} of what is {region:?}"),
            )),
            _ => Ok(()),
        }
    }
}

fn command_of(entry: &Entry) -> Option<RaftCmdRequest> {
    match entry.entry_type() {
        _ if entry.data.is_empty() => None,
        EntryType::EntryNormal => RaftCmdRequest::decode(entry.data.clone()).ok(),
        _ => decode(entry).ok().map(|(command, _)| command),
    }
}

/// May these requests be applied to this region?
fn is_lawful(region: &Region, sent: &RegionEpoch, requests: &[Request]) -> bool {
    let inside = |key: &[u8]| *key >= *region.start_key && (region.end_key.is_empty() || *key < *region.end_key);
    let same_range = region.region_epoch.is_some_and(|epoch| epoch.version == sent.version);
    same_range && requests.iter().filter_map(key_of).all(inside)
}

/// The region behind an admin command; `None` if it stays as it is.
fn region_behind(region: &Region, sent: &RegionEpoch, admin: &AdminRequest) -> Option<Region> {
    let now = region.region_epoch.unwrap_or_default();
    let same_members = now.conf_ver == sent.conf_ver;
    let same_range = now.version == sent.version;
    match admin.cmd_type() {
        AdminCmdType::ChangePeer | AdminCmdType::ChangePeerV2 if same_members => {
            region_after(region, changes_of(admin)?).ok()
        }
        AdminCmdType::BatchSplit if same_members && same_range => {
            let parts = parts_of(region, admin.splits.as_ref()?).ok()?;
            parts.into_iter().find(|part| part.id == region.id)
        }
        _ => None,
    }
}

fn key_of(request: &Request) -> Option<&[u8]> {
    let put = request.put.as_ref().map(|put| &put.key);
    let delete = request.delete.as_ref().map(|delete| &delete.key);
    let swap = request.compare_and_swap.as_ref().map(|swap| &swap.key);
    put.or(delete).or(swap).map(|key| &key[..])
}

/// Does a store hold what a request writes?
fn has_effect(request: &Request, kv: &SimDisk) -> bool {
    let put = request.put.as_ref().map(|put| (&put.cf, &put.key, &put.value));
    let swap = request.compare_and_swap.as_ref().map(|swap| (&swap.cf, &swap.key, &swap.value));
    let Some((cf, key, value)) = put.or(swap) else { return false };
    let held = Cf::from_name(cf).and_then(|cf| kv.get(cf, key).ok().flatten());
    held.as_ref() == Some(value)
}

#[cfg(test)]
mod tests {
    use proto::metapb::Peer;
    use proto::raft_cmdpb::{BatchSplitRequest, CmdType, PutRequest, RaftRequestHeader, SplitRequest};
    use raftstore::split::bound_for_raw;
    use storage::{Durability, Engine, WriteBatch};

    use super::*;

    fn region(version: u64) -> Region {
        let peers = vec![Peer { id: 2, store_id: 1, ..Peer::default() }];
        let region_epoch = Some(RegionEpoch { conf_ver: 1, version });
        Region { id: 1, peers, region_epoch, ..Region::default() }
    }

    fn command(version: u64) -> RaftCmdRequest {
        let region_epoch = Some(RegionEpoch { conf_ver: 1, version });
        RaftCmdRequest { header: Some(RaftRequestHeader { region_epoch, ..Default::default() }), ..Default::default() }
    }

    fn put(version: u64, key: &'static str) -> RaftCmdRequest {
        let put = PutRequest { cf: "raw".to_owned(), key: key.into(), value: "new".into() };
        let request = Request { cmd_type: CmdType::Put as i32, put: Some(put), ..Default::default() };
        RaftCmdRequest { requests: vec![request], ..command(version) }
    }

    /// A split before `k`, of which the right part keeps the id.
    fn split(version: u64) -> RaftCmdRequest {
        let split_key = bound_for_raw(b"k").unwrap();
        let request = SplitRequest { split_key, new_region_id: 7, new_peer_ids: vec![8], ..Default::default() };
        let splits = Some(BatchSplitRequest { requests: vec![request], right_derive: true, ..Default::default() });
        let admin = AdminRequest { cmd_type: AdminCmdType::BatchSplit as i32, splits, ..Default::default() };
        RaftCmdRequest { admin_request: Some(admin), ..command(version) }
    }

    fn right_part() -> Region {
        Region { start_key: bound_for_raw(b"k").unwrap(), ..region(2) }
    }

    /// A log that begins at index 6, on a store that holds these keys.
    fn store(log: &[RaftCmdRequest], held: &[&'static str]) -> (SimDisk, SimDisk) {
        let (raft, kv) = (SimDisk::new(None), SimDisk::new(None));
        let mut batch = WriteBatch::new();
        for (index, command) in (6..).zip(log) {
            let entry = Entry { index, term: 5, data: command.encode_to_vec().into(), ..Entry::default() };
            batch.put(Cf::Default, keys::raft_log(1, index), entry.encode_to_vec());
        }
        raft.write(batch, Durability::Sync).unwrap();
        let mut batch = WriteBatch::new();
        held.iter().for_each(|key| batch.put(Cf::Raw, *key, "new"));
        kv.write(batch, Durability::Sync).unwrap();
        (raft, kv)
    }

    /// What is said of a store that begins with the whole key space, follows a log, and then says that its region is this one.
    fn verdict(log: &[RaftCmdRequest], held: &[&'static str], says: &Region) -> &'static str {
        let mut history = RegionHistory::new(true);
        let (raft, kv) = store(log, held);
        history.check(&region(1), 5, &raft, &kv).unwrap();
        history.check(says, 5 + log.len() as u64, &raft, &kv).map_or_else(|(id, _)| id, |()| "held")
    }

    #[test]
    fn a_write_outside_of_the_region_of_its_index_has_no_effect() {
        let log = [put(1, "a"), split(1), put(2, "z"), put(2, "b"), put(1, "y")];
        assert_eq!(verdict(&log, &["a", "z"], &right_part()), "held");
        assert_eq!(verdict(&log, &["a", "z", "b"], &right_part()), "S-KEY-APPLY", "b is in the other part");
        assert_eq!(verdict(&log, &["a", "z", "y"], &right_part()), "S-KEY-APPLY", "y was meant for the region before");
    }

    #[test]
    fn a_stale_command_changes_nothing_and_a_fitting_one_the_same_everywhere() {
        assert_eq!(verdict(&[split(1)], &[], &right_part()), "held");
        assert_eq!(verdict(&[split(1)], &[], &region(1)), "S-EPOCH-APPLY", "the split was not made");
        assert_eq!(verdict(&[split(2)], &[], &region(1)), "held");
        assert_eq!(verdict(&[split(2)], &[], &right_part()), "S-EPOCH-APPLY");
    }

    #[test]
    fn stores_that_come_later_are_compared_with_the_first() {
        let mut history = RegionHistory::new(true);
        let (raft, kv) = store(&[put(1, "a"), split(1), put(2, "z")], &[]);
        history.check(&region(1), 5, &raft, &kv).unwrap();
        history.check(&right_part(), 8, &raft, &kv).unwrap();
        assert_eq!(history.check(&region(1), 6, &raft, &kv), Ok(()));
        assert_eq!(history.check(&right_part(), 7, &raft, &kv), Ok(()));
        assert_eq!(history.check(&right_part(), 6, &raft, &kv).map_err(|(id, _)| id), Err("S-EPOCH-APPLY"));
        // Behind an entry that is nowhere to be found, the word of the first store counts.
        assert_eq!(history.check(&region(9), 12, &raft, &kv), Ok(()));
        assert_eq!(history.believed, 1);
    }
}
