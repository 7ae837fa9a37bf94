//! The `Raw*` commands: from protocol messages to [`storage::raw`] and back.
//!
//! Every method takes a request and always has a response; errors are in it (see [`super::region_error`]). Single keys are read
//! on the calling thread. Scans, checksums and large batch gets first take their snapshot without blocking anything and then walk
//! it in the pool for blocking work.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use proto::kvrpcpb::*;
use storage::raw::{Checksum, Limits, Pair, RawStore, Scan, WallClock};
use storage::{CasOutcome, CompareAndSwap, Modify, Reader, RegionReader, Storage};

use super::region_error::Failure;
use crate::metrics::{Command, Metrics};

/// Batch gets up to this many keys are answered on the calling thread.
const INLINE_KEYS: usize = 32;

/// The raw commands of one store. Clones are cheap and share everything.
#[derive(Clone)]
pub struct RawCommands<S> {
    store: RawStore<S>,
    clock: Arc<dyn WallClock>,
    /// Id of the cluster that requests may name; 0 = not known, not checked.
    cluster_id: u64,
    metrics: Arc<Metrics>,
}

impl<S: Storage> RawCommands<S> {
    /// Commands over `storage`.
    pub fn new(storage: S, limits: Limits, clock: Arc<dyn WallClock>, cluster_id: u64, metrics: Arc<Metrics>) -> Self {
        Self { store: RawStore::new(storage, limits, clock.clone()), clock, cluster_id, metrics }
    }

    /// `RawGet`.
    pub async fn get(&self, request: RawGetRequest) -> RawGetResponse {
        let command = |ctx| async move { self.store.get(&ctx, &request.cf, &request.key).await };
        match self.run(Command::RawGet, request.context, command).await {
            Ok(Some(value)) => RawGetResponse { value, ..Default::default() },
            Ok(None) => RawGetResponse { not_found: true, ..Default::default() },
            Err(failure) => {
                let (region_error, error) = failure.fields();
                RawGetResponse { region_error, error, ..Default::default() }
            }
        }
    }

    /// `RawBatchGet`: missing keys are left out.
    pub async fn batch_get(&self, request: RawBatchGetRequest) -> RawBatchGetResponse {
        let RawBatchGetRequest { context, keys, cf } = request;
        let result = if keys.len() <= INLINE_KEYS {
            let command = |ctx| async move { self.store.batch_get(&ctx, &cf, &keys).await };
            self.run(Command::RawBatchGet, context, command).await
        } else {
            let command = move |store: View<S>, ctx| store.batch_get(&ctx, &cf, &keys).now_or_never();
            self.run_on_snapshot(Command::RawBatchGet, context, command).await
        };
        let (region_error, pairs) = answer_pairs(result);
        RawBatchGetResponse { region_error, pairs }
    }

    /// `RawPut`.
    pub async fn put(&self, request: RawPutRequest) -> RawPutResponse {
        let RawPutRequest { context, key, value, cf, ttl, .. } = request;
        let command = |ctx| async move { self.store.put(&ctx, &cf, key, value, ttl).await };
        let (region_error, error) = answer_nothing(self.run(Command::RawPut, context, command).await);
        RawPutResponse { region_error, error }
    }

    /// `RawBatchPut`; takes `ttls` and the older `ttl` for all pairs.
    pub async fn batch_put(&self, request: RawBatchPutRequest) -> RawBatchPutResponse {
        let RawBatchPutRequest { context, pairs, cf, mut ttls, .. } = request;
        #[allow(deprecated)]
        let ttl = request.ttl;
        if ttls.is_empty() && ttl != 0 {
            ttls = vec![ttl];
        }
        let pairs: Vec<Pair> = pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
        let command = |ctx| async move { self.store.batch_put(&ctx, &cf, pairs, &ttls).await };
        let (region_error, error) = answer_nothing(self.run(Command::RawBatchPut, context, command).await);
        RawBatchPutResponse { region_error, error }
    }

    /// `RawDelete`.
    pub async fn delete(&self, request: RawDeleteRequest) -> RawDeleteResponse {
        let command = |ctx| async move { self.store.delete(&ctx, &request.cf, request.key).await };
        let (region_error, error) = answer_nothing(self.run(Command::RawDelete, request.context, command).await);
        RawDeleteResponse { region_error, error }
    }

    /// `RawBatchDelete`.
    pub async fn batch_delete(&self, request: RawBatchDeleteRequest) -> RawBatchDeleteResponse {
        let command = |ctx| async move { self.store.batch_delete(&ctx, &request.cf, request.keys).await };
        let (region_error, error) = answer_nothing(self.run(Command::RawBatchDelete, request.context, command).await);
        RawBatchDeleteResponse { region_error, error }
    }

    /// `RawDeleteRange`.
    pub async fn delete_range(&self, request: RawDeleteRangeRequest) -> RawDeleteRangeResponse {
        let RawDeleteRangeRequest { context, start_key, end_key, cf } = request;
        let command = |ctx| async move { self.store.delete_range(&ctx, &cf, start_key, end_key).await };
        let (region_error, error) = answer_nothing(self.run(Command::RawDeleteRange, context, command).await);
        RawDeleteRangeResponse { region_error, error }
    }

    /// `RawScan`, forward or reverse; the range is cut to the region.
    pub async fn scan(&self, request: RawScanRequest) -> RawScanResponse {
        let RawScanRequest { context, start_key, limit, key_only, cf, reverse, end_key } = request;
        let scan = Scan { start_key, end_key, limit: limit as usize, key_only, reverse };
        let command = move |store: View<S>, ctx| store.scan(&ctx, &cf, &scan).now_or_never();
        let (region_error, kvs) = answer_pairs(self.run_on_snapshot(Command::RawScan, context, command).await);
        RawScanResponse { region_error, kvs }
    }

    /// `RawBatchScan`: the pairs of all ranges, one range after the other.
    pub async fn batch_scan(&self, request: RawBatchScanRequest) -> RawBatchScanResponse {
        let RawBatchScanRequest { context, ranges, each_limit, key_only, cf, reverse } = request;
        let scans: Vec<Scan> = ranges
            .into_iter()
            .map(|KeyRange { start_key, end_key }| Scan {
                start_key,
                end_key,
                limit: each_limit as usize,
                key_only,
                reverse,
            })
            .collect();
        let command = move |store: View<S>, ctx| store.batch_scan(&ctx, &cf, &scans).now_or_never();
        let (region_error, kvs) = answer_pairs(self.run_on_snapshot(Command::RawBatchScan, context, command).await);
        RawBatchScanResponse { region_error, kvs }
    }

    /// `RawGetKeyTTL`: seconds left, 0 for a key that never expires.
    pub async fn get_key_ttl(&self, request: RawGetKeyTtlRequest) -> RawGetKeyTtlResponse {
        let command = |ctx| async move { self.store.get_key_ttl(&ctx, &request.cf, &request.key).await };
        match self.run(Command::RawGetKeyTtl, request.context, command).await {
            Ok(Some(ttl)) => RawGetKeyTtlResponse { ttl, ..Default::default() },
            Ok(None) => RawGetKeyTtlResponse { not_found: true, ..Default::default() },
            Err(failure) => {
                let (region_error, error) = failure.fields();
                RawGetKeyTtlResponse { region_error, error, ..Default::default() }
            }
        }
    }

    /// `RawCompareAndSwap`.
    pub async fn compare_and_swap(&self, request: RawCasRequest) -> RawCasResponse {
        let RawCasRequest { context, key, value, previous_not_exist, previous_value, cf, ttl, delete } = request;
        if delete {
            let error = "a compare-and-swap that deletes is not supported by this server".to_owned();
            return RawCasResponse { error, ..Default::default() };
        }
        let previous = (!previous_not_exist).then_some(previous_value);
        let command = |ctx| async move { self.store.compare_and_swap(&ctx, &cf, key, value, previous, ttl).await };
        let result = self.run(Command::RawCompareAndSwap, context, command).await;
        match result {
            Ok(CasOutcome { succeeded: succeed, previous }) => RawCasResponse {
                succeed,
                previous_not_exist: previous.is_none(),
                previous_value: previous.unwrap_or_default(),
                ..Default::default()
            },
            Err(failure) => {
                let (region_error, error) = failure.fields();
                RawCasResponse { region_error, error, ..Default::default() }
            }
        }
    }

    /// `RawChecksum`.
    pub async fn checksum(&self, request: RawChecksumRequest) -> RawChecksumResponse {
        let RawChecksumRequest { context, algorithm, ranges } = request;
        if algorithm != ChecksumAlgorithm::Crc64Xor as i32 {
            let error = format!("checksum algorithm {algorithm} is unknown; use 0 (Crc64_Xor)");
            return RawChecksumResponse { error, ..Default::default() };
        }
        let ranges: Vec<(Bytes, Bytes)> = ranges.into_iter().map(|range| (range.start_key, range.end_key)).collect();
        let command = move |store: View<S>, ctx| store.checksum(&ctx, "", &ranges).now_or_never();
        match self.run_on_snapshot(Command::RawChecksum, context, command).await {
            Ok(Checksum { crc64_xor: checksum, total_kvs, total_bytes }) => {
                RawChecksumResponse { checksum, total_kvs, total_bytes, ..Default::default() }
            }
            Err(failure) => {
                let (region_error, error) = failure.fields();
                RawChecksumResponse { region_error, error, ..Default::default() }
            }
        }
    }

    /// Runs a command on the calling thread and counts it.
    async fn run<T, F, R>(&self, name: Command, ctx: Option<Context>, command: F) -> Result<T, Failure>
    where
        F: FnOnce(Context) -> R,
        R: Future<Output = storage::Result<T>>,
    {
        let start = Instant::now();
        let ctx = ctx.unwrap_or_default();
        let region_id = ctx.region_id;
        let result = match self.check_context(&ctx) {
            Ok(()) => command(ctx).await.map_err(|error| Failure::new(error, name, region_id)),
            Err(failure) => Err(failure),
        };
        self.metrics.observe(name, start, result.is_err());
        result
    }

    /// Takes a snapshot, then runs a command on it in the pool for blocking work.
    async fn run_on_snapshot<T, F>(&self, name: Command, ctx: Option<Context>, command: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(View<S>, Context) -> Option<storage::Result<T>> + Send + 'static,
    {
        self.run(name, ctx, |ctx| async move {
            let RegionReader { reader, start_key, end_key } = self.store.storage().reader(&ctx).await?;
            let view = SnapshotStorage { reader: Arc::new(reader), start_key, end_key };
            let store = RawStore::new(view, self.store.limits().clone(), self.clock.clone());
            let walk = move || command(store, ctx).expect("invariant: a snapshot is there, nothing is waited for");
            match tokio::task::spawn_blocking(walk).await {
                Ok(result) => result,
                Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                Err(_) => Err(storage::Error::Stopped),
            }
        })
        .await
    }

    /// Refuses requests of another cluster, and key formats that this server does not have.
    fn check_context(&self, ctx: &Context) -> Result<(), Failure> {
        if ctx.cluster_id != 0 && self.cluster_id != 0 && ctx.cluster_id != self.cluster_id {
            return Err(Failure::Text(format!(
                "the request is for cluster {}, this store belongs to cluster {}",
                ctx.cluster_id, self.cluster_id
            )));
        }
        if ctx.api_version != ApiVersion::V1 as i32 && ctx.api_version != ApiVersion::V1ttl as i32 {
            return Err(Failure::Text("only API version V1 is supported; connect without a keyspace".to_owned()));
        }
        Ok(())
    }
}

fn answer_nothing(result: Result<(), Failure>) -> (Option<proto::errorpb::Error>, String) {
    result.err().map_or((None, String::new()), Failure::fields)
}

fn answer_pairs(result: Result<Vec<Pair>, Failure>) -> (Option<proto::errorpb::Error>, Vec<KvPair>) {
    match result {
        Ok(pairs) => {
            (None, pairs.into_iter().map(|(key, value)| KvPair { key, value, ..Default::default() }).collect())
        }
        Err(failure) => failure.pair(),
    }
}

/// The raw commands on a snapshot that was taken already.
type View<S> = RawStore<SnapshotStorage<<S as Storage>::Reader>>;

/// A storage that always reads from the same snapshot and takes no writes.
pub struct SnapshotStorage<R> {
    reader: Arc<R>,
    start_key: Bytes,
    end_key: Bytes,
}

impl<R> Clone for SnapshotStorage<R> {
    fn clone(&self) -> Self {
        Self { reader: self.reader.clone(), start_key: self.start_key.clone(), end_key: self.end_key.clone() }
    }
}

/// A shared reader.
pub struct SharedReader<R>(Arc<R>);

impl<R: Reader> Reader for SharedReader<R> {
    type Cursor<'a>
        = R::Cursor<'a>
    where
        R: 'a;

    fn get(&self, cf: storage::Cf, key: &[u8]) -> storage::Result<Option<Bytes>> {
        self.0.get(cf, key)
    }

    fn cursor(&self, cf: storage::Cf, lower: Option<&[u8]>, upper: Option<&[u8]>) -> storage::Result<R::Cursor<'_>> {
        self.0.cursor(cf, lower, upper)
    }
}

impl<R: Reader + Send + Sync + 'static> Storage for SnapshotStorage<R> {
    type Reader = SharedReader<R>;

    async fn reader(&self, _ctx: &Context) -> storage::Result<RegionReader<SharedReader<R>>> {
        let reader = SharedReader(self.reader.clone());
        Ok(RegionReader { reader, start_key: self.start_key.clone(), end_key: self.end_key.clone() })
    }

    async fn write(&self, _ctx: &Context, _modifies: Vec<Modify>) -> storage::Result<()> {
        Err(read_only())
    }

    async fn compare_and_swap(&self, _ctx: &Context, _cas: CompareAndSwap) -> storage::Result<CasOutcome> {
        Err(read_only())
    }
}

fn read_only() -> storage::Error {
    storage::Error::Engine { message: "a snapshot takes no writes".to_owned() }
}
