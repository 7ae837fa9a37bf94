//! From writes of clients to proposals.
//!
//! Writes that wait together become one log entry: one append, one fsync share and one apply for all of them. They wait while
//! enough of the region's `Ready`s are on their way to the disk, so that the slower the disk, the larger the entries.
//!
//! All writes joined into an entry were checked against the same region version, which stands in the entry and is checked again
//! when the entry is applied. So either all of them take effect or none, for the same reason on every replica.

use prost::Message;
use proto::raft_cmdpb::{CmdType, RaftCmdRequest, RaftRequestHeader, Request};
use storage::Engine;

use super::Peer;
use crate::{
    command::{WriteCallback, WriteCommand},
    epoch::EpochRule,
    error::{Error, Result},
    message::{Proposal, Waiting},
    region,
};

/// Entries of a region that may wait for being committed and applied before its writes have to wait too.
const MAX_PROPOSALS: usize = 1024;

/// Writes that passed all checks and wait to be joined into an entry.
#[derive(Default)]
pub(super) struct WaitingWrites {
    commands: Vec<WriteCommand>,
    bytes: usize,
}

/// Writes that share an entry.
#[derive(Default)]
struct Joined {
    requests: Vec<Request>,
    callbacks: Vec<(usize, WriteCallback)>,
}

impl<E: Engine> Peer<E> {
    /// How many clients have writes here that are not decided yet.
    pub(super) fn waiting_writers(&self) -> usize {
        self.writes.commands.len() + self.proposals.iter().map(|p| p.waiting.count()).sum::<usize>()
    }

    pub(super) fn on_write(&mut self, command: WriteCommand) {
        let bytes = encoded_len(&command.requests);
        if let Err(error) = self.check_write(&command, bytes) {
            self.context.metrics.commands_refused.inc();
            return (command.callback)(Err(error));
        }
        self.writes.bytes += bytes;
        self.writes.commands.push(command);
    }

    fn check_write(&self, command: &WriteCommand, bytes: usize) -> Result<()> {
        self.check_header(&command.header, EpochRule::DATA)?;
        check_requests(&self.region, &command.requests)?;
        let config = &self.context.config;
        if bytes as u64 > config.max_entry_bytes {
            let (size, limit) = (bytes as u64, config.max_entry_bytes);
            return Err(Error::EntryTooLarge { region_id: self.region.id, size, limit });
        }
        if self.writes.bytes as u64 > config.max_uncommitted_bytes {
            return Err(Error::ServerIsBusy { reason: format!("too many writes wait in region {}", self.region.id) });
        }
        Ok(())
    }

    /// Proposes the writes that wait, unless enough is on its way already.
    pub(super) fn propose_waiting_writes(&mut self) {
        let in_flight = self.last_ready - self.persisted_ready;
        let must_wait = in_flight >= self.context.config.max_readies_in_flight as u64
            || self.changes.overtaking(EpochRule::DATA).is_some();
        if self.writes.commands.is_empty() || must_wait || self.proposals.len() >= MAX_PROPOSALS {
            return;
        }
        let waiting = std::mem::take(&mut self.writes);
        let mut joined = Joined::default();
        let mut bytes = 0;
        for command in waiting.commands {
            // What was checked when the command came in may have changed while it waited.
            if let Err(error) = self.check_header(&command.header, EpochRule::DATA) {
                (command.callback)(Err(error));
                continue;
            }
            let alone = must_be_alone(&command.requests);
            let size = encoded_len(&command.requests);
            if alone || bytes + size > self.context.config.max_joined_bytes {
                self.propose(std::mem::take(&mut joined));
                bytes = 0;
            }
            bytes += size;
            joined.callbacks.push((command.requests.len(), command.callback));
            joined.requests.extend(command.requests);
            if alone {
                self.propose(std::mem::take(&mut joined));
                bytes = 0;
            }
        }
        self.propose(joined);
    }

    fn propose(&mut self, joined: Joined) {
        // lab:begin 2B peer::propose  hint="encode, propose, and remember who waits at which index and term; a refusal is an answer too"
        if joined.callbacks.is_empty() {
            return;
        }
        let writes = joined.callbacks.len() as u64;
        let header = RaftRequestHeader {
            region_id: self.region.id,
            region_epoch: self.region.region_epoch,
            ..Default::default()
        };
        let entry = RaftCmdRequest { header: Some(header), requests: joined.requests, ..Default::default() };
        match self.node.propose(Default::default(), entry.encode_to_vec().into()) {
            Ok((index, term)) => {
                self.context.metrics.writes_proposed.add(writes);
                self.context.metrics.entries_proposed.inc();
                self.proposals.push_back(Proposal { index, term, waiting: Waiting::Writes(joined.callbacks) });
            }
            Err(error) => {
                self.context.metrics.commands_refused.add(writes);
                Waiting::Writes(joined.callbacks).refuse(|| self.proposal_error(&error));
            }
        }
        // lab:end
    }

    pub(super) fn proposal_error(&self, error: &raft_core::Error) -> Error {
        match error {
            raft_core::Error::NotLeader { .. } => self.not_leader(),
            // All official clients follow this one; some give up on a store that is busy.
            raft_core::Error::TransferInProgress { to } => {
                let next = self.region.peers.iter().find(|peer| peer.id == *to);
                Error::NotLeader { region_id: self.region.id, leader: next.copied().map(Box::new) }
            }
            raft_core::Error::ConfChangeInvalid { .. } => self.admin_refused(error.to_string()),
            _ => Error::ServerIsBusy { reason: format!("region {}: {error}", self.region.id) },
        }
    }

    /// Refuses the writes that were not proposed yet. They had no effect, so the client may go to the new leader.
    pub(super) fn refuse_waiting_writes(&mut self) {
        let waiting = std::mem::take(&mut self.writes);
        self.refuse_writes(waiting, || self.not_leader());
    }

    /// The peer has to go: nothing is proposed any more.
    pub(super) fn end_waiting_writes(&mut self, error: impl Fn() -> Error) {
        let waiting = std::mem::take(&mut self.writes);
        self.refuse_writes(waiting, error);
    }

    fn refuse_writes(&self, waiting: WaitingWrites, error: impl Fn() -> Error) {
        for command in waiting.commands {
            self.context.metrics.commands_refused.inc();
            (command.callback)(Err(error()));
        }
    }

    /// Takes the proposals whose fate is decided now that these entries are committed, and refuses those that have lost.
    ///
    /// Terms never fall along a log. So once an entry of a later term is committed, a proposal of an earlier term that lies behind
    /// it can never be: the client need not wait until the log has grown to that index again, which may be never.
    pub(super) fn take_decided(&mut self, entries: &[proto::eraftpb::Entry]) -> Vec<Proposal> {
        // lab:begin 2B peer::take_decided  hint="compare index and term: which proposal won its place, which can never be committed any more?"
        let mut won = Vec::new();
        for entry in entries {
            while self.proposals.front().is_some_and(|p| (p.term, p.index) <= (entry.term, entry.index)) {
                let proposal = self.proposals.pop_front().expect("invariant: the front was just seen");
                if (proposal.index, proposal.term) == (entry.index, entry.term) {
                    won.push(proposal);
                } else {
                    proposal.waiting.refuse(|| Error::StaleCommand);
                }
            }
        }
        won
        // lab:end
    }
}

fn encoded_len(requests: &[Request]) -> usize {
    // Four bytes of framing a request are close enough for limits.
    requests.iter().map(|r| r.encoded_len() + 4).sum()
}

/// A compare-and-swap decides by what it reads, so nothing may be applied in the same batch before it.
fn must_be_alone(requests: &[Request]) -> bool {
    requests.iter().any(|r| r.cmd_type() == CmdType::CompareAndSwap)
}

/// Checks that all keys of a write lie in the region. Called when a write comes in and, again, when it is applied.
///
/// # Errors
/// [`Error::KeyNotInRegion`] for the first key outside.
pub fn check_requests(region: &proto::metapb::Region, requests: &[Request]) -> Result<()> {
    for request in requests {
        if let Some(put) = &request.put {
            region::check_key(region, &put.key)?;
        }
        if let Some(delete) = &request.delete {
            region::check_key(region, &delete.key)?;
        }
        if let Some(range) = &request.delete_range {
            region::check_range(region, &range.start_key, &range.end_key)?;
        }
        if let Some(swap) = &request.compare_and_swap {
            region::check_key(region, &swap.key)?;
        }
    }
    Ok(())
}
