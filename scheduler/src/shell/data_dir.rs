//! The data folder: whose it is, and whether it is whole.
//!
//! It holds `scheduler.toml`, which says what the folder is, and `db`, the database. The file is written first, as "creating", and
//! again as "ready" once the cluster's id is durable in the database. So a folder is recognised as
//! - empty: a new one;
//! - "creating": its creation was interrupted before anybody was served, and is simply done again;
//! - "ready" with a database of the same cluster: in order;
//! - anything else: not ours or not whole. It is refused, and nothing in it is changed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage::{Cf, RocksEngine, RocksOptions};

use super::error::{Error, Result};

const LABEL: &str = "scheduler.toml";
const DATABASE: &str = "db";
const KIND: &str = "tinykv-scheduler";
const FORMAT: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Creating,
    Ready,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Label {
    kind: String,
    format: u32,
    state: State,
    /// As text, because TOML's integers have 63 bits; empty while creating.
    cluster_id: String,
}

/// An opened data folder. The engine's lock keeps other processes out until all clones of it are dropped.
pub struct DataDir {
    path: PathBuf,
    label: Label,
    /// The database.
    pub engine: RocksEngine,
}

impl DataDir {
    /// Opens the folder, creating it if it is missing or empty.
    ///
    /// # Errors
    /// [`Error::DataDir`] says what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let at = |reason: String| Error::DataDir { path: path.to_owned(), reason };
        let io = |error: io::Error| at(error.to_string());
        fs::create_dir_all(path).map_err(io)?;
        let label = match read_label(path)? {
            Some(label) => label,
            None if fs::read_dir(path).map_err(io)?.next().is_none() => {
                let label =
                    Label { kind: KIND.into(), format: FORMAT, state: State::Creating, cluster_id: String::new() };
                write_label(path, &label).map_err(io)?;
                label
            }
            None => {
                let reason = "it is not empty and not a scheduler's; choose another with --data-dir";
                return Err(at(reason.into()));
            }
        };
        let database = path.join(DATABASE);
        if label.state == State::Ready && !database.is_dir() {
            let reason = "the database is missing; restore it from a backup, or choose another folder with --data-dir";
            return Err(at(reason.into()));
        }
        let engine = RocksEngine::open(database, options()).map_err(|error| match error {
            storage::Error::Busy { .. } => {
                at("it is in use by another process: stop that process or choose another with --data-dir".into())
            }
            error => at(error.to_string()),
        })?;
        Ok(Self { path: path.to_owned(), label, engine })
    }

    /// May a new cluster be made in it?
    pub fn is_new(&self) -> bool {
        self.label.state == State::Creating
    }

    /// Notes that the folder holds this cluster, or checks that it does.
    ///
    /// # Errors
    /// [`Error::DataDir`] when label and database come from different clusters.
    pub fn confirm(&mut self, cluster_id: u64) -> Result<()> {
        let at = |reason: String| Error::DataDir { path: self.path.clone(), reason };
        if self.is_new() {
            let label = Label { state: State::Ready, cluster_id: cluster_id.to_string(), ..self.label.clone() };
            write_label(&self.path, &label).map_err(|error| at(error.to_string()))?;
            self.label = label;
        }
        if self.label.cluster_id != cluster_id.to_string() {
            let expected = &self.label.cluster_id;
            let reason = format!(
                "{LABEL} is of cluster {expected}, the database of cluster {cluster_id}: they do not belong together"
            );
            return Err(at(reason));
        }
        Ok(())
    }
}

/// The state is a few megabytes at most; little memory is enough.
fn options() -> RocksOptions {
    RocksOptions {
        column_families: vec![Cf::Default],
        block_cache_bytes: 8 << 20,
        write_buffer_bytes: 4 << 20,
        total_write_buffer_bytes: 12 << 20,
        max_wal_bytes: 16 << 20,
        max_open_files: 64,
        ..RocksOptions::kv()
    }
}

fn read_label(path: &Path) -> Result<Option<Label>> {
    let at = |reason: String| Error::DataDir { path: path.to_owned(), reason };
    let text = match fs::read_to_string(path.join(LABEL)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(format!("{LABEL}: {error}"))),
    };
    let label: Label = toml::from_str(&text)
        .map_err(|error| at(format!("{LABEL} is damaged ({}); restore it from a backup", error.message())))?;
    if label.kind != KIND {
        return Err(at(format!("it belongs to {:?}, not to a scheduler; choose another with --data-dir", label.kind)));
    }
    if label.format != FORMAT {
        return Err(at(format!("its format is {}, this program writes {FORMAT}", label.format)));
    }
    Ok(Some(label))
}

/// Replaces the label in one step: a crash leaves the old one or the new one.
fn write_label(path: &Path, label: &Label) -> io::Result<()> {
    let text = toml::to_string(label).map_err(io::Error::other)?;
    let temporary = path.join("scheduler.toml.new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path.join(LABEL))?;
    fs::File::open(path)?.sync_all()
}
