//! A raw store over one region, for the tests of the raw commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pollster::block_on;
use proto::kvrpcpb::Context;
use storage::raw::{Limits, RawStore, Scan};
use storage::{CasOutcome, CompareAndSwap, Engine, Modify, RegionReader, Result, Standalone, Storage};

/// A standalone store that answers as if it held one region only.
#[derive(Clone)]
pub struct OneRegion<E: Engine> {
    store: Standalone<E>,
    start_key: Bytes,
    end_key: Bytes,
}

impl<E: Engine> Storage for OneRegion<E> {
    type Reader = E::Snapshot;

    async fn reader(&self, ctx: &Context) -> Result<RegionReader<E::Snapshot>> {
        let RegionReader { reader, .. } = self.store.reader(ctx).await?;
        Ok(RegionReader { reader, start_key: self.start_key.clone(), end_key: self.end_key.clone() })
    }

    async fn write(&self, ctx: &Context, modifies: Vec<Modify>) -> Result<()> {
        self.store.write(ctx, modifies).await
    }

    async fn compare_and_swap(&self, ctx: &Context, cas: CompareAndSwap) -> Result<CasOutcome> {
        self.store.compare_and_swap(ctx, cas).await
    }
}

/// A raw store over one region, with a clock that the test moves, and calls that need no context.
pub struct Fixture<E: Engine> {
    pub raw: RawStore<OneRegion<E>>,
    clock: Arc<AtomicU64>,
}

impl<E: Engine> Fixture<E> {
    pub fn new(engine: &E) -> Self {
        Self::with(engine, "", "", Limits::default())
    }

    pub fn with(engine: &E, start_key: &'static str, end_key: &'static str, limits: Limits) -> Self {
        let clock = Arc::new(AtomicU64::new(1_000));
        let time = Arc::clone(&clock);
        let store = Standalone::new(engine.clone());
        let region = OneRegion { store, start_key: start_key.into(), end_key: end_key.into() };
        Self { raw: RawStore::new(region, limits, Arc::new(move || time.load(Ordering::Relaxed))), clock }
    }

    pub fn set_time(&self, now: u64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    pub fn put_for(&self, key: &'static str, value: &'static str, ttl: u64) {
        block_on(self.raw.put(&Context::default(), "", key.into(), value.into(), ttl)).expect("the put succeeds");
    }

    pub fn put_all(&self, keys: &[&'static str]) {
        keys.iter().for_each(|key| self.put_for(key, "v", 0));
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        block_on(self.raw.get(&Context::default(), "", key.as_bytes())).expect("the get succeeds")
    }

    pub fn ttl(&self, key: &str) -> Option<u64> {
        block_on(self.raw.get_key_ttl(&Context::default(), "", key.as_bytes())).expect("the ttl is read")
    }

    pub fn scan(&self, scan: &Scan) -> Result<Vec<String>> {
        let pairs = block_on(self.raw.scan(&Context::default(), "", scan))?;
        Ok(pairs
            .into_iter()
            .map(|(key, _)| String::from_utf8(key.to_vec()).expect("the tests' keys are text"))
            .collect())
    }

    pub fn cas(&self, value: &'static str, previous: Option<&'static str>, ttl: u64) -> (bool, Option<Bytes>) {
        let previous = previous.map(Bytes::from);
        let ctx = Context::default();
        let cas = self.raw.compare_and_swap(&ctx, "", "k".into(), value.into(), previous, ttl);
        let CasOutcome { succeeded, previous } = block_on(cas).expect("the swap is decided");
        (succeeded, previous)
    }
}
