//! Linearizable reads without log entries (Raft thesis, 6.4).
//!
//! A leader notes its commit index, makes sure with one round of heartbeats that it still leads, and then everything up to that index must
//! be applied before the read. Rounds are numbered; the number travels as the heartbeats' context and comes back in their answers. All
//! reads that arrive before a Ready share a round, and a quorum of answers to a round confirms it and all earlier ones, so lost answers
//! in between do no harm. Rounds start anew with every reset: answers of another term never reach this code.
//!
//! A change of leadership drops all waiting reads; their contexts come out with [`crate::Ready::dropped_reads`].
//!
//! A follower can read, too: it asks the leader for an index ([`crate::RawNode::forward_read`]) and waits until it has applied that much
//! itself. Nobody remembers such a request on the way, so it may be lost like any message, and is to be asked again after a while.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::eraftpb::{Entry, Message, MessageType};
use slog::debug;

use crate::raft::Raft;
use crate::{Error, ReadState, Result, Storage};

/// A read that waits for its round.
#[derive(Clone, Debug, Hash)]
struct PendingRead {
    round: u64,
    index: u64,
    /// The follower that asked, 0 if the owner of this node did.
    from: u64,
    request_ctx: Bytes,
}

/// The reads that wait for a quorum, oldest first.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct ReadQueue {
    /// The last round that was sent.
    sent: u64,
    waiting: VecDeque<PendingRead>,
    /// Contexts of reads that will never be answered, until the owner is told.
    dropped: Vec<Bytes>,
}

impl ReadQueue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Gives up all reads: the term is over.
    pub(crate) fn drop_all(&mut self) {
        let own = self.waiting.drain(..).filter(|read| read.from == 0);
        self.dropped.extend(own.map(|read| read.request_ctx));
        self.sent = 0;
    }

    /// True if the owner has not been told of reads that were given up.
    pub(crate) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// The contexts of the reads that were given up since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.dropped)
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

    /// Takes out the oldest read if its round is confirmed.
    fn pop(&mut self, confirmed: u64) -> Option<PendingRead> {
        self.waiting.front().filter(|read| read.round <= confirmed)?;
        self.waiting.pop_front()
    }
}

impl<S: Storage> Raft<S> {
    /// Asks for a read. Its [`ReadState`] comes with a later Ready, or its context among the dropped ones.
    pub(crate) fn read_index(&mut self, request_ctx: Bytes) -> Result<()> {
        self.check_leader()?;
        if !self.committed_in_term() {
            return Err(Error::ReadIndexNotReady);
        }
        self.enqueue_read(0, request_ctx);
        Ok(())
    }

    fn enqueue_read(&mut self, from: u64, request_ctx: Bytes) {
        let read = PendingRead { round: self.reads.sent + 1, index: self.log.committed(), from, request_ctx };
        if self.tracker.voters().is_singleton(self.id) {
            self.answer_read(read);
        } else {
            self.reads.waiting.push_back(read);
        }
    }

    fn answer_read(&mut self, read: PendingRead) {
        let PendingRead { index, from, request_ctx, .. } = read;
        if from == 0 {
            self.read_states.push(ReadState { index, request_ctx });
        } else {
            let entries = vec![Entry { data: request_ctx, ..Entry::default() }];
            let answer = Message { index, entries, ..self.message(MessageType::MsgReadIndexResp, from) };
            self.msgs.push(answer);
        }
    }

    /// Asks the leader for the index that a read of this node must see.
    pub(crate) fn forward_read(&mut self, request_ctx: Bytes) -> Result<()> {
        if self.is_leader() || self.leader_id == 0 {
            return self.read_index(request_ctx);
        }
        let entries = vec![Entry { data: request_ctx, ..Entry::default() }];
        let request = Message { entries, ..self.message(MessageType::MsgReadIndex, self.leader_id) };
        self.msgs.push(request);
        Ok(())
    }

    /// A follower asks for a read. A leader that cannot tell yet stays silent, and the follower asks again.
    pub(crate) fn handle_read_request(&mut self, request: Message) {
        let able = self.is_leader() && self.committed_in_term() && self.tracker.get(request.from).is_some();
        let context = request.entries.into_iter().next().filter(|_| able);
        match context {
            Some(entry) => self.enqueue_read(request.from, entry.data),
            None => debug!(self.logger, "read of another node ignored"; "from" => request.from, "role" => ?self.role),
        }
    }

    /// The leader answers a read that was forwarded to it.
    pub(crate) fn handle_read_response(&mut self, response: Message) {
        if response.from == self.leader_id
            && let Some(entry) = response.entries.into_iter().next()
        {
            self.read_states.push(ReadState { index: response.index, request_ctx: entry.data });
        }
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
            while let Some(read) = self.reads.pop(confirmed) {
                self.answer_read(read);
            }
        }
    }
}
