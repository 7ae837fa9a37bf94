//! Table files that RocksDB takes in as they are.
//!
//! They are in a folder of their own inside the database's, which RocksDB does not look at: `tables/NAME.CF.NUMBER.sst`, and when all
//! of a column family are durable, `NAME.CF.list` with the size of each. Ingestion adds a second link to each file, so nothing is
//! copied and the tables can be ingested again after a crash. They go to the disk in small steps while they are written, so a finished
//! one has little left to sync.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter};
use self_cell::self_cell;

use super::error::from_rocks;
use super::{Inner, RocksEngine};
use crate::engine::tables::{Ascending, check_name};
use crate::{Cf, Engine, Error, Result, TableWriter};

/// The folder inside the database's.
const FOLDER: &str = "tables";
/// How large a file becomes: as large as compactions make them. Each has to be synced when it ends, and others wait for the disk then.
const FILE_BYTES: usize = 64 << 20;
/// How much goes to the disk at once. Whoever syncs a log meanwhile waits behind it.
const STEP_BYTES: u64 = 256 << 10;

type BorrowingWriter<'a> = SstFileWriter<'a>;

self_cell!(
    struct FileWriter {
        owner: Options,
        #[covariant]
        dependent: BorrowingWriter,
    }
);

/// Writes table files for a [`RocksEngine`].
pub struct RocksTableWriter {
    engine: RocksEngine,
    name: String,
    cf: Cf,
    order: Ascending,
    writer: FileWriter,
    /// Pairs in the file that is being written; `None` if there is no such file.
    open_bytes: Option<usize>,
    /// Files so far, the one that is being written included.
    files: Vec<PathBuf>,
    finished: bool,
}

impl RocksTableWriter {
    pub(super) fn new(engine: &RocksEngine, name: &str, cf: Cf) -> Result<Self> {
        check_name(name)?;
        engine.inner.handle(cf)?;
        let folder = folder(&engine.inner);
        fs::create_dir_all(&folder).map_err(io("make the folder", &folder))?;
        remove_files(&engine.inner, &prefix(name, cf))?;
        let mut options = engine.inner.options.column_family(cf, &engine.inner.block_cache);
        options.set_writable_file_max_buffer_size(STEP_BYTES);
        options.set_bytes_per_sync(STEP_BYTES);
        let writer = FileWriter::new(options, |options| SstFileWriter::create(options));
        Ok(Self {
            engine: engine.clone(),
            name: name.to_owned(),
            cf,
            order: Ascending::default(),
            writer,
            open_bytes: None,
            files: Vec::new(),
            finished: false,
        })
    }

    fn finish_file(&mut self) -> Result<()> {
        match self.open_bytes.take() {
            Some(_) => self.writer.with_dependent_mut(|_, writer| writer.finish()).map_err(from_rocks),
            None => Ok(()),
        }
    }
}

impl TableWriter for RocksTableWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.order.check(self.cf, key)?;
        if self.open_bytes.is_none() {
            let path = table_path(&self.engine.inner, &self.name, self.cf, self.files.len());
            self.writer.with_dependent(|_, writer| writer.open(&path)).map_err(from_rocks)?;
            self.files.push(path);
        }
        self.writer.with_dependent_mut(|_, writer| writer.put(key, value)).map_err(from_rocks)?;
        let bytes = self.open_bytes.unwrap_or_default() + key.len() + value.len();
        self.open_bytes = Some(bytes);
        if bytes >= FILE_BYTES { self.finish_file() } else { Ok(()) }
    }

    fn finish(mut self) -> Result<()> {
        self.finish_file()?;
        let mut sizes = String::new();
        for path in &self.files {
            let size = fs::metadata(path).map_err(io("look at", path))?.len();
            sizes.push_str(&format!("{size}\n"));
        }
        let path = list_path(&self.engine.inner, &self.name, self.cf);
        let list = File::create(&path).and_then(|mut list| {
            list.write_all(sizes.as_bytes())?;
            list.sync_all()
        });
        list.map_err(io("write", &path))?;
        for path in [folder(&self.engine.inner), self.engine.inner.path.clone()] {
            File::open(&path).and_then(|folder| folder.sync_all()).map_err(io("sync the folder", &path))?;
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for RocksTableWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed by whoever uses the name next.
            let _ = remove_files(&self.engine.inner, &prefix(&self.name, self.cf));
        }
    }
}

/// The finished table files of a name and column family.
pub(super) fn finished(inner: &Inner, name: &str, cf: Cf) -> Result<Vec<PathBuf>> {
    check_name(name)?;
    let corrupted =
        |problem: &str| Error::Corrupted { message: format!("the tables {name} of column family {cf} are {problem}") };
    let list = list_path(inner, name, cf);
    let sizes = match fs::read_to_string(&list) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(corrupted("missing")),
        sizes => sizes.map_err(io("read", &list))?,
    };
    let paths = sizes.lines().enumerate().map(|(number, size)| {
        let path = table_path(inner, name, cf, number);
        let found = fs::metadata(&path).map(|metadata| metadata.len());
        if found.is_ok_and(|found| size.parse() == Ok(found)) { Ok(path) } else { Err(corrupted("damaged")) }
    });
    paths.collect()
}

/// Adds the table files of a name to the database.
pub(super) fn ingest(engine: &RocksEngine, name: &str, cfs: &[Cf]) -> Result<()> {
    let inner = &engine.inner;
    let tables =
        cfs.iter().map(|cf| Ok((inner.handle(*cf)?, finished(inner, name, *cf)?))).collect::<Result<Vec<_>>>()?;
    // What was written before would otherwise be lost in a crash that leaves the tables.
    engine.sync()?;
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    for (handle, files) in tables.into_iter().filter(|(_, files)| !files.is_empty()) {
        let links: Vec<PathBuf> = files.iter().map(|file| file.with_extension("link")).collect();
        for (file, link) in files.iter().zip(&links) {
            remove(link)?;
            fs::hard_link(file, link).map_err(io("link", link))?;
        }
        inner.db.ingest_external_file_cf_opts(handle, &options, links).map_err(from_rocks)?;
    }
    Ok(())
}

/// Removes all table files of a name.
pub(super) fn remove_tables(inner: &Inner, name: &str) -> Result<()> {
    check_name(name)?;
    remove_files(inner, &format!("{name}."))
}

/// The names under which there are files.
pub(super) fn names(inner: &Inner) -> Result<Vec<String>> {
    let files = files(inner)?;
    let names: BTreeSet<&str> = files.iter().filter_map(|file| Some(file.split_once('.')?.0)).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The list goes first: without it there are no finished tables.
fn remove_files(inner: &Inner, prefix: &str) -> Result<()> {
    let mut files = files(inner)?;
    files.sort_by_key(|file| !file.ends_with(".list"));
    let folder = folder(inner);
    files.iter().filter(|file| file.starts_with(prefix)).try_for_each(|file| remove(&folder.join(file)))
}

/// The names of all files in the folder of tables. There may be no such folder.
fn files(inner: &Inner) -> Result<Vec<String>> {
    let folder = folder(inner);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io("read the folder", &folder))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().map_err(io("read the folder", &folder))
}

fn prefix(name: &str, cf: Cf) -> String {
    format!("{name}.{cf}.")
}

fn table_path(inner: &Inner, name: &str, cf: Cf, number: usize) -> PathBuf {
    folder(inner).join(format!("{}{number:05}.sst", prefix(name, cf)))
}

fn list_path(inner: &Inner, name: &str, cf: Cf) -> PathBuf {
    folder(inner).join(format!("{}list", prefix(name, cf)))
}

fn folder(inner: &Inner) -> PathBuf {
    inner.path.join(FOLDER)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(io("remove", path)),
    }
}

fn io<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| {
        let message = format!("cannot {what} {}: {error}", path.display());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { message },
            _ => Error::Io { message },
        }
    }
}
