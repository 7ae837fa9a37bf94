//! Handing the leadership to another peer.
//!
//! A transfer is no entry: raft-core is called at once, and whoever asked learns whether the transfer has begun. It has succeeded when the
//! other peer leads, and is given up after an election timeout. Meanwhile nothing is proposed (R-XFER-QUIET); clients are sent to
//! the peer that is about to lead, which sends them back if nothing came of it. So a peer that would have to catch up first is not told to
//! lead: clients would wait for it, and go to and fro.

use proto::raft_cmdpb::{AdminCmdType, AdminResponse, TransferLeaderRequest, TransferLeaderResponse};
use raft_core::progress::ProgressState;
use slog::info;
use storage::Engine;

use super::Peer;
use crate::{
    command::AdminCallback,
    error::{Error, Result},
};

/// Entries that a peer may lack when it is told to lead.
const MAX_TRANSFER_LAG: u64 = 128;

impl<E: Engine> Peer<E> {
    /// Somebody wants another peer to lead. The answer says whether that has begun.
    pub(super) fn on_transfer_request(&mut self, request: &TransferLeaderRequest, callback: AdminCallback) {
        let target = request.peer.map_or(0, |peer| peer.id);
        callback(self.begin_transfer(target).map(|()| AdminResponse {
            cmd_type: AdminCmdType::TransferLeader as i32,
            transfer_leader: Some(TransferLeaderResponse {}),
            ..Default::default()
        }));
    }

    /// Begins to hand the leadership to a peer of the region. To this peer itself: nothing is to be done.
    ///
    /// # Errors
    /// [`Error::ServerIsBusy`] while a transfer to another peer runs, and for a peer that lacks much of the log; [`Error::AdminRefused`]
    /// for one that may not lead.
    pub(super) fn begin_transfer(&mut self, target: u64) -> Result<()> {
        // lab:begin 3B transfer::begin_transfer  hint="not an entry: raft does it by itself. Which peers may be told to lead, which of them now, and may two transfers run?"
        if let Some(running) = self.node.raft.transfer_target().filter(|running| *running != target) {
            let reason = format!("region {} is being handed to peer {running}", self.region.id);
            return Err(Error::ServerIsBusy { reason });
        }
        if target == self.peer.id {
            return Ok(());
        }
        self.check_up_to_date(target)?;
        self.node.transfer_leader(target).map_err(|error| match error {
            raft_core::Error::TransferRefused { reason } => self.admin_refused(reason.to_owned()),
            other => self.proposal_error(&other),
        })?;
        info!(self.logger, "hands over the leadership"; "to" => target);
        self.context.metrics.transfers_begun.inc();
        Ok(())
        // lab:end
    }

    /// Can a peer lead soon? Not if it lacks what only a snapshot can bring, or many entries.
    fn check_up_to_date(&self, target: u64) -> Result<()> {
        let Some(progress) = self.node.raft.tracker().get(target) else { return Ok(()) }; // raft refuses a stranger
        let (last, truncated) = (self.node.raft.last_index(), self.node.store().truncated().index);
        if progress.state != ProgressState::Snapshot
            && progress.matched >= truncated
            && last - progress.matched <= MAX_TRANSFER_LAG
        {
            return Ok(());
        }
        let (id, matched) = (self.region.id, progress.matched);
        let reason =
            format!("region {id}: peer {target} has the log up to {matched} of {last} and has to catch up first");
        Err(Error::ServerIsBusy { reason })
    }
}
