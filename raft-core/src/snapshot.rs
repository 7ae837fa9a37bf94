//! Snapshots (project 2C; Raft paper, section 7): for a follower that needs entries which the leader has compacted.
//!
//! Only the decision and the metadata are here; the data is the owner's, who gets a snapshot with a Ready and reports with
//! [`crate::RawNode::report_snapshot`] how sending one went.
//!
//! Invariant R-SNAP-ONE: while a received snapshot is not on disk, no second one and no append is taken in.

use proto::eraftpb::{Message, MessageType, Snapshot};
use slog::{debug, info, warn};

use crate::membership::Configuration;
use crate::progress::ProgressState;
use crate::raft::{Raft, Role};
use crate::{Error, Result, Storage};

impl<S: Storage> Raft<S> {
    /// Sends a snapshot to a follower that needs compacted entries. Returns false if there is none yet; the answer to a later heartbeat
    /// will try again.
    pub(crate) fn send_snapshot(&mut self, to: u64) -> bool {
        let Some(progress) = self.tracker.get_mut(to) else { return false };
        // lab:begin 2C snapshot::send_snapshot  hint="not yet is not an error; note in the progress that a snapshot is on its way"
        if !progress.recent_active {
            // Making a snapshot is expensive: not for a member that may be gone. The first answer of its will bring us back here.
            debug!(self.logger, "no snapshot for a silent member"; "to" => to);
            progress.paused = true;
            return false;
        }
        let snapshot = match self.log.snapshot(progress.requested_snapshot, to) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                if !matches!(error, Error::SnapshotTemporarilyUnavailable) {
                    warn!(self.logger, "no snapshot"; "to" => to, "error" => %error);
                }
                progress.paused = true;
                return false;
            }
        };
        let index = snapshot.metadata.as_ref().map_or(0, |m| m.index);
        info!(self.logger, "sends a snapshot"; "to" => to, "index" => index, "next" => progress.next);
        progress.become_snapshot(index);
        let message = Message { snapshot: Some(snapshot.into()), ..self.message(MessageType::MsgSnapshot, to) };
        self.msgs.push(message);
        true
        // lab:end
    }

    /// An acknowledgement of a follower that a snapshot is on its way to: if its log connects to ours, by the snapshot or otherwise, go on
    /// from there. If the log was compacted further meanwhile, probing will find out that it needs another snapshot.
    pub(crate) fn leave_snapshot(&mut self, id: u64) {
        let first_index = self.first_index();
        let Some(progress) = self.tracker.get_mut(id) else { return };
        if progress.matched + 1 >= first_index {
            progress.become_replicate();
        } else if progress.matched >= progress.pending_snapshot {
            progress.become_probe();
        }
    }

    /// The owner tells how sending a snapshot went.
    pub(crate) fn on_snapshot_status(&mut self, id: u64, ok: bool) {
        let Some(progress) = self.tracker.get_mut(id).filter(|p| p.state == ProgressState::Snapshot) else { return };
        if !ok {
            progress.pending_snapshot = 0;
        }
        progress.become_probe();
        // After success wait for the follower's word that it has applied it, after a failure for a sign of life.
        progress.paused = true;
    }

    /// A follower receives a snapshot.
    pub(crate) fn handle_snapshot(&mut self, message: Message) {
        let from = message.from;
        // lab:begin 2C snapshot::handle_snapshot  hint="restore, or answer how far our log is committed"
        if let Some(snapshot) = message.snapshot {
            self.restore(snapshot);
        }
        let index = if self.log.unstable().snapshot().is_some() { self.log.last_index() } else { self.log.committed() };
        let answer = Message { index, ..self.message(MessageType::MsgAppendResponse, from) };
        self.msgs.push(answer);
        // lab:end
    }

    /// Replaces log and members by a snapshot's. Returns false if the snapshot is of no use.
    pub(crate) fn restore(&mut self, snapshot: Box<Snapshot>) -> bool {
        let Some(metadata) = snapshot.metadata.clone() else { return false };
        let Some(conf_state) = metadata.conf_state.clone() else { return false };
        // lab:begin 2C snapshot::restore  hint="an old one and a second one are ignored; one that our log contains only moves the commit index"
        let (index, term) = (metadata.index, metadata.term);
        if index <= self.log.committed() || self.log.unstable().snapshot().is_some() || self.role != Role::Follower {
            debug!(self.logger, "snapshot ignored"; "index" => index, "committed" => self.log.committed());
            return false;
        }
        if !Configuration::from_conf_state(&conf_state).members().contains(&self.id) {
            warn!(self.logger, "snapshot without this node ignored"; "index" => index);
            return false;
        }
        if self.log.match_term(index, term) {
            self.log.commit_to(index);
            return false;
        }
        info!(self.logger, "restores a snapshot"; "index" => index, "term" => term);
        self.log.restore(index, snapshot);
        self.tracker.restore(&conf_state, index + 1);
        true
        // lab:end
    }

    /// Asks the leader for a snapshot, until one comes.
    pub(crate) fn request_snapshot(&mut self) -> Result<()> {
        let refuse = |reason| Err(Error::SnapshotRequestRefused { reason });
        if self.role != Role::Follower || self.leader_id == 0 {
            return refuse("there is no leader to ask");
        }
        if self.log.unstable().snapshot().is_some() || self.requested_snapshot > 0 {
            return refuse("one is on its way");
        }
        if self.log.last_term() != self.term {
            // Its end may contradict the leader's log, and the leader might never reach that index.
            return refuse("nothing of this leader has been appended yet");
        }
        self.requested_snapshot = self.log.last_index();
        self.ask_for_snapshot();
        Ok(())
    }

    /// Asks again, in place of an answer to what the leader has sent.
    pub(crate) fn ask_for_snapshot(&mut self) {
        let request = Message {
            reject: true,
            index: self.log.committed(),
            reject_hint: self.log.last_index(),
            log_term: self.log.last_term(),
            request_snapshot: self.requested_snapshot,
            ..self.message(MessageType::MsgAppendResponse, self.leader_id)
        };
        self.msgs.push(request);
    }

    /// A follower wants a snapshot, whatever its log has. It acknowledges nothing else until it gets one, and the snapshot may have to wait
    /// until what it has is committed: so its request counts as an acknowledgement.
    pub(crate) fn handle_snapshot_request(&mut self, request: Message) {
        let possible = request.request_snapshot <= self.log.last_index();
        let Some(progress) = self.tracker.get_mut(request.from).filter(|_| possible) else { return };
        progress.recent_active = true;
        let grew =
            self.log.match_term(request.reject_hint, request.log_term) && progress.maybe_update(request.reject_hint);
        if progress.state != ProgressState::Snapshot {
            progress.become_probe();
            progress.requested_snapshot = request.request_snapshot;
            self.send_snapshot(request.from);
        }
        if grew {
            self.maybe_commit();
            self.appends_due = true;
        }
    }

    /// A follower has answered a heartbeat. If it still wants a snapshot it says so again right behind; if it was started anew meanwhile it does
    /// not, and the snapshot may even have to wait for what only its acknowledgement commits.
    pub(crate) fn forget_snapshot_request(&mut self, id: u64) {
        if let Some(progress) = self.tracker.get_mut(id) {
            progress.requested_snapshot = 0;
        }
    }

    /// An acknowledgement of a follower that had everything in the snapshot it asked for, so that its `matched` cannot tell that it has come.
    pub(crate) fn end_requested_snapshot(&mut self, id: u64, index: u64) {
        let Some(progress) = self.tracker.get_mut(id).filter(|p| p.state == ProgressState::Snapshot) else { return };
        if progress.pending_snapshot <= index && index <= progress.matched {
            self.leave_snapshot(id);
            self.appends_due = true;
        }
    }

    /// A snapshot arrives at a follower that has asked for one. It is taken in although the log may have what is in it; nothing was appended
    /// since the request, so nothing that this node has acknowledged is lost with the log.
    pub(crate) fn handle_requested_snapshot(&mut self, message: Message) {
        let metadata = message.snapshot.as_ref().and_then(|s| s.metadata.as_ref());
        let Some((index, conf_state)) = metadata.and_then(|m| Some((m.index, m.conf_state.clone()?))) else { return };
        let wanted = self.requested_snapshot.max(self.log.committed());
        let member = Configuration::from_conf_state(&conf_state).members().contains(&self.id);
        if index < wanted || !member {
            debug!(self.logger, "not the requested snapshot"; "index" => index, "wanted" => wanted, "member" => member);
            return;
        }
        info!(self.logger, "restores the requested snapshot"; "index" => index);
        self.requested_snapshot = 0;
        self.log.restore(index, message.snapshot.unwrap_or_default());
        self.tracker.restore(&conf_state, index + 1);
        let answer = Message { index, ..self.message(MessageType::MsgAppendResponse, message.from) };
        self.msgs.push(answer);
    }
}
