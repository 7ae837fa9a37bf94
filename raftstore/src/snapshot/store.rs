//! What a store has of snapshots: files of those that are made here, tables of the kv engine of those that were received.
//!
//! ```text
//! file gen_REGION_TERM_INDEX_CF.data    made here      file gen_REGION_TERM_INDEX.meta    complete
//! tables rev_REGION_TERM_INDEX          received       file rev_REGION_TERM_INDEX.meta    complete and verified
//! file *.tmp                            being written
//! ```
//!
//! Either may go when nobody works with it, and either nobody will want it again or it has not been touched for a while. Nothing of this
//! is remembered over a restart: snapshots made for a leader that is no more are of no use.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, MutexGuard},
};

use prost::Message;
use proto::{
    metapb::Region,
    raft_serverpb::{SnapshotCfFile, SnapshotMeta},
};
use storage::{Cf, Engine};

use super::{
    Origin, SnapshotBuilder, SnapshotDir, SnapshotId, SnapshotSink, SnapshotSource, tables::Tables, write::Target,
};
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

/// What the tables of a received snapshot are called.
pub(super) fn tables_name(id: SnapshotId) -> String {
    stem(Origin::Received, id)
}

/// The column family that a file of a snapshot belongs to.
pub(super) fn data_cf(id: SnapshotId, file: &SnapshotCfFile) -> Result<Cf> {
    let cf = Cf::DATA.into_iter().find(|cf| cf.name() == file.cf);
    cf.ok_or_else(|| Error::Snapshot(format!("{id}: unknown column family {}", file.cf)))
}

pub(super) fn temporary(name: &str) -> String {
    format!("{name}.tmp")
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
    tables: Arc<dyn Tables>,
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
    /// The snapshots in `dir`, which holds nothing else, and in the tables of the kv engine.
    pub fn new(dir: Arc<dyn SnapshotDir>, kv: impl Engine) -> Self {
        SnapshotStore { dir, tables: Arc::new(kv), usage: Arc::default() }
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

    /// Begins a snapshot of `region` that is received. One that is here already may be about to be restored: what comes again is
    /// verified and dropped.
    pub fn receive(&self, id: SnapshotId, region: Region, meta: SnapshotMeta) -> SnapshotSink {
        let is_done = self.usage().get(&(Origin::Received, id)).is_some_and(|usage| usage.done);
        let is_here = !is_done && self.verify(id).is_ok();
        self.note((Origin::Received, id), |usage| usage.done = false);
        let target = if is_here { Target::Nowhere } else { Target::Tables(self.tables.clone(), self.dir.clone()) };
        SnapshotSink::new(target, id, region, meta)
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
        Ok(SnapshotSource::new(self.dir.clone(), id, meta.cf_files))
    }

    /// The name of the tables of a received snapshot, and their column families, if all of it is here. Every byte was verified when it
    /// came; what becomes of the tables on the disk is the engine's business, as with all its files.
    ///
    /// # Errors
    /// See [`SnapshotStore::meta`]; [`Error::Snapshot`] if tables are missing or damaged.
    pub fn verify(&self, id: SnapshotId) -> Result<(String, Vec<Cf>)> {
        let meta = self.meta(Origin::Received, id)?;
        self.note((Origin::Received, id), |_| ());
        let name = tables_name(id);
        let check = |file: &SnapshotCfFile| {
            let cf = data_cf(id, file)?;
            match self.tables.check(&name, cf) {
                Err(storage::Error::Corrupted { message }) => Err(Error::Snapshot(message)),
                other => Ok(other.map(|()| cf)?),
            }
        };
        let cfs = meta.cf_files.iter().map(check).collect::<Result<_>>()?;
        Ok((name, cfs))
    }

    /// Removes what nobody needs: snapshots that are done, and those untouched for `max_age` collections. Returns how many files
    /// and tables went.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`], those of the engine.
    pub fn collect(&self, max_age: u32) -> Result<usize> {
        let names = self.names()?;
        let mut garbage = Vec::new();
        {
            let mut usages = self.usage();
            for key in names.iter().filter_map(Name::owner) {
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
        self.remove_all(names, |key| garbage.contains(&key))
    }

    /// Says that nobody will want a snapshot again, and removes it now unless somebody works with it: what is not on the disk yet need
    /// not get there.
    ///
    /// # Errors
    /// See [`SnapshotStore::collect`].
    pub fn discard(&self, origin: Origin, id: SnapshotId) -> Result<()> {
        self.done(origin, id);
        let is_used = self.usage().get(&(origin, id)).is_some_and(|usage| usage.users > 0);
        if is_used { Ok(()) } else { self.remove(origin, id) }
    }

    /// Says that a received snapshot is part of the engine, and removes it, whoever holds it: there is nothing left to do with it. The engine
    /// has links of its own to the tables, so this frees nothing and takes no time. Later, when the engine has merged them into others, all
    /// their bytes would go at once, and the disk would be busy with that.
    ///
    /// # Errors
    /// See [`SnapshotStore::collect`].
    pub fn restored(&self, id: SnapshotId) -> Result<()> {
        self.done(Origin::Received, id);
        self.remove(Origin::Received, id)
    }

    /// At the start of a store: removes everything but the received snapshots of regions for which `keep` says so.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`], those of the engine.
    pub fn collect_at_start(&self, keep: impl Fn(SnapshotId) -> bool) -> Result<usize> {
        let names = self.names()?;
        self.remove_all(names, |(origin, id)| origin == Origin::Generated || !keep(id))
    }

    /// The names of all files, then of all tables.
    fn names(&self) -> Result<Vec<Name>> {
        let mut names: Vec<Name> = self.dir.list()?.into_iter().map(Name::File).collect();
        names.extend(self.tables.names()?.into_iter().map(Name::Tables));
        Ok(names)
    }

    fn remove(&self, origin: Origin, id: SnapshotId) -> Result<()> {
        self.remove_all(self.names()?, |owner| owner == (origin, id)).map(drop)
    }

    fn remove_all(&self, names: Vec<Name>, goes: impl Fn((Origin, SnapshotId)) -> bool) -> Result<usize> {
        let mut gone: Vec<Name> = names.into_iter().filter(|name| name.owner().is_some_and(&goes)).collect();
        // The meta file first: what is left of a snapshot without it is no snapshot.
        gone.sort_by_key(|name| !matches!(name, Name::File(name) if name.ends_with(".meta")));
        for name in &gone {
            match name {
                Name::File(name) => self.dir.remove(name)?,
                Name::Tables(name) => self.tables.remove(name)?,
            }
        }
        Ok(gone.len())
    }
}

/// Something that belongs to a snapshot.
enum Name {
    File(String),
    Tables(String),
}

impl Name {
    /// Which snapshot it belongs to.
    fn owner(&self) -> Option<(Origin, SnapshotId)> {
        let (Name::File(name) | Name::Tables(name)) = self;
        let mut parts = name.split(['_', '.']);
        let origin = match parts.next()? {
            "gen" => Origin::Generated,
            "rev" => Origin::Received,
            _ => return None,
        };
        let mut number = || parts.next()?.parse().ok();
        Some((origin, SnapshotId { region_id: number()?, term: number()?, index: number()? }))
    }
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStore").finish_non_exhaustive()
    }
}
