//! A folder in memory that models a crash: contents that were not synced are gone, and of the changes of names since the last
//! sync of the folder a prefix survives.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{Cursor, Error, ErrorKind, Read, Result, Write},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{DurableFile, SnapshotDir};

#[derive(Clone, Default)]
struct Content {
    visible: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
}

type Names = BTreeMap<String, u64>;

fn change_name(names: &mut Names, change: NameChange) {
    match change {
        NameChange::Link(name, file) => {
            names.insert(name, file);
        }
        NameChange::Unlink(name) => {
            names.remove(&name);
        }
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    last_file: u64,
    names: Names,
    durable_names: Names,
    unsynced: VecDeque<NameChange>,
    stopped: bool,
}

impl State {
    fn apply(&mut self, changes: Vec<NameChange>) {
        for change in changes {
            change_name(&mut self.names, change.clone());
            self.unsynced.push_back(change);
        }
    }
}

/// See the module. Clones are handles to the same folder.
#[derive(Clone, Default)]
pub struct MemDir {
    state: Arc<Mutex<State>>,
}

impl MemDir {
    /// An empty folder.
    pub fn new() -> Self {
        MemDir::default()
    }

    /// How many changes of names a crash may lose now.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Whether a crash may lose contents of files now.
    pub fn has_unsynced_contents(&self) -> bool {
        let state = self.state();
        let differs = |content: &Content| content.visible != content.durable;
        state.names.values().filter_map(|file| state.files.get(file)).any(differs)
    }

    /// Crashes: this handle and its clones fail from now on. Returns the folder as it is found afterwards, with the first
    /// `survivors` of the un-synced changes of names.
    pub fn crash(&self, survivors: usize) -> MemDir {
        self.crash_keeping(survivors, |content| &content.durable)
    }

    /// Crashes just after everything has reached the disk by itself, though nobody had asked for it.
    pub fn crash_late(&self) -> MemDir {
        self.crash_keeping(usize::MAX, |content| &content.visible)
    }

    fn crash_keeping(&self, survivors: usize, kept: impl Fn(&Content) -> &Vec<u8>) -> MemDir {
        let mut state = self.state();
        state.stopped = true;
        let mut names = state.durable_names.clone();
        state.unsynced.iter().take(survivors).cloned().for_each(|change| change_name(&mut names, change));
        let keep = |content: &Content| Content { visible: kept(content).clone(), durable: kept(content).clone() };
        let found = State {
            files: names.values().filter_map(|file| Some((*file, keep(state.files.get(file)?)))).collect(),
            last_file: state.last_file,
            durable_names: names.clone(),
            names,
            ..State::default()
        };
        MemDir { state: Arc::new(Mutex::new(found)) }
    }

    /// Flips a bit of a file, as a failing disk may.
    ///
    /// # Errors
    /// There is no such file, or it has no such byte.
    pub fn damage(&self, name: &str, byte: usize) -> Result<()> {
        let mut state = self.state();
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        let content = state.files.get_mut(&file).ok_or(ErrorKind::NotFound)?;
        *content.visible.get_mut(byte).ok_or(ErrorKind::UnexpectedEof)? ^= 0x10;
        // What was not synced may be nowhere but in memory.
        if let Some(durable) = content.durable.get_mut(byte) {
            *durable ^= 0x10;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no thread panics while it holds the folder's lock")
    }

    fn running(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.stopped { Err(Error::other("the folder's store has crashed")) } else { Ok(state) }
    }
}

struct MemFile {
    dir: MemDir,
    file: u64,
}

impl Write for MemFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut state = self.dir.running()?;
        let content = state.files.get_mut(&self.file).ok_or(ErrorKind::NotFound)?;
        content.visible.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl DurableFile for MemFile {
    fn sync(&mut self) -> Result<()> {
        let mut state = self.dir.running()?;
        let content = state.files.get_mut(&self.file).ok_or(ErrorKind::NotFound)?;
        content.durable = content.visible.clone();
        Ok(())
    }
}

impl SnapshotDir for MemDir {
    fn create(&self, name: &str) -> Result<Box<dyn DurableFile>> {
        let mut state = self.running()?;
        state.last_file += 1;
        let file = state.last_file;
        state.files.insert(file, Content::default());
        state.apply(vec![NameChange::Link(name.to_owned(), file)]);
        Ok(Box::new(MemFile { dir: self.clone(), file }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        let state = self.running()?;
        let content = state.names.get(name).and_then(|file| state.files.get(file)).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(content.visible.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut state = self.running()?;
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        // One change, as a file system does it: the old name goes when the new one is there.
        state.apply(vec![NameChange::Link(to.to_owned(), file), NameChange::Unlink(from.to_owned())]);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.running()?.apply(vec![NameChange::Unlink(name.to_owned())]);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.running()?;
        state.durable_names = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.running()?.names.keys().cloned().collect())
    }
}
