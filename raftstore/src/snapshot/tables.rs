//! The tables that received pairs are written into, whatever the engine: [`storage::Engine`] as an object.

use storage::{Cf, Engine, Result, TableWriter};

/// What snapshots ask of the kv engine.
pub(super) trait Tables: Send + Sync {
    fn writer(&self, name: &str, cf: Cf) -> Result<Box<dyn Sorted>>;
    fn check(&self, name: &str, cf: Cf) -> Result<()>;
    fn names(&self) -> Result<Vec<String>>;
    fn remove(&self, name: &str) -> Result<()>;
}

/// Takes pairs in the order of their keys.
pub(super) trait Sorted: Send {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<()>;
}

impl<E: Engine> Tables for E {
    fn writer(&self, name: &str, cf: Cf) -> Result<Box<dyn Sorted>> {
        Ok(Box::new(self.table_writer(name, cf)?))
    }

    fn check(&self, name: &str, cf: Cf) -> Result<()> {
        self.check_tables(name, cf)
    }

    fn names(&self) -> Result<Vec<String>> {
        self.table_names()
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.remove_tables(name)
    }
}

impl<W: TableWriter> Sorted for W {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        TableWriter::put(self, key, value)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        TableWriter::finish(*self)
    }
}
