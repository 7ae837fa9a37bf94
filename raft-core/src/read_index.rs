//! Linearizable reads without log entries (Raft thesis, 6.4).
//!
//! A leader notes its commit index, makes sure with one round of heartbeats that it still leads, and then everything up to that index must
//! be applied before the read. Rounds are numbered; the number travels as the heartbeats' context and comes back in their answers. All
//! reads that arrive before a Ready share a round, and a quorum of answers to a round confirms it and all earlier ones, so lost answers
//! in between do no harm. Rounds start anew with every reset: answers of another term never reach this code.
//!
//! A change of leadership drops all waiting reads. The owner sees that by the soft state and the term.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::eraftpb::Message;

use crate::raft::Raft;
use crate::{Error, ReadState, Result, Storage};

/// A read that waits for its round.
#[derive(Clone, Debug, Hash)]
struct PendingRead {
    round: u64,
    index: u64,
    request_ctx: Bytes,
}

/// The reads that wait for a quorum, oldest first.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct ReadQueue {
    /// The last round that was sent.
    sent: u64,
    waiting: VecDeque<PendingRead>,
}

impl ReadQueue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.sent = 0;
    }

    /// True if the heartbeats of the latest round have not gone out.
    pub(crate) fn is_unsent(&self) -> bool {
        self.waiting.back().is_some_and(|read| read.round > self.sent)
    }

    /// The context of the next heartbeat: the latest round while reads wait, so that lost heartbeats are made good; otherwise nothing.
    pub(crate) fn current_context(&self) -> Bytes {
        if self.waiting.is_empty() || self.sent == 0 {
            return Bytes::new();
        }
        Bytes::copy_from_slice(&self.sent.to_be_bytes())
    }

    /// Takes out the reads of all rounds up to `round`.
    fn release(&mut self, round: u64) -> impl Iterator<Item = ReadState> {
        let count = self.waiting.iter().take_while(|read| read.round <= round).count();
        self.waiting.drain(..count).map(|read| ReadState { index: read.index, request_ctx: read.request_ctx })
    }
}

impl<S: Storage> Raft<S> {
    /// Asks for a read. Its [`ReadState`] comes with a later Ready, or never if this node loses its leadership.
    pub(crate) fn read_index(&mut self, request_ctx: Bytes) -> Result<()> {
        self.check_leader()?;
        if !self.committed_in_term() {
            return Err(Error::ReadIndexNotReady);
        }
        let index = self.log.committed();
        if self.tracker.voters().is_singleton(self.id) {
            self.read_states.push(ReadState { index, request_ctx });
        } else {
            let round = self.reads.sent + 1;
            self.reads.waiting.push_back(PendingRead { round, index, request_ctx });
        }
        Ok(())
    }

    /// Starts a round for the reads that came in since the last one.
    pub(crate) fn flush_reads(&mut self) {
        if !self.reads.is_unsent() {
            return;
        }
        self.reads.sent += 1;
        let round = self.reads.sent;
        if let Some(own) = self.tracker.get_mut(self.id) {
            own.read_round = round;
        }
        self.broadcast_heartbeat();
        // The membership may have shrunk to this node since the reads came in.
        self.release_reads();
    }

    /// A heartbeat was answered: the round it belongs to may be confirmed now.
    pub(crate) fn handle_read_answer(&mut self, response: &Message) {
        let Ok(round) = <[u8; 8]>::try_from(&response.context[..]).map(u64::from_be_bytes) else { return };
        if round > self.reads.sent {
            return;
        }
        if let Some(progress) = self.tracker.get_mut(response.from)
            && progress.read_round < round
        {
            progress.read_round = round;
            self.release_reads();
        }
    }

    /// Releases the reads whose round a quorum has answered.
    pub(crate) fn release_reads(&mut self) {
        if !self.reads.waiting.is_empty() {
            let confirmed = self.tracker.confirmed_read_round();
            self.read_states.extend(self.reads.release(confirmed));
        }
    }
}
