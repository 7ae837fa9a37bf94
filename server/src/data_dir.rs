//! The data folder: who may use it, and whether it is whole.
//!
//! ```text
//! DATA/LOCK     locked (flock) while a process works here
//! DATA/KIND     one line: format version, kind of store, `creating` or `complete`, and whose it is once that is known
//! DATA/kv       key-value engine
//! DATA/raft     raft logs and raft state (not in a standalone store)
//! DATA/snap     files of snapshots (not in a standalone store); it may be missing
//! ```
//!
//! `KIND` is written before the engines are made (`creating`) and again once all of them exist (`complete`), each time as a
//! new file that is synced and renamed into place. A crash while creating can therefore be repeated, and an engine that is
//! missing from a complete folder is damage: the store refuses to start instead of making an empty engine that would have
//! forgotten its votes and log. A folder that is refused is left as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

const FORMAT: &str = "tinykv-data 1";

/// What kind of store a folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One node without replication: only `kv`.
    Standalone,
    /// A member of a cluster: `kv` and `raft`.
    Replicated,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Replicated => "replicated",
        }
    }

    fn engines(self) -> &'static [&'static str] {
        match self {
            Self::Standalone => &["kv"],
            Self::Replicated => &["kv", "raft"],
        }
    }
}

/// The member of a cluster that a folder belongs to. The engines' own records decide; this one lets a start in the wrong cluster
/// be refused before an engine is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Id of the cluster.
    pub cluster_id: u64,
    /// Id of the store.
    pub store_id: u64,
}

/// A data folder that this process has locked. The lock goes with the value (and with the process, however it ends).
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    kind: Kind,
    state: State,
    _lock: File,
}

impl DataDir {
    /// Locks `path` for a store of `kind`, creating the folder if it is missing or empty.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it, [`Error::DataDir`] if it belongs to another kind of store, is not a data
    /// folder at all or lacks an engine, [`Error::Io`] if the file system refuses. The folder is unchanged in all cases.
    pub fn open(path: &Path, kind: Kind) -> Result<Self> {
        check(path, kind)?;
        fs::create_dir_all(path).map_err(Error::io("create the data folder", path))?;
        let lock_path = path.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(Error::io("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse { path: path.to_path_buf() }),
            Err(errno) => return Err(Error::Io { action: "lock", path: lock_path, source: errno.into() }),
        }
        // Looked at again under the lock: another process may have made the folder in the meantime.
        let state = check(path, kind)?;
        let dir = Self { path: path.to_path_buf(), kind, state, _lock: lock };
        if !matches!(state, State::Complete(_)) {
            dir.write_kind("creating")?;
        }
        Ok(dir)
    }

    /// Folder of the key-value engine.
    pub fn kv(&self) -> PathBuf {
        self.path.join("kv")
    }

    /// Folder of the raft engine.
    pub fn raft(&self) -> PathBuf {
        self.path.join("raft")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose folder it is, if that was recorded.
    pub fn owner(&self) -> Option<Owner> {
        match self.state {
            State::Complete(owner) => owner,
            State::New | State::Creating => None,
        }
    }

    /// Records that every engine has been made, and for whom; to be called once all of them are open.
    ///
    /// # Errors
    /// [`Error::Io`] if the record cannot be written.
    pub fn mark_complete(&mut self, owner: Option<Owner>) -> Result<()> {
        if self.state != State::Complete(owner) {
            match owner {
                Some(Owner { cluster_id, store_id }) => {
                    self.write_kind(&format!("complete cluster {cluster_id} store {store_id}"))?;
                }
                None => self.write_kind("complete")?,
            }
            self.state = State::Complete(owner);
        }
        Ok(())
    }

    fn write_kind(&self, state: &str) -> Result<()> {
        let path = self.path.join("KIND");
        let temporary = self.path.join("KIND.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            writeln!(file, "{FORMAT} {} {state}", self.kind.name())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(Error::io("write", &path))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Missing or empty.
    New,
    /// A first start was interrupted.
    Creating,
    Complete(Option<Owner>),
}

/// Looks at the folder without changing it.
fn check(path: &Path, kind: Kind) -> Result<State> {
    let refuse = |reason: String| Err(Error::DataDir { path: path.to_path_buf(), reason });
    let text = match fs::read_to_string(path.join("KIND")) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return check_new(path),
        Err(e) => return Err(Error::io("read", &path.join("KIND"))(e)),
    };
    let unknown = || {
        refuse(format!(
            "its KIND file says `{}`, which this version does not know; use the version that wrote it, or an empty folder",
            text.trim_end()
        ))
    };
    // Without its final newline the record was cut short, and what is left of it may mean something else.
    let record = text.strip_suffix('\n').and_then(|line| line.strip_prefix(FORMAT)).unwrap_or("");
    let words: Vec<&str> = record.split_whitespace().collect();
    let (found, state) = match words[..] {
        [found, "creating"] => (found, State::Creating),
        [found, "complete"] => (found, State::Complete(None)),
        [found, "complete", "cluster", cluster, "store", store] => match (cluster.parse(), store.parse()) {
            (Ok(cluster_id), Ok(store_id)) => (found, State::Complete(Some(Owner { cluster_id, store_id }))),
            _ => return unknown(),
        },
        _ => return unknown(),
    };
    if found != kind.name() {
        let remedy = match kind {
            Kind::Standalone => "start without --standalone",
            Kind::Replicated => "start with --standalone",
        };
        return refuse(format!(
            "it belongs to a {found} store and cannot be used as a {} one; {remedy}, or name another folder",
            kind.name()
        ));
    }
    if matches!(state, State::Complete(_)) {
        for engine in kind.engines() {
            if !path.join(engine).join("CURRENT").is_file() {
                return refuse(format!(
                    "it is half there: the engine `{engine}` is missing. Restore it from where it went; if it is lost, \
                     the other data is of no use either: start with an empty folder, and the store joins as a new one"
                ));
            }
        }
    }
    Ok(state)
}

/// A folder without `KIND` must be missing or empty, so that nothing of anybody else's is mixed up with our data.
fn check_new(path: &Path) -> Result<State> {
    let refuse = |reason: String| Err(Error::DataDir { path: path.to_path_buf(), reason });
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(State::New),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return refuse("it is a file; name a folder".to_owned()),
        Err(e) => return Err(Error::io("read the data folder", path)(e)),
    };
    for entry in entries {
        let name = entry.map_err(Error::io("read the data folder", path))?.file_name();
        // Left over from a process that was stopped between locking and its first record.
        if name != "LOCK" && name != "KIND.new" {
            return refuse(format!(
                "it has no KIND file but contains `{}`: it is not a data folder, or only part of one; name an empty folder",
                name.to_string_lossy()
            ));
        }
    }
    Ok(State::New)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(path: &Path, kind: Kind) {
        let mut dir = DataDir::open(path, kind).unwrap();
        for engine in kind.engines() {
            fs::create_dir_all(path.join(engine)).unwrap();
            fs::write(path.join(engine).join("CURRENT"), "x").unwrap();
        }
        let owner = (kind == Kind::Replicated).then_some(Owner { cluster_id: 7, store_id: 3 });
        dir.mark_complete(owner).unwrap();
    }

    fn listing(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_used_by_one_process_at_a_time() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("a/b");
        let first = DataDir::open(&path, Kind::Standalone).unwrap();
        assert!(matches!(DataDir::open(&path, Kind::Standalone), Err(Error::InUse { .. })));
        drop(first);
        DataDir::open(&path, Kind::Standalone).unwrap();
    }

    #[test]
    fn kinds_are_not_mixed_up_and_a_refusal_changes_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        complete(tmp.path(), Kind::Standalone);
        let before = listing(tmp.path());
        let error = DataDir::open(tmp.path(), Kind::Replicated).unwrap_err().to_string();
        assert!(error.contains("standalone"), "{error}");
        assert_eq!(listing(tmp.path()), before);
        DataDir::open(tmp.path(), Kind::Standalone).unwrap();
    }

    #[test]
    fn a_folder_of_something_else_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("thesis.tex"), "x").unwrap();
        let error = DataDir::open(tmp.path(), Kind::Replicated).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        assert_eq!(listing(tmp.path()), ["thesis.tex"]);
        let file = tmp.path().join("thesis.tex");
        let error = DataDir::open(&file, Kind::Replicated).unwrap_err().to_string();
        assert!(error.contains("it is a file"), "{error}");
    }

    #[test]
    fn a_missing_engine_is_damage_once_the_folder_was_complete() {
        let tmp = tempfile::tempdir().unwrap();
        // Interrupted first start: may be repeated.
        drop(DataDir::open(tmp.path(), Kind::Replicated).unwrap());
        fs::create_dir_all(tmp.path().join("kv")).unwrap();
        drop(DataDir::open(tmp.path(), Kind::Replicated).unwrap());
        complete(tmp.path(), Kind::Replicated);
        let dir = DataDir::open(tmp.path(), Kind::Replicated).unwrap();
        assert_eq!(dir.owner(), Some(Owner { cluster_id: 7, store_id: 3 }));
        drop(dir);
        fs::remove_dir_all(tmp.path().join("raft")).unwrap();
        let error = DataDir::open(tmp.path(), Kind::Replicated).unwrap_err().to_string();
        assert!(error.contains("`raft` is missing"), "{error}");
        fs::write(tmp.path().join("KIND"), "tinykv-data 9 replicated complete\n").unwrap();
        let error = DataDir::open(tmp.path(), Kind::Replicated).unwrap_err().to_string();
        assert!(error.contains("does not know"), "{error}");
    }
}
