//! What an admin command does to the region. Like data, it is decided by the region and the entry alone, so that every replica
//! comes to the same result.

use proto::{
    eraftpb::{ConfChangeV2, Entry},
    raft_cmdpb::{
        AdminCmdType, AdminRequest, AdminResponse, BatchSplitResponse, ChangePeerResponse, ChangePeerV2Response,
        CompactLogRequest, CompactLogResponse,
    },
    raft_serverpb::RaftTruncatedState,
};
use storage::Engine;

use super::{ApplyRegion, ApplyWorker, execute::corrupted};
use crate::{error::Result, membership::changes_of, message::ApplyResult};

impl<E: Engine> ApplyWorker<E> {
    /// Executes an admin command whose epoch was checked.
    ///
    /// The outer error is fatal: the command is one that this version cannot follow. The inner one is a refusal, the same on all
    /// replicas, that has changed nothing.
    pub(super) fn execute_admin(
        &mut self,
        region: &mut ApplyRegion,
        entry: &Entry,
        request: AdminRequest,
        raft: Option<ConfChangeV2>,
    ) -> Result<Result<AdminResponse>> {
        let mut response = AdminResponse { cmd_type: request.cmd_type, ..Default::default() };
        if let (Some(changes), Some(raft)) = (changes_of(&request), raft) {
            let after = match self.change_members(region, entry, changes, raft) {
                Ok(after) => Some(after),
                Err(refused) => return Ok(Err(refused)),
            };
            match request.cmd_type() {
                AdminCmdType::ChangePeer => response.change_peer = Some(ChangePeerResponse { region: after }),
                _ => response.change_peer_v2 = Some(ChangePeerV2Response { region: after }),
            }
            return Ok(Ok(response));
        }
        match (request.cmd_type(), request.compact_log, request.splits) {
            (AdminCmdType::CompactLog, Some(compact), _) => {
                compact_log(region, entry, &compact);
                response.compact_log = Some(CompactLogResponse {});
            }
            (AdminCmdType::BatchSplit, _, Some(split)) => match self.split(region, &split)? {
                Ok(regions) => response.splits = Some(BatchSplitResponse { regions }),
                Err(refused) => return Ok(Err(refused)),
            },
            (cmd_type, _, _) => {
                let what = format!("admin command {} cannot be applied", cmd_type.as_str_name());
                return Err(corrupted(region, entry, &what));
            }
        }
        Ok(Ok(response))
    }
}

/// Moves the truncated index. The entries themselves are deleted later, in the background.
///
/// A command that comes too late, because another one has compacted as far, changes nothing.
fn compact_log(region: &mut ApplyRegion, entry: &Entry, request: &CompactLogRequest) {
    // lab:begin 2C apply::compact_log  hint="the truncated state moves forward only, and never past what is applied"
    let truncated = region.state.truncated_state.unwrap_or_default();
    if request.compact_index <= truncated.index || request.compact_index >= entry.index {
        return;
    }
    let truncated = RaftTruncatedState { index: request.compact_index, term: request.compact_term };
    region.state.truncated_state = Some(truncated);
    region.results.push(ApplyResult::LogCompacted(truncated));
    // lab:end
}
