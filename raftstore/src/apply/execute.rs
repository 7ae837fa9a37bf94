//! What one entry does to the data. A pure function of the region, the entry and the data before it, so that every replica comes
//! to the same result.

use prost::Message;
use proto::{
    eraftpb::{ConfChangeV2, Entry, EntryType},
    raft_cmdpb::{CompareAndSwapRequest, CompareAndSwapResponse, RaftCmdRequest, Request, Response},
};
use storage::{Cf, CompareAndSwap, Engine, WriteOp};

use super::{ApplyRegion, ApplyWorker, Outcome, put_apply_state};
use crate::{
    epoch::EpochRule,
    error::{Error, Result},
    membership,
    peer::propose::check_requests,
};

impl<E: Engine> ApplyWorker<E> {
    /// Executes an entry into the batch.
    ///
    /// The outer error is fatal; the inner one is the outcome of the entry, the same on all replicas: it has changed nothing.
    pub(super) fn execute(&mut self, region: &mut ApplyRegion, entry: &Entry) -> Result<Result<Outcome>> {
        assert!(
            region.removed_by.is_none(),
            "invariant S-APPLY-STOP: region {} peer {}: entry {} to apply behind its own removal at {:?}",
            region.region.id,
            region.peer.id,
            entry.index,
            region.removed_by
        );
        region.term = Some(entry.term);
        if entry.data.is_empty() {
            return Ok(Ok(Outcome::Written(Vec::new()))); // a new leader's own entry
        }
        let (command, raft) = decode(entry).map_err(|what| corrupted(region, entry, &what))?;
        let rule = match &command.admin_request {
            None => EpochRule::DATA,
            Some(admin) => EpochRule::of_admin(admin)
                .ok_or_else(|| corrupted(region, entry, "the admin command is not known to this version"))?,
        };
        if rule.moves_conf_ver != raft.is_some() {
            return Err(corrupted(
                region,
                entry,
                "changes of members, and nothing else, have entries of a type of their own",
            ));
        }
        if let Err(error) = check(region, &command, rule) {
            return Ok(Err(error));
        }
        if let Some(admin) = command.admin_request {
            let before = region.region.region_epoch.unwrap_or_default();
            let response = match self.execute_admin(region, entry, admin, raft)? {
                Ok(response) => response,
                Err(refused) => return Ok(Err(refused)),
            };
            rule.assert_moved(&before, &region.region.region_epoch.unwrap_or_default(), region.region.id);
            return Ok(Ok(Outcome::Changed(Box::new(response))));
        }
        let responses = command.requests.into_iter().map(|r| self.execute_request(&mut *region, r));
        Ok(Ok(Outcome::Written(responses.collect::<Result<_>>()?)))
    }

    fn execute_request(&mut self, region: &mut ApplyRegion, request: Request) -> Result<Response> {
        // lab:begin 2B apply::execute_request  hint="into the batch, not into the engine"
        let mut response = Response { cmd_type: request.cmd_type, ..Default::default() };
        match request {
            Request { put: Some(put), .. } => {
                region.growth.put(&put.key, &put.value);
                self.batch.put(column_family(&put.cf)?, put.key, put.value);
            }
            Request { delete: Some(delete), .. } => {
                region.growth.delete(&delete.key);
                self.batch.delete(column_family(&delete.cf)?, delete.key);
            }
            Request { delete_range: Some(range), .. } => {
                self.batch.delete_range(column_family(&range.cf)?, range.start_key, range.end_key);
            }
            Request { compare_and_swap: Some(swap), .. } => {
                response.compare_and_swap = Some(self.compare_and_swap(region, swap)?);
            }
            other => {
                let what = format!("a raft entry holds a request of type {} that cannot be applied", other.cmd_type);
                return Err(Error::Corrupted(what));
            }
        }
        Ok(response)
        // lab:end
    }

    /// Decides by what the engine holds, so everything before this entry has to be there first, along with the apply state that
    /// says so: a replay must not decide again. Nothing of this entry itself is in the batch: a compare-and-swap is proposed alone.
    fn compare_and_swap(
        &mut self,
        region: &mut ApplyRegion,
        request: CompareAndSwapRequest,
    ) -> Result<CompareAndSwapResponse> {
        put_apply_state(&mut self.batch, region);
        self.flush()?;
        let swap = CompareAndSwap {
            cf: column_family(&request.cf)?,
            key: request.key,
            value: request.value,
            previous: (!request.previous_not_exist).then_some(request.previous_value),
            now: request.now,
        };
        let (outcome, op) = storage::raw::compare_and_swap(&self.kv, swap)?;
        if let Some(WriteOp::Put { key, value, .. }) = &op {
            region.growth.put(key, value);
        }
        self.batch.extend(op);
        Ok(CompareAndSwapResponse {
            succeed: outcome.succeeded,
            previous_not_exist: outcome.previous.is_none(),
            previous_value: outcome.previous.unwrap_or_default(),
        })
    }
}

/// The command that an entry carries, and for a change of members what raft has to be told.
fn decode(entry: &Entry) -> std::result::Result<(RaftCmdRequest, Option<ConfChangeV2>), String> {
    match entry.entry_type() {
        EntryType::EntryNormal => match RaftCmdRequest::decode(entry.data.clone()) {
            Ok(command) => Ok((command, None)),
            Err(error) => Err(format!("does not decode: {error}")),
        },
        _ => membership::decode(entry).map(|(command, raft)| (command, Some(raft))).map_err(|error| error.to_string()),
    }
}

/// The checks of an entry, made again now that its place in the order is fixed (invariants S-EPOCH-APPLY, S-KEY-APPLY).
fn check(region: &ApplyRegion, command: &RaftCmdRequest, rule: EpochRule) -> Result<()> {
    let sent = command.header.as_ref().and_then(|h| h.region_epoch).unwrap_or_default();
    rule.check(&region.region, &sent).map_err(|_| Error::EpochNotMatch {
        current: [&region.region].into_iter().chain(&region.split_off).cloned().collect(),
    })?;
    check_requests(&region.region, &command.requests)
}

fn column_family(name: &str) -> Result<Cf> {
    Cf::from_name(name)
        .filter(|cf| *cf != Cf::Raft)
        .ok_or_else(|| Error::Corrupted(format!("a raft entry is for column family {name:?}")))
}

pub(super) fn corrupted(region: &ApplyRegion, entry: &Entry, what: &str) -> Error {
    Error::Corrupted(format!("region {} entry {} of term {}: {what}", region.region.id, entry.index, entry.term))
}
