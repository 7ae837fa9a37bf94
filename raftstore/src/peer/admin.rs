//! From admin commands to proposals.
//!
//! An admin command is an entry of its own, with the epoch it was made for. One that moves the epoch is remembered until it is
//! applied: what it would overtake waits (writes) or is refused (other admin commands) instead of becoming an entry that is sure
//! to fail.

use prost::Message;
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, RaftCmdRequest, RaftRequestHeader};
use storage::Engine;

use super::{Effects, Peer};
use crate::{
    command::AdminCommand,
    epoch::EpochRule,
    error::{Error, Result},
    membership::{self, changes_of},
    message::{Proposal, Waiting},
};

impl<E: Engine> Peer<E> {
    pub(super) fn on_admin(&mut self, command: AdminCommand, effects: &mut Effects<E>) {
        match self.check_admin(command.request, &command.header) {
            Ok(AdminRequest { splits: Some(split), .. }) => self.on_split_request(split, command.callback, effects),
            Ok(AdminRequest { transfer_leader: Some(transfer), .. }) => {
                self.on_transfer_request(&transfer, command.callback);
            }
            Ok(request) if changes_of(&request).is_some() => {
                self.on_conf_change_request(request, Waiting::Admin(command.callback));
            }
            Ok(request) => self.propose_admin(request, Waiting::Admin(command.callback)),
            Err(error) => {
                self.context.metrics.commands_refused.inc();
                (command.callback)(Err(error));
            }
        }
    }

    /// Checks a command from outside, and completes it by what only the leader knows.
    fn check_admin(&self, mut request: AdminRequest, header: &crate::RequestHeader) -> Result<AdminRequest> {
        let rule = EpochRule::of_admin(&request);
        let rule = rule.ok_or_else(|| self.admin_refused("it is not known to this version".to_owned()))?;
        self.check_header(header, rule)?;
        if changes_of(&request).is_some() {
            return Ok(request); // whether it makes sense is looked at when it is its turn
        }
        match (request.cmd_type(), &mut request.compact_log) {
            (AdminCmdType::CompactLog, Some(compact)) => {
                let index = compact.compact_index;
                let (truncated, applied) = (self.node.store().truncated().index, self.applied);
                let term = self.node.raft.log_term(index).filter(|_| truncated < index && index <= applied);
                compact.compact_term = term.ok_or_else(|| {
                    self.admin_refused(format!("the log can be compacted to an index in ({truncated}, {applied}] only"))
                })?;
            }
            // Its keys are checked, and its ids asked for, when it is its turn.
            (AdminCmdType::BatchSplit, _) if request.splits.is_some() => {}
            (AdminCmdType::TransferLeader, _) if request.transfer_leader.is_some() => {}
            (cmd_type, _) => {
                return Err(self.admin_refused(format!("{} is not carried out yet", cmd_type.as_str_name())));
            }
        }
        Ok(request)
    }

    pub(super) fn admin_refused(&self, reason: String) -> Error {
        Error::AdminRefused { region_id: self.region.id, reason }
    }

    /// Proposes an admin command that passed its checks.
    pub(super) fn propose_admin(&mut self, request: AdminRequest, waiting: Waiting) {
        let rule = EpochRule::of_admin(&request).expect("invariant: only known admin commands are proposed");
        if let Some(index) = self.changes.overtaking(rule) {
            let reason = format!("region {} is being changed by entry {index}", self.region.id);
            return waiting.refuse(|| Error::ServerIsBusy { reason: reason.clone() });
        }
        // lab:begin 2C peer::propose_admin  hint="like writes, but alone; self.changes remembers what moves the epoch; a change of members, project 3B, is what membership::encode() gives"
        let (region_id, region_epoch) = (self.region.id, self.region.region_epoch);
        let header = Some(RaftRequestHeader { region_id, region_epoch, ..Default::default() });
        let entry = RaftCmdRequest { header, admin_request: Some(request), ..Default::default() };
        let proposed = match membership::encode(&entry) {
            Some(change) => self.node.propose_conf_change(Default::default(), change),
            None => self.node.propose(Default::default(), entry.encode_to_vec().into()),
        };
        match proposed {
            Ok((index, term)) => {
                self.context.metrics.entries_proposed.inc();
                self.changes.proposed(index, rule);
                self.hurry_changes();
                self.proposals.push_back(Proposal { index, term, waiting });
            }
            Err(error) => waiting.refuse(|| self.proposal_error(&error)),
        }
        // lab:end
    }

    /// While the region is being changed, followers are told of commits at once: until they have applied the change they are behind in
    /// more than data.
    pub(super) fn hurry_changes(&mut self) {
        self.node.set_skip_commit_broadcast(self.changes.is_empty());
    }
}
