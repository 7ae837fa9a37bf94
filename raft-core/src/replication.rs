//! Log replication (project 2AB; Raft paper, 5.3 and 5.4.2).
//!
//! The leader appends proposals to its log and sends them on; an entry is committed once a quorum has it on disk. The leader's own disk
//! is a member of that quorum like any other: its `matched` moves only in [`Raft::on_persisted`].
//!
//! Sending is put off until the next Ready (`appends_due`), so that all proposals and acknowledgements of a round share one message for
//! each follower.
//!
//! A rejected append carries a hint: the last index where the follower's log may still agree, and its term there. The leader skips all of
//! its own entries of higher terms at once, so that a diverged follower is reconciled in at most one round trip a term.

use bytes::Bytes;
use proto::eraftpb::{Entry, EntryType, Message, MessageType};
use slog::{debug, error};

use crate::progress::{Progress, ProgressState};
use crate::raft::Raft;
use crate::util::{entry_size, payload_size};
use crate::{Error, Result, Storage};

/// How many bytes of proposals are not committed yet.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Uncommitted {
    limit: u64,
    size: u64,
    /// Last index when this node was elected: entries up to there were never counted.
    floor: u64,
}

impl Uncommitted {
    pub(crate) fn new(limit: u64) -> Self {
        Uncommitted { limit: if limit == 0 { u64::MAX } else { limit }, size: 0, floor: 0 }
    }

    pub(crate) fn reset(&mut self, last_index: u64) {
        self.size = 0;
        self.floor = last_index;
    }

    /// Counts `size` bytes and returns true, or returns false when they do not fit. Empty entries always fit, and so does the first one,
    /// however large: otherwise it could never be proposed at all.
    fn add(&mut self, size: u64) -> bool {
        if size > 0 && self.size > 0 && self.size.saturating_add(size) > self.limit {
            return false;
        }
        self.size = self.size.saturating_add(size);
        true
    }

    /// Entries were committed.
    pub(crate) fn release(&mut self, entries: &[Entry]) {
        if self.size > 0 {
            let size: u64 = entries.iter().filter(|e| e.index > self.floor).map(payload_size).sum();
            self.size = self.size.saturating_sub(size);
        }
    }
}

impl<S: Storage> Raft<S> {
    /// Proposes an entry. Returns the index and term at which it will be committed, unless this node loses its leadership before.
    pub(crate) fn propose(&mut self, entry_type: EntryType, context: Bytes, data: Bytes) -> Result<(u64, u64)> {
        self.check_leader()?;
        self.check_no_transfer()?;
        let entry = Entry { entry_type: entry_type as i32, context, data, ..Entry::default() };
        if self.tracker.get(self.id).is_none() || !self.uncommitted.add(payload_size(&entry)) {
            return Err(Error::ProposalDropped);
        }
        Ok(self.append_entry(entry))
    }

    /// Appends an entry of the leader's own term. Returns its index and term.
    pub(crate) fn append_entry(&mut self, entry: Entry) -> (u64, u64) {
        let (index, term) = (self.log.last_index() + 1, self.term);
        self.log.push(Entry { index, term, ..entry });
        self.appends_due = true;
        (index, term)
    }

    /// Writes of Readies up to `number` are durable. A leader's own disk counts from here on.
    pub(crate) fn on_persisted(&mut self, number: u64) {
        if !self.log.on_persisted(number) || !self.is_leader() {
            return;
        }
        let persisted = self.log.persisted();
        if let Some(own) = self.tracker.get_mut(self.id)
            && own.maybe_update(persisted)
        {
            self.maybe_commit();
        }
    }

    /// Commits what a quorum has on disk. Returns true if that was new.
    pub(crate) fn maybe_commit(&mut self) -> bool {
        // lab:begin 2AB replication::maybe_commit  hint="the quorum's index, the rule about the own term, and the followers must hear of it"
        if self.log.committed() == self.log.last_index() {
            return false; // Most often: the quorum has answered before.
        }
        let committed = self.log.maybe_commit(self.tracker.committed_index(), self.term);
        self.appends_due |= committed;
        committed
        // lab:end
    }

    /// One tick of a leader.
    pub(crate) fn tick_heartbeat(&mut self) -> bool {
        // lab:begin 2AA replication::tick_heartbeat  hint="count; every heartbeat_tick ticks all followers get a heartbeat"
        self.heartbeat_elapsed += 1;
        if self.heartbeat_elapsed < self.config.heartbeat_tick {
            return false;
        }
        self.heartbeat_elapsed = 0;
        self.broadcast_heartbeat();
        true
        // lab:end
    }

    /// The members except this node, one after the other: `while let Some(id) = self.next_follower(id)`, starting with 0.
    pub(crate) fn next_follower(&self, id: u64) -> Option<u64> {
        match self.tracker.next_after(id) {
            Some(id) if id == self.id => self.tracker.next_after(id),
            other => other,
        }
    }

    /// Sends a heartbeat to all followers.
    pub(crate) fn broadcast_heartbeat(&mut self) {
        let context = self.reads.current_context();
        let mut id = 0;
        while let Some(to) = self.next_follower(id) {
            self.send_heartbeat(to, context.clone());
            id = to;
        }
    }

    /// Sends a heartbeat. Its commit index never goes beyond what the follower is known to have: past that, its log may differ from ours.
    fn send_heartbeat(&mut self, to: u64, context: Bytes) {
        // lab:begin 2AA replication::send_heartbeat  hint="commit = min(matched, committed)"
        let matched = self.tracker.get(to).map_or(0, |p| p.matched);
        let commit = matched.min(self.log.committed());
        let heartbeat = Message { commit, context, ..self.message(MessageType::MsgHeartbeat, to) };
        self.msgs.push(heartbeat);
        // lab:end
    }

    /// True if some follower could be sent entries or a commit index now.
    pub(crate) fn has_append_to_send(&self) -> bool {
        let last = self.log.last_index();
        let can_use = |p: &Progress| !p.is_paused() && (p.next <= last || self.is_commit_due(p));
        self.is_leader() && self.tracker.iter().any(|(id, p)| id != self.id && can_use(p))
    }

    /// True if a follower should hear of the commit index even if there is nothing else to tell it. Without a broadcast of every commit that
    /// is so for changes of membership, and for the first commit of a leader, which may be one.
    fn is_commit_due(&self, progress: &Progress) -> bool {
        let (committed, urgent) = (self.log.committed(), self.pending_conf_index);
        progress.can_bump_commit(committed)
            && (!self.config.skip_commit_broadcast || (progress.sent_commit < urgent && urgent <= committed))
    }

    /// Sends to all followers what they lack and have room for.
    pub(crate) fn broadcast_append(&mut self) {
        // lab:begin 2AB replication::broadcast_append  hint="while entries go out, send on; afterwards tell the commit index to who has not heard of it"
        if !self.is_leader() {
            return;
        }
        let mut id = 0;
        while let Some(to) = self.next_follower(id) {
            while self.send_append(to, false) {}
            if self.tracker.get(to).is_some_and(|p| self.is_commit_due(p)) {
                self.send_append(to, true);
            }
            id = to;
        }
        // lab:end
    }

    /// Sends one append to a follower. Without entries only `if_empty`: to find out where its log matches, or to tell the commit index.
    /// Returns whether something was sent.
    pub(crate) fn send_append(&mut self, to: u64, if_empty: bool) -> bool {
        let last = self.log.last_index();
        let Some(progress) = self.tracker.get(to).filter(|p| !p.is_paused() && (if_empty || p.next <= last)) else {
            return false;
        };
        if progress.requested_snapshot > 0 {
            return self.send_snapshot(to);
        }
        // lab:begin 2AB replication::send_append  hint="the previous entry's index and term, the entries behind it, the commit index; note in the progress what was sent"
        let next = progress.next;
        let room = progress.state != ProgressState::Replicate || !progress.inflights.is_full();
        let entries = if room { self.log.entries(next, self.config.max_size_per_msg) } else { Ok(Vec::new()) };
        let (log_term, entries) = match (self.log.term(next - 1), entries) {
            (Ok(log_term), Ok(entries)) => (log_term, entries),
            (Err(Error::Compacted { .. }), _) | (_, Err(Error::Compacted { .. })) => return self.send_snapshot(to),
            (Err(error), _) | (_, Err(error)) => {
                error!(self.logger, "cannot read the log"; "next" => next, "error" => %error);
                return false;
            }
        };
        if entries.is_empty() && !if_empty {
            return false;
        }
        let commit = self.log.committed();
        let bytes = entries.iter().map(entry_size).sum();
        let last_sent = entries.last().map(|e| e.index);
        let append = Message { index: next - 1, log_term, entries, commit, ..self.message(MessageType::MsgAppend, to) };
        self.msgs.push(append);
        if let Some(progress) = self.tracker.get_mut(to) {
            progress.on_append_sent(last_sent, bytes, commit);
        }
        true
        // lab:end
    }

    /// A follower takes over entries of the leader, and answers in every case.
    pub(crate) fn handle_append(&mut self, append: Message) {
        // lab:begin 2AB replication::handle_append  hint="what lies before the commit index needs no comparison; a rejection says where the logs may still match"
        let mut answer = self.message(MessageType::MsgAppendResponse, append.from);
        if self.log.unstable().snapshot().is_some() || append.index < self.log.committed() {
            // Everything committed is equal on both sides, and may be compacted here already.
            answer.index = self.log.committed();
        } else if let Some(last_new) =
            self.log.maybe_append(append.index, append.log_term, append.commit, append.entries)
        {
            answer.index = last_new;
        } else {
            let (hint, hint_term) = self.log.find_conflict_by_term(append.index, append.log_term);
            debug!(self.logger, "append rejected"; "index" => append.index, "log_term" => append.log_term, "hint" => hint);
            answer.index = append.index;
            answer.reject = true;
            answer.reject_hint = hint;
            answer.log_term = hint_term;
        }
        self.msgs.push(answer);
        // lab:end
    }

    /// A follower hears from its leader.
    pub(crate) fn handle_heartbeat(&mut self, heartbeat: Message) {
        // lab:begin 2AA replication::handle_heartbeat  hint="answer, and send the context back; the commit index matters in project 2AB"
        if heartbeat.commit <= self.log.last_index() {
            self.log.commit_to(heartbeat.commit);
        } else {
            error!(self.logger, "heartbeat with a commit index past our log is ignored";
                "commit" => heartbeat.commit, "last_index" => self.log.last_index(), "from" => heartbeat.from);
        }
        let answer =
            Message { context: heartbeat.context, ..self.message(MessageType::MsgHeartbeatResponse, heartbeat.from) };
        self.msgs.push(answer);
        // lab:end
    }

    /// The leader learns what a follower has on disk, or that it refused an append.
    pub(crate) fn handle_append_response(&mut self, response: Message) {
        let last_index = self.log.last_index();
        let Some(progress) = self.tracker.get_mut(response.from) else { return };
        progress.recent_active = true;
        if response.reject {
            self.handle_append_rejection(response);
            return;
        }
        if response.index > last_index {
            debug!(self.logger, "acknowledgement of what was never sent is ignored";
                "from" => response.from, "index" => response.index);
            return;
        }
        // lab:begin 2AB replication::handle_append_response  hint="match moves, the window opens, a probe becomes replication, the quorum may have moved"
        let probe_answered = progress.state == ProgressState::Probe && progress.matched == response.index;
        if !progress.maybe_update(response.index) && !probe_answered {
            return;
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Replicate => progress.inflights.free_to(response.index),
            ProgressState::Snapshot => self.leave_snapshot(response.from),
        }
        self.maybe_commit();
        // The follower may have room for more, or not know the commit index.
        self.appends_due = true;
        // lab:end
    }

    /// A follower's log does not match in front of an append: try again further down.
    fn handle_append_rejection(&mut self, response: Message) {
        // lab:begin 2AB replication::handle_append_rejection  hint="our log up to the hint may have terms that the follower's cannot have: skip them all"
        let hint = if response.log_term > 0 {
            self.log.find_conflict_by_term(response.reject_hint, response.log_term).0
        } else {
            response.reject_hint
        };
        let Some(progress) = self.tracker.get_mut(response.from) else { return };
        if progress.maybe_decrease(response.index, hint) {
            self.send_append(response.from, true);
        }
        // lab:end
    }

    /// A follower is alive: whatever paused it may be lost, so try again.
    pub(crate) fn handle_heartbeat_response(&mut self, response: Message) {
        self.handle_read_answer(&response);
        // lab:begin 2AB replication::handle_heartbeat_response  hint="resume what was paused; who is behind gets an append, even an empty one"
        let last_index = self.log.last_index();
        let Some(progress) = self.tracker.get_mut(response.from) else { return };
        progress.recent_active = true;
        progress.paused = false;
        if progress.matched < last_index || progress.state == ProgressState::Probe {
            self.send_append(response.from, true);
        }
        // lab:end
    }
}
