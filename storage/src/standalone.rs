//! A store on one node (project 1): every write goes straight into the engine and is durable when it returns. No Raft, no regions,
//! so the request context decides nothing.
//!
//! Plain writes share the lock and may run at once (the engine groups their syncs); a compare-and-swap takes it alone, because
//! nothing may come between its look and its write. The futures are ready at once.

use std::sync::{Arc, RwLock};

use proto::kvrpcpb;

use crate::{CasOutcome, CompareAndSwap, Durability, Engine, Modify, RegionReader, Result, Storage, WriteBatch, raw};

/// A [`Storage`] on a single engine.
#[derive(Clone)]
pub struct Standalone<E: Engine> {
    engine: E,
    writes: Arc<RwLock<()>>,
}

impl<E: Engine> Standalone<E> {
    /// A store over `engine`.
    pub fn new(engine: E) -> Self {
        Self { engine, writes: Arc::default() }
    }

    /// The engine below.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    fn snapshot_reader(&self) -> Result<RegionReader<E::Snapshot>> {
        // lab:begin 1 standalone::snapshot_reader  hint="a reader is a snapshot: what is written later must not show; one node owns all keys"
        Ok(RegionReader::unbounded(self.engine.snapshot()))
        // lab:end
    }

    fn write_now(&self, modifies: Vec<Modify>) -> Result<()> {
        // lab:begin 1 standalone::write_now  hint="one batch for all changes, in order, synced; several writers may be here at once"
        let _shared = self.writes.read().expect("invariant: no writer panics while it holds the lock");
        self.engine.write(modifies.into_iter().collect::<WriteBatch>(), Durability::Sync)
        // lab:end
    }

    fn swap_now(&self, cas: CompareAndSwap) -> Result<CasOutcome> {
        // lab:begin 1 standalone::swap_now  hint="take the lock alone, decide with raw::compare_and_swap, write what it returns"
        let _alone = self.writes.write().expect("invariant: no writer panics while it holds the lock");
        let (outcome, op) = raw::compare_and_swap(&self.engine, cas)?;
        if let Some(op) = op {
            self.engine.write(WriteBatch::from_iter([op]), Durability::Sync)?;
        }
        Ok(outcome)
        // lab:end
    }
}

impl<E: Engine> Storage for Standalone<E> {
    type Reader = E::Snapshot;

    async fn reader(&self, _: &kvrpcpb::Context) -> Result<RegionReader<E::Snapshot>> {
        self.snapshot_reader()
    }

    async fn write(&self, _: &kvrpcpb::Context, modifies: Vec<Modify>) -> Result<()> {
        self.write_now(modifies)
    }

    async fn compare_and_swap(&self, _: &kvrpcpb::Context, cas: CompareAndSwap) -> Result<CasOutcome> {
        self.swap_now(cas)
    }
}
