//! Tables beside a `MemEngine`: durable when they are finished, so a crash leaves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MemEngine;
use crate::engine::tables::{Ascending, check_name};
use crate::{Cf, Error, Result, TableWriter, WriteBatch};

/// The finished tables, by name.
pub(super) type FinishedTables = BTreeMap<String, BTreeMap<Cf, Finished>>;

/// The pairs of one column family; cheap to clone.
#[derive(Clone)]
pub(super) struct Finished {
    pairs: Arc<WriteBatch>,
    damaged: bool,
}

/// Writes tables beside a [`MemEngine`].
pub struct MemTableWriter {
    engine: MemEngine,
    name: String,
    cf: Cf,
    order: Ascending,
    pairs: WriteBatch,
}

impl MemTableWriter {
    pub(super) fn new(engine: MemEngine, name: &str, cf: Cf) -> Result<Self> {
        check_name(name)?;
        {
            let mut state = engine.state();
            state.check_running()?;
            if let Some(tables) = state.finished.get_mut(name) {
                tables.remove(&cf);
            }
        }
        Ok(Self { engine, name: name.to_owned(), cf, order: Ascending::default(), pairs: WriteBatch::new() })
    }
}

impl TableWriter for MemTableWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.order.check(self.cf, key)?;
        self.pairs.put(self.cf, key.to_vec(), value.to_vec());
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let mut state = self.engine.state();
        state.check_running()?;
        self.engine.faults.admit(self.pairs.size_bytes())?;
        state
            .finished
            .entry(self.name)
            .or_default()
            .insert(self.cf, Finished { pairs: Arc::new(self.pairs), damaged: false });
        Ok(())
    }
}

impl MemEngine {
    /// Damages the finished tables of a name, as a failing disk may. Returns whether there were any.
    pub fn damage_tables(&self, name: &str) -> bool {
        let mut state = self.state();
        let tables = state.finished.get_mut(name);
        tables.is_some_and(|tables| {
            tables.values_mut().for_each(|table| table.damaged = true);
            !tables.is_empty()
        })
    }

    /// What ingesting the tables of a name writes.
    ///
    /// Errors: see [`Engine::ingest`](crate::Engine::ingest).
    pub fn ingestion(&self, name: &str, cfs: &[Cf]) -> Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        for cf in cfs {
            batch.extend(self.finished_tables(name, *cf)?.pairs.ops().iter().cloned());
        }
        Ok(batch)
    }

    pub(super) fn finished_tables(&self, name: &str, cf: Cf) -> Result<Finished> {
        check_name(name)?;
        let state = self.state();
        state.check_running()?;
        let found = state.finished.get(name).and_then(|tables| tables.get(&cf));
        let problem = match found {
            Some(tables) if !tables.damaged => return Ok(tables.clone()),
            Some(_) => "damaged",
            None => "missing",
        };
        Err(Error::Corrupted { message: format!("the tables {name} of column family {cf} are {problem}") })
    }

    pub(super) fn add_tables(&self, name: &str, cfs: &[Cf]) -> Result<()> {
        let batch = self.ingestion(name, cfs)?;
        let mut state = self.state();
        state.check_running()?;
        // The tables have their room on the disk already; that they belong to the engine has to be written down.
        self.faults.admit(name.len())?;
        state.apply(&batch);
        state.make_durable();
        Ok(())
    }

    pub(super) fn drop_tables(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut state = self.state();
        state.check_running()?;
        state.finished.remove(name);
        Ok(())
    }
}
