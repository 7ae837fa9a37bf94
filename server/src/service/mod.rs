//! The gRPC service of a store, `tikvpb.Tikv`.
//!
//! | file | RPCs |
//! |---|---|
//! | [`raw`] | `Raw*` |
//! | [`batch`] | `BatchCommands` |
//! | [`split`] | `SplitRegion` |
//! | [`mod@raft`] | `Raft`, `BatchRaft`, `Snapshot` |
//! | [`region_error`] | how errors are answered |
//!
//! A request runs on the task that HTTP/2 gave it, on a thread of the async runtime; no thread is parked for it. Reads of
//! single keys touch the engine right there, because moving them costs more than they take; scans and checksums go to the pool
//! for blocking work. Transactions are not served yet: their RPCs answer UNIMPLEMENTED and say so.

pub mod batch;
pub mod raft;
pub mod raw;
pub mod region_error;
pub mod split;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use proto::kvrpcpb::*;
use proto::raft_serverpb::{Done, RaftMessage, SnapshotChunk};
use proto::tikvpb::tikv_server::Tikv;
use proto::tikvpb::{BatchCommandsRequest, BatchRaftMessage};
use storage::Storage;
use tonic::{Request, Response, Status, Streaming};

use crate::metrics::Metrics;
use crate::snapshots::SnapshotTraffic;
use crate::stop::StopSignal;
use batch::BatchStream;
use raft::{RaftInbox, RaftReceiver};
use raw::RawCommands;
use split::RegionSplitter;

/// Result of an RPC.
type Answer<T> = Result<Response<T>, Status>;

/// The service of one store: commands run on `S`, raft messages go to `I`.
pub struct TikvService<S: Storage, I> {
    raw: RawCommands<S>,
    raft: RaftReceiver<I>,
    splitter: I,
    batch_concurrency: usize,
    metrics: Arc<Metrics>,
    stop: StopSignal,
    snapshots: Option<SnapshotTraffic>,
}

impl<S: Storage, I: RaftInbox + RegionSplitter> TikvService<S, I> {
    /// A service that ends its streams at `stop`; `batch_concurrency` commands of one stream run at a time.
    pub fn new(
        raw: RawCommands<S>,
        inbox: I,
        batch_concurrency: usize,
        metrics: Arc<Metrics>,
        stop: StopSignal,
    ) -> Self {
        let (splitter, raft) = (inbox.clone(), RaftReceiver::new(inbox, metrics.clone(), stop.clone()));
        Self { raw, raft, splitter, batch_concurrency, metrics, stop, snapshots: None }
    }

    /// The same, taking snapshots from other stores.
    pub fn with_snapshots(self, snapshots: SnapshotTraffic) -> Self {
        Self { snapshots: Some(snapshots), ..self }
    }
}

fn unimplemented<T>(name: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("{name} is not supported by this server")))
}

#[tonic::async_trait]
impl<S: Storage, I: RaftInbox + RegionSplitter> Tikv for TikvService<S, I> {
    type BatchCommandsStream = BatchStream<S>;

    async fn raw_get(&self, request: Request<RawGetRequest>) -> Answer<RawGetResponse> {
        Ok(Response::new(self.raw.get(request.into_inner()).await))
    }

    async fn raw_batch_get(&self, request: Request<RawBatchGetRequest>) -> Answer<RawBatchGetResponse> {
        Ok(Response::new(self.raw.batch_get(request.into_inner()).await))
    }

    async fn raw_put(&self, request: Request<RawPutRequest>) -> Answer<RawPutResponse> {
        Ok(Response::new(self.raw.put(request.into_inner()).await))
    }

    async fn raw_batch_put(&self, request: Request<RawBatchPutRequest>) -> Answer<RawBatchPutResponse> {
        Ok(Response::new(self.raw.batch_put(request.into_inner()).await))
    }

    async fn raw_delete(&self, request: Request<RawDeleteRequest>) -> Answer<RawDeleteResponse> {
        Ok(Response::new(self.raw.delete(request.into_inner()).await))
    }

    async fn raw_batch_delete(&self, request: Request<RawBatchDeleteRequest>) -> Answer<RawBatchDeleteResponse> {
        Ok(Response::new(self.raw.batch_delete(request.into_inner()).await))
    }

    async fn raw_scan(&self, request: Request<RawScanRequest>) -> Answer<RawScanResponse> {
        Ok(Response::new(self.raw.scan(request.into_inner()).await))
    }

    async fn raw_delete_range(&self, request: Request<RawDeleteRangeRequest>) -> Answer<RawDeleteRangeResponse> {
        Ok(Response::new(self.raw.delete_range(request.into_inner()).await))
    }

    async fn raw_batch_scan(&self, request: Request<RawBatchScanRequest>) -> Answer<RawBatchScanResponse> {
        Ok(Response::new(self.raw.batch_scan(request.into_inner()).await))
    }

    async fn raw_get_key_ttl(&self, request: Request<RawGetKeyTtlRequest>) -> Answer<RawGetKeyTtlResponse> {
        Ok(Response::new(self.raw.get_key_ttl(request.into_inner()).await))
    }

    async fn raw_compare_and_swap(&self, request: Request<RawCasRequest>) -> Answer<RawCasResponse> {
        Ok(Response::new(self.raw.compare_and_swap(request.into_inner()).await))
    }

    async fn raw_checksum(&self, request: Request<RawChecksumRequest>) -> Answer<RawChecksumResponse> {
        Ok(Response::new(self.raw.checksum(request.into_inner()).await))
    }

    async fn batch_commands(&self, request: Request<Streaming<BatchCommandsRequest>>) -> Answer<BatchStream<S>> {
        let (raw, metrics, stop) = (self.raw.clone(), self.metrics.clone(), self.stop.clone());
        Ok(Response::new(BatchStream::new(request.into_inner(), raw, self.batch_concurrency, metrics, stop)))
    }

    async fn raft(&self, request: Request<Streaming<RaftMessage>>) -> Answer<Done> {
        self.raft.raft(request.into_inner()).await
    }

    async fn batch_raft(&self, request: Request<Streaming<BatchRaftMessage>>) -> Answer<Done> {
        self.raft.batch_raft(request.into_inner()).await
    }

    async fn snapshot(&self, request: Request<Streaming<SnapshotChunk>>) -> Answer<Done> {
        match &self.snapshots {
            Some(snapshots) => self.raft.snapshot(snapshots, request.into_inner()).await,
            None => unimplemented("Snapshot"),
        }
    }

    async fn get_health_feedback(
        &self,
        _request: Request<GetHealthFeedbackRequest>,
    ) -> Answer<GetHealthFeedbackResponse> {
        Ok(Response::new(GetHealthFeedbackResponse::default()))
    }

    async fn kv_get(&self, _request: Request<GetRequest>) -> Answer<GetResponse> {
        unimplemented("KvGet")
    }

    async fn kv_scan(&self, _request: Request<ScanRequest>) -> Answer<ScanResponse> {
        unimplemented("KvScan")
    }

    async fn kv_prewrite(&self, _request: Request<PrewriteRequest>) -> Answer<PrewriteResponse> {
        unimplemented("KvPrewrite")
    }

    async fn kv_pessimistic_lock(&self, _request: Request<PessimisticLockRequest>) -> Answer<PessimisticLockResponse> {
        unimplemented("KvPessimisticLock")
    }

    async fn kv_pessimistic_rollback(
        &self,
        _request: Request<PessimisticRollbackRequest>,
    ) -> Answer<PessimisticRollbackResponse> {
        unimplemented("KVPessimisticRollback")
    }

    async fn kv_txn_heart_beat(&self, _request: Request<TxnHeartBeatRequest>) -> Answer<TxnHeartBeatResponse> {
        unimplemented("KvTxnHeartBeat")
    }

    async fn kv_check_txn_status(&self, _request: Request<CheckTxnStatusRequest>) -> Answer<CheckTxnStatusResponse> {
        unimplemented("KvCheckTxnStatus")
    }

    async fn kv_check_secondary_locks(
        &self,
        _request: Request<CheckSecondaryLocksRequest>,
    ) -> Answer<CheckSecondaryLocksResponse> {
        unimplemented("KvCheckSecondaryLocks")
    }

    async fn kv_commit(&self, _request: Request<CommitRequest>) -> Answer<CommitResponse> {
        unimplemented("KvCommit")
    }

    async fn kv_cleanup(&self, _request: Request<CleanupRequest>) -> Answer<CleanupResponse> {
        unimplemented("KvCleanup")
    }

    async fn kv_batch_get(&self, _request: Request<BatchGetRequest>) -> Answer<BatchGetResponse> {
        unimplemented("KvBatchGet")
    }

    async fn kv_batch_rollback(&self, _request: Request<BatchRollbackRequest>) -> Answer<BatchRollbackResponse> {
        unimplemented("KvBatchRollback")
    }

    async fn kv_scan_lock(&self, _request: Request<ScanLockRequest>) -> Answer<ScanLockResponse> {
        unimplemented("KvScanLock")
    }

    async fn kv_resolve_lock(&self, _request: Request<ResolveLockRequest>) -> Answer<ResolveLockResponse> {
        unimplemented("KvResolveLock")
    }

    async fn kv_gc(&self, _request: Request<GcRequest>) -> Answer<GcResponse> {
        unimplemented("KvGC")
    }

    async fn kv_delete_range(&self, _request: Request<DeleteRangeRequest>) -> Answer<DeleteRangeResponse> {
        unimplemented("KvDeleteRange")
    }

    async fn unsafe_destroy_range(
        &self,
        _request: Request<UnsafeDestroyRangeRequest>,
    ) -> Answer<UnsafeDestroyRangeResponse> {
        unimplemented("UnsafeDestroyRange")
    }

    async fn split_region(&self, request: Request<SplitRegionRequest>) -> Answer<SplitRegionResponse> {
        Ok(Response::new(split::split_region(&self.splitter, request.into_inner()).await))
    }

    async fn read_index(&self, _request: Request<ReadIndexRequest>) -> Answer<ReadIndexResponse> {
        unimplemented("ReadIndex")
    }

    async fn mvcc_get_by_key(&self, _request: Request<MvccGetByKeyRequest>) -> Answer<MvccGetByKeyResponse> {
        unimplemented("MvccGetByKey")
    }

    async fn mvcc_get_by_start_ts(
        &self,
        _request: Request<MvccGetByStartTsRequest>,
    ) -> Answer<MvccGetByStartTsResponse> {
        unimplemented("MvccGetByStartTs")
    }

    async fn check_leader(&self, _request: Request<CheckLeaderRequest>) -> Answer<CheckLeaderResponse> {
        unimplemented("CheckLeader")
    }

    async fn get_store_safe_ts(&self, _request: Request<StoreSafeTsRequest>) -> Answer<StoreSafeTsResponse> {
        unimplemented("GetStoreSafeTS")
    }
}
