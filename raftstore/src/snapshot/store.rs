//! The files of a store's snapshots.
//!
//! ```text
//! gen_REGION_TERM_INDEX_CF.data    made here            gen_REGION_TERM_INDEX.meta    complete
//! rev_REGION_TERM_INDEX_CF.data    received             rev_REGION_TERM_INDEX.meta    complete and verified
//! *.tmp                            being written
//! ```
//!
//! A file may go when nobody reads it and either nobody will want it again or it has not been touched for a while. Nothing of this
//! is remembered over a restart: snapshots made for a leader that is no more are of no use.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, MutexGuard},
};

use prost::Message;
use proto::raft_serverpb::SnapshotMeta;
use storage::Cf;

use super::{Origin, PairReader, SnapshotBuilder, SnapshotDir, SnapshotId, SnapshotSink, SnapshotSource};
use crate::error::{Error, Result};

fn stem(origin: Origin, id: SnapshotId) -> String {
    match origin {
        Origin::Generated => format!("gen_{id}"),
        Origin::Received => format!("rev_{id}"),
    }
}

pub(super) fn data_name(origin: Origin, id: SnapshotId, cf: &str) -> String {
    format!("{}_{cf}.data", stem(origin, id))
}

pub(super) fn meta_name(origin: Origin, id: SnapshotId) -> String {
    format!("{}.meta", stem(origin, id))
}

pub(super) fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// Which snapshot a file belongs to.
fn owner(name: &str) -> Option<(Origin, SnapshotId)> {
    let mut parts = name.split(['_', '.']);
    let origin = match parts.next()? {
        "gen" => Origin::Generated,
        "rev" => Origin::Received,
        _ => return None,
    };
    let mut number = || parts.next()?.parse().ok();
    Some((origin, SnapshotId { region_id: number()?, term: number()?, index: number()? }))
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// Who works with the files now.
    users: usize,
    /// Nobody will want them again.
    done: bool,
    /// Collections since the last use.
    age: u32,
}

/// See the module. Clones are handles to the same files.
#[derive(Clone)]
pub struct SnapshotStore {
    dir: Arc<dyn SnapshotDir>,
    usage: Arc<Mutex<BTreeMap<(Origin, SnapshotId), Usage>>>,
}

/// Keeps the files of a snapshot from being collected.
pub struct InUse {
    store: SnapshotStore,
    key: (Origin, SnapshotId),
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.store.note(self.key, |usage| usage.users = usage.users.saturating_sub(1));
    }
}

impl SnapshotStore {
    /// The snapshots in `dir`, which holds nothing else.
    pub fn new(dir: Arc<dyn SnapshotDir>) -> Self {
        SnapshotStore { dir, usage: Arc::default() }
    }

    fn usage(&self) -> MutexGuard<'_, BTreeMap<(Origin, SnapshotId), Usage>> {
        self.usage.lock().expect("invariant: nobody panics while holding the usage of snapshots")
    }

    fn note(&self, key: (Origin, SnapshotId), change: impl FnOnce(&mut Usage)) {
        let mut usages = self.usage();
        let usage = usages.entry(key).or_default();
        usage.age = 0;
        change(usage);
    }

    /// Keeps the files of a snapshot while the returned value lives.
    pub fn hold(&self, origin: Origin, id: SnapshotId) -> InUse {
        self.note((origin, id), |usage| usage.users += 1);
        InUse { store: self.clone(), key: (origin, id) }
    }

    /// Says that nobody will want a snapshot again: the next collection removes it.
    pub fn done(&self, origin: Origin, id: SnapshotId) {
        self.note((origin, id), |usage| usage.done = true);
    }

    /// Begins a snapshot that is made here.
    pub fn build(&self, id: SnapshotId) -> SnapshotBuilder {
        self.note((Origin::Generated, id), |usage| usage.done = false);
        SnapshotBuilder::new(self.dir.clone(), id)
    }

    /// Begins a snapshot that is received.
    pub fn receive(&self, id: SnapshotId, meta: SnapshotMeta) -> SnapshotSink {
        self.note((Origin::Received, id), |usage| usage.done = false);
        SnapshotSink::new(self.dir.clone(), id, meta)
    }

    /// What a snapshot's meta file says.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`] if there is no such snapshot, [`Error::Snapshot`] if the file is damaged.
    pub fn meta(&self, origin: Origin, id: SnapshotId) -> Result<SnapshotMeta> {
        let mut bytes = Vec::new();
        self.dir.open(&meta_name(origin, id))?.read_to_end(&mut bytes)?;
        let damaged = || Error::Snapshot(format!("the meta file of {id} is damaged"));
        let (checksum, encoded) = bytes.split_at_checked(4).ok_or_else(damaged)?;
        if checksum != crc32fast::hash(encoded).to_le_bytes() {
            return Err(damaged());
        }
        SnapshotMeta::decode(encoded).map_err(|_| damaged())
    }

    /// The bytes of a snapshot that was made here, for sending.
    ///
    /// # Errors
    /// See [`SnapshotStore::meta`].
    pub fn source(&self, id: SnapshotId) -> Result<SnapshotSource> {
        let meta = self.meta(Origin::Generated, id)?;
        self.note((Origin::Generated, id), |_| ());
        Ok(SnapshotSource::new(self.dir.clone(), Origin::Generated, id, meta.cf_files))
    }

    /// The pairs of a snapshot that was received, by column family.
    ///
    /// # Errors
    /// See [`SnapshotStore::meta`].
    pub fn pairs(&self, id: SnapshotId) -> Result<Vec<(Cf, PairReader)>> {
        let meta = self.meta(Origin::Received, id)?;
        self.note((Origin::Received, id), |_| ());
        let open = |file: proto::raft_serverpb::SnapshotCfFile| {
            let cf = Cf::DATA.into_iter().find(|cf| cf.name() == file.cf);
            let cf = cf.ok_or_else(|| Error::Snapshot(format!("{id}: unknown column family {}", file.cf)))?;
            Ok((cf, PairReader::open(&self.dir, data_name(Origin::Received, id, &file.cf), file)?))
        };
        meta.cf_files.into_iter().map(open).collect()
    }

    /// Reads a received snapshot through.
    ///
    /// # Errors
    /// [`Error::Snapshot`] or [`Error::SnapshotIo`] if it is not whole.
    pub fn verify(&self, id: SnapshotId) -> Result<()> {
        self.pairs(id)?.into_iter().try_for_each(|(_, file)| file.verify())
    }

    /// Removes what nobody needs: snapshots that are done, and those untouched for `max_age` collections. Returns how many files
    /// went.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`].
    pub fn collect(&self, max_age: u32) -> Result<usize> {
        let names = self.dir.list()?;
        let mut garbage = Vec::new();
        {
            let mut usages = self.usage();
            for key in names.iter().filter_map(|name| owner(name)) {
                usages.entry(key).or_default();
            }
            usages.retain(|key, usage| {
                usage.age += 1;
                let goes = usage.users == 0 && (usage.done || usage.age > max_age);
                if goes {
                    garbage.push(*key);
                }
                !goes
            });
        }
        self.remove_files(names, |key| garbage.contains(&key))
    }

    /// At the start of a store: removes everything but the received snapshots of regions for which `keep` says so.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`].
    pub fn collect_at_start(&self, keep: impl Fn(SnapshotId) -> bool) -> Result<usize> {
        let names = self.dir.list()?;
        self.remove_files(names, |(origin, id)| origin == Origin::Generated || !keep(id))
    }

    fn remove_files(&self, names: Vec<String>, goes: impl Fn((Origin, SnapshotId)) -> bool) -> Result<usize> {
        let mut gone: Vec<String> = names.into_iter().filter(|name| owner(name).is_some_and(&goes)).collect();
        // The meta file first: what is left of a snapshot without it is no snapshot.
        gone.sort_by_key(|name| !name.ends_with(".meta"));
        for name in &gone {
            self.dir.remove(name)?;
        }
        Ok(gone.len())
    }
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStore").finish_non_exhaustive()
    }
}
