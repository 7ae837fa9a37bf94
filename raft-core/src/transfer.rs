//! Leader transfer (project 3A; Raft thesis, 3.10): handing the leadership to a chosen voter without waiting for an election timeout.
//!
//! ```text
//! leader                                        target
//!   | takes no more proposals                      |
//!   |------ what its log still lacks ------------->|   may be a snapshot, may take several rounds
//!   |<----- has everything ------------------------|
//!   |------ MsgTimeoutNow ------------------------>|   "your election timeout is over, now"
//!   |<----- MsgRequestVote, next term, forced -----|   no pre-vote; nobody refuses because the leader is alive
//! ```
//!
//! The target's log must be complete first, or it could not win: nobody votes for a log that is behind. Proposals are refused meanwhile,
//! with an error that says so, because each one would put the target behind again. A transfer that does not come to an end within an
//! election timeout is given up, and the leader goes on.
//!
//! Only a leader transfers. A follower that is asked to passes the request on.
//!
//! Invariants: R-XFER-QUIET (while a transfer runs, no proposal is appended), R-XFER-BOUND (no transfer outlives an election timeout).

use proto::eraftpb::{Message, MessageType};
use slog::{debug, info};

use crate::raft::{Raft, Role};
use crate::{Error, Result, Storage};

/// What a request for a vote carries that was ordered by the leader: a node that hears its leader answers it all the same.
pub(crate) const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// A transfer that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    to: u64,
    /// Ticks since it began.
    elapsed: usize,
}

impl<S: Storage> Raft<S> {
    /// Who is to lead, while a transfer runs.
    pub fn transfer_target(&self) -> Option<u64> {
        self.transfer.map(|transfer| transfer.to)
    }

    /// Ticks since the transfer that runs began.
    pub fn transfer_elapsed(&self) -> usize {
        self.transfer.map_or(0, |transfer| transfer.elapsed)
    }

    /// Starts a transfer to a voter. To the one that is the target already: goes on. To another one: that one from now on. To this node
    /// itself: gives up.
    pub(crate) fn transfer_leader(&mut self, to: u64) -> Result<()> {
        self.check_leader()?;
        if to == self.id {
            self.abort_transfer();
            return Ok(());
        }
        if self.tracker.get(to).is_none() {
            return Err(Error::TransferRefused { reason: "the target is not in the group" });
        }
        if !self.tracker.voters().contains(to) {
            return Err(Error::TransferRefused { reason: "the target is a learner" });
        }
        // lab:begin 3A transfer::transfer_leader  hint="not again for the same target; remember it in self.transfer; then order it to campaign, or send it something that it answers"
        if self.transfer_target() == Some(to) {
            return Ok(());
        }
        info!(self.logger, "transfers the leadership"; "to" => to, "instead_of" => ?self.transfer_target());
        self.transfer = Some(Transfer { to, elapsed: 0 });
        if !self.continue_transfer(to) {
            self.send_append(to, true);
        }
        Ok(())
        // lab:end
    }

    /// A member has spoken. If it is the target of a transfer and its log is complete by now, it is told to campaign; again and again, since
    /// the order may be lost. Returns whether it was.
    pub(crate) fn continue_transfer(&mut self, id: u64) -> bool {
        if self.transfer_target() != Some(id) {
            return false;
        }
        // lab:begin 3A transfer::continue_transfer  hint="only with everything in its log can the target win: compare matched with our last index"
        let complete = self.tracker.get(id).is_some_and(|p| p.matched == self.log.last_index());
        if complete {
            let order = self.message(MessageType::MsgTimeoutNow, id);
            self.msgs.push(order);
        }
        complete
        // lab:end
    }

    /// One tick of a leader.
    pub(crate) fn tick_transfer(&mut self) {
        let limit = self.config.election_tick;
        let Some(transfer) = &mut self.transfer else { return };
        // lab:begin 3A transfer::tick_transfer  hint="after one election timeout the leader gives up and takes proposals again"
        transfer.elapsed += 1;
        if transfer.elapsed >= limit {
            self.abort_transfer();
        }
        // lab:end
    }

    /// Ends a transfer, if one runs. The target may have been told to campaign already; if so it will, and may win.
    pub(crate) fn abort_transfer(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            info!(self.logger, "the transfer of the leadership ends"; "to" => transfer.to, "ticks" => transfer.elapsed);
            // What had to wait for its end.
            self.maybe_leave_joint();
        }
    }

    /// Fails while a transfer runs.
    pub(crate) fn check_no_transfer(&self) -> Result<()> {
        match self.transfer_target() {
            Some(to) => Err(Error::TransferInProgress { to }),
            None => Ok(()),
        }
    }

    /// Somebody asks for a transfer to `request.from`: the owner of this node, or a follower that passes it on.
    pub(crate) fn handle_transfer_leader(&mut self, request: Message) {
        // lab:begin 3A transfer::handle_transfer_leader  hint="a leader transfers; a follower passes the request on to its leader, with its own term"
        if self.is_leader() {
            if let Err(error) = self.transfer_leader(request.from) {
                debug!(self.logger, "no transfer"; "to" => request.from, "error" => %error);
            }
        } else if self.leader_id != 0 && self.leader_id != self.id {
            let forward = self.message(MessageType::MsgTransferLeader, self.leader_id);
            self.msgs.push(Message { from: request.from, ..forward });
        }
        // lab:end
    }

    /// The leader tells a follower to campaign now. Whoever may not lead, or campaigns already, ignores it.
    pub(crate) fn handle_timeout_now(&mut self, order: Message) {
        // lab:begin 3A transfer::handle_timeout_now  hint="only a follower that may campaign (self.may_campaign()); without a pre-vote"
        if self.role != Role::Follower || !self.may_campaign() {
            debug!(self.logger, "order to campaign ignored"; "from" => order.from, "role" => ?self.role);
            return;
        }
        info!(self.logger, "campaigns as the leader ordered"; "from" => order.from, "term" => self.term);
        self.start_forced_election();
        // lab:end
    }

    /// An election that no pre-vote comes before and that nobody refuses for the leader's sake: the leader itself wants it.
    fn start_forced_election(&mut self) {
        let before = self.msgs.len();
        self.start_election();
        for request in &mut self.msgs[before..] {
            if request.msg_type() == MessageType::MsgRequestVote {
                request.context = CAMPAIGN_TRANSFER.into();
            }
        }
    }
}
