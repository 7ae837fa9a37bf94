//! Reads through ReadIndex: linearizable, without a log entry.
//!
//! Reads that wait together share one round: the leader notes its commit index, asks a quorum whether it still leads, and when
//! they have said so and that index is applied, takes one engine snapshot for all of them (Raft thesis, 6.4).
//!
//! A read that finds the leader not ready (no commit in its own term yet) waits for a bounded number of ticks: shortly after an
//! election this is the better answer than an error. A read never changes anything, so whenever leadership is in doubt it is
//! refused and the client asks again elsewhere.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use prost::Message;
use proto::{
    metapb::{Region, RegionEpoch},
    raft_serverpb::{PeerState, RegionLocalState},
};
use raft_core::ReadState;
use storage::{Cf, Engine, Reader};

use super::Peer;
use crate::{
    command::{ReadCommand, RegionSnapshot},
    epoch::EpochRule,
    error::{Error, Result},
    keys,
};

/// Read rounds of a region that may be under way at once. Reads that come meanwhile share the next one.
const MAX_ROUNDS: usize = 4;
/// Reads of a region that may wait for a round.
const MAX_WAITING: usize = 8192;

struct Waiting<S> {
    command: ReadCommand<S>,
    /// The tick at which the client is told that there is no leader ready.
    deadline: u64,
}

struct ReadRound<S> {
    id: u64,
    /// Commit index that has to be applied first; unknown until a quorum has confirmed the leader.
    index: Option<u64>,
    commands: Vec<ReadCommand<S>>,
}

/// The reads of a peer.
pub(super) struct ReadQueue<S> {
    waiting: Vec<Waiting<S>>,
    rounds: VecDeque<ReadRound<S>>,
    last_id: u64,
}

impl<S> Default for ReadQueue<S> {
    fn default() -> Self {
        ReadQueue { waiting: Vec::new(), rounds: VecDeque::new(), last_id: 0 }
    }
}

impl<S> ReadQueue<S> {
    fn take_all(&mut self) -> Vec<ReadCommand<S>> {
        let rounds = std::mem::take(&mut self.rounds).into_iter().flat_map(|round| round.commands);
        rounds.chain(std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.command)).collect()
    }

    /// How many clients wait for an answer.
    pub(super) fn waiting_readers(&self) -> usize {
        self.waiting.len() + self.rounds.iter().map(|r| r.commands.len()).sum::<usize>()
    }
}

impl<E: Engine> Peer<E> {
    pub(super) fn on_read(&mut self, command: ReadCommand<E::Snapshot>) {
        let checked =
            self.check_header(&command.header, EpochRule::DATA).and_then(|()| match self.reads.waiting.len() {
                0..MAX_WAITING => Ok(()),
                _ => Err(Error::ServerIsBusy { reason: format!("too many reads wait in region {}", self.region.id) }),
            });
        match checked {
            Ok(()) => {
                let deadline = self.ticks.now() + self.context.config.read_wait_ticks;
                self.reads.waiting.push(Waiting { command, deadline });
            }
            Err(error) => {
                self.context.metrics.commands_refused.inc();
                (command.callback)(Err(error));
            }
        }
    }

    /// Lets the waiting reads share one ReadIndex round, unless enough rounds are under way.
    pub(super) fn start_read_round(&mut self) {
        if self.reads.waiting.is_empty() || self.reads.rounds.len() >= MAX_ROUNDS {
            return;
        }
        let id = self.reads.last_id + 1;
        if self.node.read_index(Bytes::copy_from_slice(&id.to_be_bytes())).is_err() {
            return; // not ready yet, or no longer leader: the next role change or tick decides about them
        }
        self.reads.last_id = id;
        self.context.metrics.read_rounds.inc();
        let commands = self.reads.waiting.drain(..).map(|w| w.command).collect();
        self.reads.rounds.push_back(ReadRound { id, index: None, commands });
    }

    /// A quorum has confirmed the leader for the rounds of these contexts.
    pub(super) fn on_read_states(&mut self, states: Vec<ReadState>) {
        for state in states {
            let Ok(id) = <[u8; 8]>::try_from(&state.request_ctx[..]).map(u64::from_be_bytes) else { continue };
            // A round answered out of order leaves the earlier ones as they are: their answers are still to come.
            if let Some(round) = self.reads.rounds.iter_mut().find(|r| r.id == id) {
                round.index = Some(state.index);
            }
        }
    }

    /// Answers all rounds whose index is applied, from one snapshot.
    pub(super) fn answer_reads(&mut self) -> Result<()> {
        let applied = self.applied;
        let can_answer = |round: &ReadRound<E::Snapshot>| round.index.is_some_and(|index| index <= applied);
        if !self.reads.rounds.iter().any(can_answer) {
            return Ok(());
        }
        let (answered, rest): (VecDeque<_>, _) =
            std::mem::take(&mut self.reads.rounds).into_iter().partition(can_answer);
        self.reads.rounds = rest;
        let snapshot = self.context.engines.kv.snapshot();
        let region = region_in(&snapshot, self.region.id)?.map(Arc::new);
        for command in answered.into_iter().flat_map(|r| r.commands) {
            let Some(region) = region.clone() else {
                (command.callback)(Err(Error::RegionNotFound { region_id: self.region.id }));
                continue;
            };
            let checked = self.check_snapshot(&region, &command.header.epoch);
            self.context.metrics.reads_served.inc();
            (command.callback)(checked.map(|()| RegionSnapshot { snapshot: snapshot.clone(), region }));
        }
        self.start_read_round();
        Ok(())
    }

    /// Checks the epoch of a read against the region in the snapshot, which may be ahead of what this peer was told.
    fn check_snapshot(&self, region: &Region, sent: &RegionEpoch) -> Result<()> {
        EpochRule::DATA.check(region, sent).map_err(|error| match *self.region == *region {
            true => Error::EpochNotMatch { current: self.current_regions() },
            false => error,
        })
    }

    /// Refuses the reads that have waited too long for a leader that is ready.
    pub(super) fn expire_waiting_reads(&mut self) {
        let now = self.ticks.now();
        let expired: Vec<_> = self.reads.waiting.extract_if(.., |w| w.deadline <= now).collect();
        for read in expired {
            let reason = "the leader has not committed in its own term yet".to_owned();
            (read.command.callback)(Err(Error::ReadIndexNotReady { region_id: self.region.id, reason }));
        }
    }

    /// Refuses all reads: this peer no longer leads, or leads in another term than the one that was asked.
    pub(super) fn refuse_reads(&mut self) {
        for command in self.reads.take_all() {
            (command.callback)(Err(self.not_leader()));
        }
    }

    /// The peer has to go: nothing is read from it any more.
    pub(super) fn end_reads(&mut self, error: impl Fn() -> Error) {
        for command in self.reads.take_all() {
            (command.callback)(Err(error()));
        }
    }
}

/// The region as it is in a snapshot; `None` if the peer was removed by then, along with its data.
fn region_in<R: Reader>(snapshot: &R, region_id: u64) -> Result<Option<Region>> {
    let value = snapshot.get(Cf::Raft, &keys::region_state(region_id))?;
    let state = value.and_then(|v| RegionLocalState::decode(v).ok());
    if state.as_ref().is_some_and(|state| state.state() == PeerState::Tombstone) {
        return Ok(None);
    }
    state
        .and_then(|state| state.region)
        .map(Some)
        .ok_or_else(|| Error::Corrupted(format!("region {region_id} has no readable region state")))
}
