//! What a change of a disk is about: a name that one understands, and the rows of the write-order table that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use proto::eraftpb::Entry;
use proto::raft_serverpb::{PeerState, RaftApplyState, RaftLocalState, RegionLocalState};
use raftstore::keys;
use raftstore::region::INITIAL_INDEX;
use storage::{Cf, Durability, WriteBatch, WriteOp};

use super::rows::{Mark, Row};
use super::watch::Disk;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What it is.
    pub name: String,
    /// Where it stands in the table.
    pub marks: BTreeSet<Mark>,
}

/// What a batch does to a record of raftstore.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Ident,
    State { region: u64, state: PeerState },
    Apply { region: u64, applied: u64, truncated: u64 },
    ApplyGone(u64),
    RaftCopy(u64),
    RaftCopyGone(u64),
    Raft { region: u64, term: u64, vote: u64, last: u64 },
    RaftGone(u64),
    Entry { region: u64, index: u64 },
    EntryGone { region: u64, index: u64 },
    LogGone { region: u64, from: u64, to: u64 },
    Data(Data),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Data {
    Range,
    Put,
    Deleted,
}

impl Data {
    fn name(self) -> &'static str {
        match self {
            Self::Range => "ranges of data removed",
            Self::Put => "pairs put",
            Self::Deleted => "pairs deleted",
        }
    }
}

/// A change of an engine by a batch.
pub fn of_batch(disk: Disk, batch: &WriteBatch, durability: Durability) -> Description {
    match disk {
        Disk::Raft => of_raft(batch, durability),
        Disk::Kv | Disk::Files => of_kv(batch, durability),
    }
}

fn of_kv(batch: &WriteBatch, durability: Durability) -> Description {
    let records: Vec<Record> = batch.ops().iter().map(kv_record).collect();
    let mut marks = BTreeSet::new();
    if records.is_empty() {
        return of_sync(Disk::Kv);
    }
    let has = |record: &Record| records.contains(record);
    let first = |region: u64| has(&Record::Apply { region, applied: INITIAL_INDEX, truncated: INITIAL_INDEX });
    let states: Vec<(u64, PeerState)> = records
        .iter()
        .filter_map(|record| match record {
            Record::State { region, state } => Some((*region, *state)),
            _ => None,
        })
        .collect();
    let new_regions = states.iter().any(|(region, _)| first(*region));
    let mut received = BTreeSet::new();
    for (region, state) in &states {
        marks.insert(match state {
            PeerState::Tombstone => Mark::first(Row::EndOfPeer),
            PeerState::Applying => {
                received.insert(*region);
                Mark::first(Row::SnapshotReceived)
            }
            _ if has(&Record::RaftCopyGone(*region)) => Mark::second(Row::SnapshotRestored),
            _ if first(*region) && states.iter().all(|(other, _)| first(*other)) => Mark::only(Row::FirstPeer),
            _ if new_regions => Mark::only(Row::Split),
            _ => Mark::only(Row::ChangeOfMembers),
        });
    }
    for record in &records {
        match record {
            Record::Ident => drop(marks.insert(Mark::second(Row::Identity))),
            Record::Apply { region, .. } if !received.contains(region) && !first(*region) => {
                marks.extend([Mark::only(Row::Apply), Mark::second(Row::Append)]);
            }
            _ => {}
        }
    }
    // Data that belongs to no region is removed at a start, synced.
    if durability == Durability::Buffered && records.iter().all(|record| matches!(record, Record::Data(_))) {
        marks.insert(Mark::first(Row::SnapshotRestored));
    }
    Description { name: name("kv", durability, &records), marks }
}

fn of_raft(batch: &WriteBatch, durability: Durability) -> Description {
    let records: Vec<Record> = batch.ops().iter().map(raft_record).collect();
    let mut marks = BTreeSet::new();
    for record in &records {
        match record {
            Record::Ident => drop(marks.insert(Mark::first(Row::Identity))),
            Record::RaftGone(_) => drop(marks.insert(Mark::second(Row::EndOfPeer))),
            Record::LogGone { to: u64::MAX, region, .. } if !records.contains(&Record::RaftGone(*region)) => {
                marks.insert(Mark::second(Row::SnapshotReceived));
            }
            Record::LogGone { to: u64::MAX, .. } => {}
            Record::LogGone { .. } => drop(marks.insert(Mark::second(Row::LogCompaction))),
            Record::Entry { .. } | Record::Raft { .. } => drop(marks.insert(Mark::first(Row::Append))),
            _ => {}
        }
    }
    Description { name: name("raft", durability, &records), marks }
}

/// A barrier without a batch of its own. That of the kv engine is there for logs that are about to be deleted.
pub fn of_sync(disk: Disk) -> Description {
    match disk {
        Disk::Raft => Description { name: "raft synced".to_owned(), ..Description::default() },
        Disk::Kv | Disk::Files => {
            Description { name: "kv synced".to_owned(), marks: BTreeSet::from([Mark::first(Row::LogCompaction)]) }
        }
    }
}

/// What is said of tables that become part of the engine.
pub const INGESTED: &str = "ingested";

/// A change of the tables of a name, beside the kv engine. A restore takes them in.
pub fn of_tables(what: &str, name: &str) -> Description {
    let marks = (what == INGESTED).then_some(Mark::first(Row::SnapshotRestored));
    Description { name: format!("kv tables {name} {what}"), marks: marks.into_iter().collect() }
}

/// A change of the folder of snapshots.
pub fn of_folder(what: &str, name: &str) -> Description {
    let name =
        if name.is_empty() { format!("snapshot folder {what}") } else { format!("snapshot folder {what} {name}") };
    Description { name, ..Description::default() }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Which kind of record of its engine, of which region, and the rest of the key; see [`raftstore::keys`].
fn split_key(key: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (kind, rest) = key.split_first()?;
    let (region, rest) = rest.split_at_checked(8)?;
    Some((*kind, number(region)?, rest))
}

fn same_kind(key: &[u8], of: &[u8]) -> bool {
    key.first() == of.first() && key.len() == of.len()
}

fn kv_record(op: &WriteOp) -> Record {
    let (key, value) = match op {
        WriteOp::Put { cf, .. } if *cf != Cf::Raft => return Record::Data(Data::Put),
        WriteOp::Delete { cf, .. } if *cf != Cf::Raft => return Record::Data(Data::Deleted),
        WriteOp::DeleteRange { cf, .. } if *cf != Cf::Raft => return Record::Data(Data::Range),
        WriteOp::Put { key, value, .. } => (key, Some(value.clone())),
        WriteOp::Delete { key, .. } => (key, None),
        WriteOp::DeleteRange { .. } => return Record::Unknown,
    };
    if key == keys::STORE_IDENT {
        return Record::Ident;
    }
    let Some((_, region, _)) = split_key(key) else { return Record::Unknown };
    let (state, apply) = (keys::region_state(region), keys::apply_state(region));
    match value {
        Some(value) if *key == state => {
            let state = RegionLocalState::decode(value).map(|local| local.state()).unwrap_or_default();
            Record::State { region, state }
        }
        Some(value) if *key == apply => {
            let apply = RaftApplyState::decode(value).unwrap_or_default();
            let truncated = apply.truncated_state.unwrap_or_default().index;
            Record::Apply { region, applied: apply.applied_index, truncated }
        }
        None if *key == apply => Record::ApplyGone(region),
        Some(_) if *key == keys::snapshot_raft_state(region) => Record::RaftCopy(region),
        None if *key == keys::snapshot_raft_state(region) => Record::RaftCopyGone(region),
        _ => Record::Unknown,
    }
}

fn raft_record(op: &WriteOp) -> Record {
    let (key, value) = match op {
        WriteOp::Put { key, value, .. } => (key, Some(value.clone())),
        WriteOp::Delete { key, .. } => (key, None),
        WriteOp::DeleteRange { start, end, .. } => return log_range(start, end),
    };
    if key == keys::STORE_IDENT {
        return Record::Ident;
    }
    let Some((_, region, rest)) = split_key(key) else { return Record::Unknown };
    match (value, number(rest)) {
        (Some(value), None) if *key == keys::raft_state(region) => {
            let state = RaftLocalState::decode(value).unwrap_or_default();
            let hard_state = state.hard_state.unwrap_or_default();
            Record::Raft { region, term: hard_state.term, vote: hard_state.vote, last: state.last_index }
        }
        (None, None) if *key == keys::raft_state(region) => Record::RaftGone(region),
        (Some(value), Some(index))
            if same_kind(key, &keys::raft_log(region, index)) && Entry::decode(value.clone()).is_ok() =>
        {
            Record::Entry { region, index }
        }
        (None, Some(index)) => Record::EntryGone { region, index },
        _ => Record::Unknown,
    }
}

fn log_range(start: &[u8], end: &[u8]) -> Record {
    match (split_key(start), split_key(end)) {
        (Some((_, region, from)), Some((_, other, to))) if region == other => match (number(from), number(to)) {
            (Some(from), Some(to)) => Record::LogGone { region, from, to },
            _ => Record::Unknown,
        },
        _ => Record::Unknown,
    }
}

/// Pairs of data are counted, entries that follow each other are one range.
fn name(engine: &str, durability: Durability, records: &[Record]) -> String {
    let mut parts = Vec::new();
    let mut data: BTreeMap<Data, usize> = BTreeMap::new();
    let mut entries: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for record in records {
        match record {
            Record::Data(kind) => *data.entry(*kind).or_default() += 1,
            Record::Entry { region, index } => {
                let range = entries.entry(*region).or_insert((*index, *index));
                *range = (range.0.min(*index), range.1.max(*index));
            }
            other => parts.push(text(other)),
        }
    }
    let entries = entries.into_iter().map(|(region, (first, last))| match first == last {
        true => format!("entry {first} of region {region}"),
        false => format!("entries {first} to {last} of region {region}"),
    });
    let data = data.into_iter().map(|(kind, count)| format!("{count} {}", kind.name()));
    let all: Vec<String> = entries.chain(parts).chain(data).collect();
    let how = if durability == Durability::Sync { "synced" } else { "written" };
    format!("{engine} {how}: {}", all.join(", "))
}

fn text(record: &Record) -> String {
    match record {
        Record::Ident => "identity of the store".to_owned(),
        Record::State { region, state } => {
            format!("region {region} {}", state.as_str_name())
        }
        Record::Apply { region, applied, truncated } => {
            format!("apply state of region {region} (applied {applied}, truncated {truncated})")
        }
        Record::ApplyGone(region) => format!("apply state of region {region} removed"),
        Record::RaftCopy(region) => format!("copy of the raft state of region {region}"),
        Record::RaftCopyGone(region) => format!("copy of the raft state of region {region} removed"),
        Record::Raft { region, term, vote, last } => {
            format!("raft state of region {region} (term {term}, vote {vote}, last {last})")
        }
        Record::RaftGone(region) => format!("raft state of region {region} removed"),
        Record::EntryGone { region, index } => format!("entry {index} of region {region} removed"),
        Record::LogGone { region, to: u64::MAX, .. } => format!("log of region {region} cleared"),
        Record::LogGone { region, from, to } => format!("entries {from} to {} of region {region} removed", to - 1),
        Record::Entry { .. } | Record::Data(_) | Record::Unknown => "a record that nobody knows".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::metapb::Region;
    use proto::raft_serverpb::RaftTruncatedState;

    use super::*;

    fn state(batch: &mut WriteBatch, region: u64, state: PeerState) {
        let region_state = RegionLocalState {
            state: state as i32,
            region: Some(Region { id: region, ..Default::default() }),
            ..Default::default()
        };
        batch.put(Cf::Raft, keys::region_state(region), region_state.encode_to_vec());
    }

    fn apply(batch: &mut WriteBatch, region: u64, applied_index: u64) {
        let truncated_state = Some(RaftTruncatedState { index: INITIAL_INDEX, term: 5 });
        let apply = RaftApplyState { applied_index, truncated_state, ..Default::default() };
        batch.put(Cf::Raft, keys::apply_state(region), apply.encode_to_vec());
    }

    fn written(durability: Durability, fill: impl FnOnce(&mut WriteBatch)) -> Vec<Mark> {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        of_kv(&batch, durability).marks.into_iter().collect()
    }

    fn marks(fill: impl FnOnce(&mut WriteBatch)) -> Vec<Mark> {
        written(Durability::Sync, fill)
    }

    #[test]
    fn each_row_is_told_by_its_records() {
        assert_eq!(
            marks(|batch| {
                state(batch, 2, PeerState::Normal);
                state(batch, 9, PeerState::Normal);
                apply(batch, 9, INITIAL_INDEX);
                apply(batch, 2, 12);
            }),
            [Mark::second(Row::Append), Mark::only(Row::Apply), Mark::only(Row::Split)]
        );
        assert_eq!(
            marks(|batch| {
                state(batch, 2, PeerState::Normal);
                apply(batch, 2, INITIAL_INDEX);
            }),
            [Mark::only(Row::FirstPeer)]
        );
        assert_eq!(
            marks(|batch| {
                state(batch, 2, PeerState::Applying);
                apply(batch, 2, 20);
            }),
            [Mark::first(Row::SnapshotReceived)]
        );
        assert_eq!(
            marks(|batch| {
                state(batch, 2, PeerState::Normal);
                batch.delete(Cf::Raft, keys::snapshot_raft_state(2));
            }),
            [Mark::second(Row::SnapshotRestored)]
        );
        assert_eq!(marks(|batch| state(batch, 2, PeerState::Tombstone)), [Mark::first(Row::EndOfPeer)]);
        let pair = |batch: &mut WriteBatch| batch.put(Cf::Raw, b"k".to_vec(), b"v".to_vec());
        assert_eq!(written(Durability::Buffered, pair), [Mark::first(Row::SnapshotRestored)]);
    }

    #[test]
    fn a_log_that_is_cleared_belongs_to_a_snapshot_or_to_the_end_of_a_peer() {
        let mut batch = WriteBatch::new();
        batch.delete_range(Cf::Default, keys::raft_log(2, 0), keys::raft_log(2, u64::MAX));
        let described = of_raft(&batch, Durability::Sync);
        assert_eq!(described.name, "raft synced: log of region 2 cleared");
        assert_eq!(described.marks, BTreeSet::from([Mark::second(Row::SnapshotReceived)]));
        batch.delete(Cf::Default, keys::raft_state(2));
        assert_eq!(of_raft(&batch, Durability::Sync).marks, BTreeSet::from([Mark::second(Row::EndOfPeer)]));
        let mut batch = WriteBatch::new();
        batch.delete_range(Cf::Default, keys::raft_log(2, 0), keys::raft_log(2, 9));
        let described = of_raft(&batch, Durability::Buffered);
        assert_eq!(described.name, "raft written: entries 0 to 8 of region 2 removed");
        assert_eq!(described.marks, BTreeSet::from([Mark::second(Row::LogCompaction)]));
    }
}
