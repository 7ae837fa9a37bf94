//! A look into the data folder of a stopped store: what is known of its regions, and their Raft logs.
//!
//! Reads only. The folder is locked meanwhile, so that no store starts on it and changes what is being read.

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use proto::eraftpb::{ConfChange, ConfChangeV2, Entry, EntryType};
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminCmdType, CmdType, RaftCmdRequest};
use proto::raft_serverpb::{PeerState, RaftApplyState, RaftLocalState, RegionLocalState};
use raftstore::keys;
use storage::{Cf, Cursor, Reader, RocksEngine, RocksOptions};

use super::escape;
use super::regions::{epoch, print, range, table};
use crate::data_dir::{DataDir, Kind};
use crate::{Error, Result};

/// The engines of a store that does not run.
pub struct StoppedStore {
    kv: RocksEngine,
    raft: RocksEngine,
    _folder: DataDir,
}

impl StoppedStore {
    /// Locks a data folder and opens its engines for reading.
    ///
    /// # Errors
    /// [`Error::InUse`] while a store runs on it, [`Error::DataDir`] if there is no whole data folder of a replicated store, and
    /// what the engines say.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join("KIND").is_file() {
            let reason = "there is no KIND file: it is not the data folder of a store; name one such as DATA/store-1";
            return Err(Error::DataDir { path: path.to_path_buf(), reason: reason.to_owned() });
        }
        let folder = DataDir::open(path, Kind::Replicated)?;
        if folder.owner().is_none() {
            let reason = "the first start of its store was interrupted; there is nothing in it yet".to_owned();
            return Err(Error::DataDir { path: path.to_path_buf(), reason });
        }
        let kv = RocksEngine::open_read_only(folder.kv(), RocksOptions::kv())?;
        let raft = RocksEngine::open_read_only(folder.raft(), RocksOptions::raft_log())?;
        Ok(Self { kv, raft, _folder: folder })
    }

    /// One line for each region, or for one of them: its state on this store and how far its log goes.
    ///
    /// # Errors
    /// The engines, or records that do not decode.
    pub fn states(&self, only: Option<u64>) -> Result<String> {
        let header =
            ["REGION", "TERM", "VOTE", "TRUNCATED", "APPLIED", "COMMIT", "LAST", "STATE", "EPOCH", "PEERS", "RANGE"];
        let mut table = table(header, 7);
        for state in self.region_states()? {
            let region = state.region.clone().unwrap_or_default();
            if only.is_some_and(|id| id != region.id) {
                continue;
            }
            let apply: RaftApplyState =
                self.record(&self.kv, Cf::Raft, &keys::apply_state(region.id))?.unwrap_or_default();
            let local: RaftLocalState =
                self.record(&self.raft, Cf::Default, &keys::raft_state(region.id))?.unwrap_or_default();
            let hard = local.hard_state.unwrap_or_default();
            table.add_row([
                region.id.to_string(),
                hard.term.to_string(),
                hard.vote.to_string(),
                apply.truncated_state.unwrap_or_default().index.to_string(),
                apply.applied_index.to_string(),
                hard.commit.to_string(),
                local.last_index.to_string(),
                PeerState::try_from(state.state).map_or("?", |state| state.as_str_name()).to_owned(),
                epoch(&region),
                peers(&region),
                range(&region),
            ]);
        }
        if table.row_count() == 0 {
            return Err(no_region(only));
        }
        Ok(print(&table))
    }

    /// The log of a region: up to `limit` entries from index `from` on, one line each.
    ///
    /// # Errors
    /// The engines, records that do not decode, or a region that this store has never had.
    pub fn log(&self, region: u64, from: u64, limit: usize) -> Result<String> {
        let state: Option<RaftLocalState> = self.record(&self.raft, Cf::Default, &keys::raft_state(region))?;
        let last = state.ok_or_else(|| no_region(Some(region)))?.last_index;
        let (start, end) = (keys::raft_log(region, from), keys::raft_log(region, last + 1));
        let mut table = table(["INDEX", "TERM", "BYTES", "WHAT"], 3);
        let mut cursor = self.raft.cursor(Cf::Default, Some(&start), Some(&end))?;
        cursor.seek_to_first();
        while cursor.valid() && table.row_count() < limit {
            let entry: Entry = decode(Bytes::copy_from_slice(cursor.value()), cursor.key())?;
            let bytes = entry.data.len().to_string();
            table.add_row([entry.index.to_string(), entry.term.to_string(), bytes, describe(&entry)]);
            cursor.next();
        }
        cursor.status()?;
        Ok(print(&table))
    }

    fn region_states(&self) -> Result<Vec<RegionLocalState>> {
        let (start, end) = keys::region_state_range();
        let mut cursor = self.kv.cursor(Cf::Raft, Some(&start), Some(&end))?;
        let mut states = Vec::new();
        cursor.seek_to_first();
        while cursor.valid() {
            states.push(decode(Bytes::copy_from_slice(cursor.value()), cursor.key())?);
            cursor.next();
        }
        cursor.status()?;
        Ok(states)
    }

    fn record<M: Message + Default>(&self, engine: &RocksEngine, cf: Cf, key: &[u8]) -> Result<Option<M>> {
        engine.get(cf, key)?.map(|value| decode(value, key)).transpose()
    }
}

fn decode<M: Message + Default>(value: Bytes, key: &[u8]) -> Result<M> {
    M::decode(value).map_err(|error| Error::Raftstore(format!("the record at key {key:02x?} does not decode: {error}")))
}

fn no_region(id: Option<u64>) -> Error {
    let which = id.map_or_else(|| "regions".to_owned(), |id| format!("region {id}"));
    Error::Raftstore(format!("this store has no record of {which}; `tinykv-ctl raft state` lists what it has"))
}

fn peers(region: &Region) -> String {
    let peers: Vec<String> = region.peers.iter().map(|peer| format!("{}@{}", peer.id, peer.store_id)).collect();
    peers.join(",")
}

/// What an entry does, in a few words.
fn describe(entry: &Entry) -> String {
    let broken = |error: prost::DecodeError| format!("does not decode: {error}");
    match EntryType::try_from(entry.entry_type) {
        _ if entry.data.is_empty() => "empty: a new leader's first, or the end of a joint configuration".to_owned(),
        Ok(EntryType::EntryConfChange) => ConfChange::decode(entry.data.clone()).map_or_else(broken, |change| {
            format!("conf change: {} peer {}", change.change_type().as_str_name(), change.node_id)
        }),
        Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(entry.data.clone()).map_or_else(broken, |change| {
            let changes = change.changes.iter();
            let one =
                |c: &proto::eraftpb::ConfChangeSingle| format!("{} peer {}", c.change_type().as_str_name(), c.node_id);
            format!("conf change: {}", changes.map(one).collect::<Vec<_>>().join(", "))
        }),
        _ => RaftCmdRequest::decode(entry.data.clone()).map_or_else(broken, |command| describe_command(&command)),
    }
}

fn describe_command(command: &RaftCmdRequest) -> String {
    if let Some(admin) = &command.admin_request {
        let name = AdminCmdType::try_from(admin.cmd_type).map_or("?", |kind| kind.as_str_name());
        let keys = admin.splits.iter().flat_map(|splits| &splits.requests).map(|split| escape(&split.split_key));
        let detail = match &admin.compact_log {
            Some(compact) => format!(" up to {}", compact.compact_index),
            None => keys.map(|key| format!(" at \"{key}\"")).collect(),
        };
        return format!("{name}{detail}");
    }
    let requests = command.requests.iter().map(|request| {
        let key = match (&request.put, &request.delete, &request.delete_range, &request.compare_and_swap) {
            (Some(put), ..) => escape(&put.key),
            (_, Some(delete), ..) => escape(&delete.key),
            (_, _, Some(range), _) => format!("{}..{}", escape(&range.start_key), escape(&range.end_key)),
            (.., Some(swap)) => escape(&swap.key),
            _ => String::new(),
        };
        let name = CmdType::try_from(request.cmd_type).map_or("?", |kind| kind.as_str_name());
        format!("{name} {key}")
    });
    requests.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proto::eraftpb::ConfChangeType;
    use proto::raft_cmdpb::{AdminRequest, CompactLogRequest, DeleteRequest, PutRequest, Request};

    use super::*;

    fn entry(kind: EntryType, data: Vec<u8>) -> Entry {
        Entry { entry_type: kind as i32, data: data.into(), ..Default::default() }
    }

    #[test]
    fn entries_are_told_in_words() {
        let put = Request {
            cmd_type: CmdType::Put as i32,
            put: Some(PutRequest { key: "k\n".into(), ..Default::default() }),
            ..Default::default()
        };
        let delete = Request {
            cmd_type: CmdType::Delete as i32,
            delete: Some(DeleteRequest { key: "d".into(), ..Default::default() }),
            ..Default::default()
        };
        let writes = RaftCmdRequest { requests: vec![put, delete], ..Default::default() };
        assert_eq!(describe(&entry(EntryType::EntryNormal, writes.encode_to_vec())), "Put k\\x0a, Delete d");
        let compact = AdminRequest {
            cmd_type: AdminCmdType::CompactLog as i32,
            compact_log: Some(CompactLogRequest { compact_index: 17, ..Default::default() }),
            ..Default::default()
        };
        let admin = RaftCmdRequest { admin_request: Some(compact), ..Default::default() };
        assert_eq!(describe(&entry(EntryType::EntryNormal, admin.encode_to_vec())), "CompactLog up to 17");
        let change = ConfChange { change_type: ConfChangeType::RemoveNode as i32, node_id: 4, ..Default::default() };
        let text = describe(&entry(EntryType::EntryConfChange, change.encode_to_vec()));
        assert_eq!(text, "conf change: RemoveNode peer 4");
        assert!(describe(&entry(EntryType::EntryNormal, vec![0xff])).starts_with("does not decode"));
        assert!(describe(&entry(EntryType::EntryNormal, Vec::new())).starts_with("empty"));
    }

    #[test]
    fn a_folder_that_is_none_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let error = StoppedStore::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("no KIND file"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
