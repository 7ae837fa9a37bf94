//! [`Storage`] over the replicated regions of this store.
//!
//! A command goes to its region's mailbox with a callback that completes a future; no thread waits. A command whose callback is
//! dropped (the store stops, the region goes away) ends as [`storage::Error::Stopped`]: for a write the outcome is unknown.

use proto::kvrpcpb;
use proto::raft_cmdpb::{
    CmdType, CompareAndSwapRequest, DeleteRangeRequest, DeleteRequest, PutRequest, Request, Response,
};
use raftstore::{ReadCommand, RegionSnapshot, Router, WriteCommand};
use storage::{CasOutcome, CompareAndSwap, Engine, Error, Modify, RegionReader, Result, Storage};
use tokio::sync::oneshot;

/// Commands go through raft.
pub struct RaftStorage<E: Engine> {
    router: Router<E>,
}

impl<E: Engine> Clone for RaftStorage<E> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone() }
    }
}

impl<E: Engine> RaftStorage<E> {
    /// A storage whose commands go through `router`.
    pub fn new(router: Router<E>) -> Self {
        Self { router }
    }

    async fn propose(&self, ctx: &kvrpcpb::Context, requests: Vec<Request>) -> Result<Vec<Response>> {
        let (sender, answer) = oneshot::channel();
        let callback = Box::new(move |result| {
            // A client that has gone away does not wait for its answer.
            let _gone = sender.send(result);
        });
        self.router.write(WriteCommand { header: ctx.into(), requests, callback });
        answer.await.map_err(|_| Error::Stopped)?.map_err(from_raftstore)
    }
}

impl<E: Engine> Storage for RaftStorage<E> {
    type Reader = E::Snapshot;

    async fn reader(&self, ctx: &kvrpcpb::Context) -> Result<RegionReader<E::Snapshot>> {
        let (sender, answer) = oneshot::channel();
        let callback = Box::new(move |result| {
            let _gone = sender.send(result);
        });
        self.router.read(ReadCommand { header: ctx.into(), callback });
        let RegionSnapshot { snapshot, region } = answer.await.map_err(|_| Error::Stopped)?.map_err(from_raftstore)?;
        Ok(RegionReader { reader: snapshot, start_key: region.start_key.clone(), end_key: region.end_key.clone() })
    }

    async fn write(&self, ctx: &kvrpcpb::Context, modifies: Vec<Modify>) -> Result<()> {
        let requests = modifies.into_iter().map(request).collect();
        self.propose(ctx, requests).await.map(drop)
    }

    async fn compare_and_swap(&self, ctx: &kvrpcpb::Context, cas: CompareAndSwap) -> Result<CasOutcome> {
        let swap = CompareAndSwapRequest {
            cf: cas.cf.name().to_owned(),
            key: cas.key,
            value: cas.value,
            previous_not_exist: cas.previous.is_none(),
            previous_value: cas.previous.unwrap_or_default(),
            now: cas.now,
        };
        let cmd_type = CmdType::CompareAndSwap as i32;
        let request = Request { cmd_type, compare_and_swap: Some(swap), ..Default::default() };
        let answer = self.propose(ctx, vec![request]).await?.pop().and_then(|response| response.compare_and_swap);
        let outcome = answer.ok_or_else(|| Error::Corrupted { message: "a compare-and-swap has no outcome".into() })?;
        let previous = (!outcome.previous_not_exist).then_some(outcome.previous_value);
        Ok(CasOutcome { succeeded: outcome.succeed, previous })
    }
}

fn request(modify: Modify) -> Request {
    let cf = modify.cf().name().to_owned();
    match modify {
        Modify::Put { key, value, .. } => {
            let put = Some(PutRequest { cf, key, value });
            Request { cmd_type: CmdType::Put as i32, put, ..Default::default() }
        }
        Modify::Delete { key, .. } => {
            let delete = Some(DeleteRequest { cf, key });
            Request { cmd_type: CmdType::Delete as i32, delete, ..Default::default() }
        }
        Modify::DeleteRange { start, end, .. } => {
            let range = DeleteRangeRequest { cf, start_key: start, end_key: end, ..Default::default() };
            Request { cmd_type: CmdType::DeleteRange as i32, delete_range: Some(range), ..Default::default() }
        }
    }
}

/// Clients know region errors; what is left concerns this store alone.
fn from_raftstore(error: raftstore::Error) -> Error {
    match error.to_region_error() {
        Some(region_error) => Error::Region(Box::new(region_error)),
        None => match error {
            raftstore::Error::Engine(error) => error,
            other => Error::Engine { message: other.to_string() },
        },
    }
}
