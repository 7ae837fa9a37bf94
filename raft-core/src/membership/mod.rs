//! Who belongs to the group, and how that changes (project 3A; Raft paper, section 6; Raft thesis, chapter 4).
//!
//! # Why this is hard
//!
//! Raft is safe because any two majorities have a node in common. While members change, different nodes believe in different groups, and a
//! majority of the old group and one of the new group may have nobody in common: two leaders in one term, two entries committed at
//! one index. There are two ways around it, and both are here:
//!
//! - **One voter at a time.** If the new group has one voter more or less than the old one, their majorities must overlap. Adding,
//!   removing, promoting or demoting one node takes one entry of the log.
//! - **Joint consensus.** Any change at all, in two entries. The first one enters a *joint* configuration, in which every decision, an
//!   election as well as a commit, needs a majority of the old voters *and* one of the new ones. The second leaves it. With auto-leave the
//!   leader proposes the second by itself as soon as the first is applied; otherwise the owner does, with an empty
//!   [`ConfChangeV2`].
//!
//! # When a change takes effect
//!
//! When its entry is *applied*: the owner finds it among the committed entries, decodes it with [`decode`] and hands it to
//! [`crate::RawNode::apply_conf_change`], **before** it reports that index as applied. (The paper lets a change take effect when it is
//! appended. Doing it later is simpler, since an applied entry is never taken back.) Three rules make that safe:
//!
//! - **One at a time** (R-CONF-ONE). A leader proposes no change while an earlier one may be unapplied. It remembers the index of the last
//!   one; a new leader does not know what its predecessor proposed, so it takes its whole log as suspect.
//! - **Nobody campaigns over an unapplied change.** A node that has a committed change in its log and has not applied it would count
//!   votes by a configuration that is no longer in force.
//! - **A smaller quorum decides anew.** What waited for the missing acknowledgement may be committed the moment the configuration changes,
//!   and nobody will send another acknowledgement to trigger it.
//!
//! # Who leaves
//!
//! A leader that is removed, or made a learner, tells the others what is committed and steps down when it applies that. It is wiser to
//! transfer the leadership first: of a group of two that removes its leader, the other one must hear of the commit, or it will wait
//! for a vote of a node that no longer exists. A node that is gone does not campaign; what it still sends is refused if it is an answer,
//! and judged like anybody's if it is a request, because it may be the receiver whose configuration is old. For the same reason learners
//! answer requests for votes.
//!
//! # The rooms
//!
//! `configuration.rs` is the value, `changer.rs` the pure function from one to the next, `parse.rs` the entry of the log; here is what a
//! node does with them. Owner: [`Raft`]. Invariants: R-CONF (a configuration does not contradict itself), R-CONF-ONE.

mod changer;
mod configuration;
mod parse;

pub use changer::Changer;
pub use configuration::Configuration;
pub use parse::{Change, decode, is_conf_change};

use bytes::Bytes;
use proto::eraftpb::{ConfChangeV2, ConfState, Entry};
use slog::{debug, info};

use crate::invariant::invariant;
use crate::raft::Raft;
use crate::{Error, Result, Storage};
use changer::Kind;

/// How many bytes of the log are looked at together when it is searched for changes.
const PAGE: u64 = 64 << 10;

impl<S: Storage> Raft<S> {
    /// Proposes a change of membership. Returns the index and term of its entry.
    pub(crate) fn propose_conf_change(&mut self, context: Bytes, change: Change) -> Result<(u64, u64)> {
        self.check_leader()?;
        self.check_conf_change(&change.clone().into_v2())?;
        let (entry_type, data) = change.encode();
        // lab:begin 3A membership::propose_conf_change  hint="an entry like any other; self.pending_conf_index remembers where it is"
        let (index, term) = self.propose(entry_type, context, data)?;
        self.pending_conf_index = index;
        Ok((index, term))
        // lab:end
    }

    /// True while a change of membership may be in the log that is not applied yet.
    pub(crate) fn is_conf_change_pending(&self) -> bool {
        // lab:begin 3A membership::is_conf_change_pending  hint="compare the last change's index with what is applied"
        self.pending_conf_index > self.log.applied()
        // lab:end
    }

    /// Why a change cannot be proposed: not now, or not at all. One change at a time means that the configuration in force now is
    /// the one that the change will meet, so whatever is refused here would be refused when it is applied.
    fn check_conf_change(&self, change: &ConfChangeV2) -> Result<()> {
        let refuse = |reason| Err(Error::ConfChangeRefused { reason });
        if self.is_conf_change_pending() {
            return refuse("an earlier change may not be applied yet");
        }
        if self.transfer_target().is_some() {
            return refuse("the leadership is being transferred");
        }
        if self.tracker.configuration().is_joint() && Kind::of(change)? != Kind::Leave {
            return refuse("the joint configuration is not left yet");
        }
        Changer::new(self.tracker.configuration()).apply(change).map(|_| ())
    }

    /// Puts a change into force. The error depends on the configuration and the change alone: every node that applies the entry comes to it.
    ///
    /// A change that was handed out before a snapshot came is covered by the snapshot, whose configuration is in force already.
    pub(crate) fn apply_conf_change(&mut self, change: Change) -> Result<ConfState> {
        if self.log.unstable().snapshot().is_some() {
            debug!(self.logger, "change of membership ignored: a snapshot covers it");
            return Ok(self.tracker.conf_state());
        }
        let next = Changer::new(self.tracker.configuration()).apply(&change.into_v2())?;
        self.switch_to(next);
        Ok(self.tracker.conf_state())
    }

    /// Replaces the configuration; who stays keeps its progress.
    fn switch_to(&mut self, next: Configuration) {
        invariant!("R-CONF", self.id, next.is_consistent(), "{next} contradicts itself");
        info!(self.logger, "changes the membership"; "was" => %self.tracker.configuration(), "is" => %next);
        let (old, new) = (self.tracker.configuration().members(), next.members());
        self.tracker.set_configuration(next);
        old.difference(&new).for_each(|id| self.remove_node(*id));
        new.difference(&old).for_each(|id| self.add_node(*id));
        self.after_conf_change();
        self.release_reads();
        self.maybe_leave_joint();
    }

    /// A node has joined: nothing is known about its log. It counts as active, or check-quorum could depose us before it had a chance to
    /// speak.
    pub(crate) fn add_node(&mut self, id: u64) {
        // lab:begin 3A membership::add_node  hint="self.tracker.new_progress(next): probe it at the end of our log, which begins at 1; its answers will lead us back"
        let mut progress = self.tracker.new_progress(self.log.last_index().max(1));
        progress.recent_active = true;
        self.tracker.insert(id, progress);
        // lab:end
    }

    /// A node has left: nothing is sent to it any more, and nothing it says counts.
    pub(crate) fn remove_node(&mut self, id: u64) {
        // lab:begin 3A membership::remove_node  hint="self.tracker forgets its progress"
        self.tracker.remove(id);
        // lab:end
    }

    /// What a leader does once another configuration is in force.
    pub(crate) fn after_conf_change(&mut self) {
        if !self.is_leader() {
            return;
        }
        // lab:begin 3A membership::after_conf_change  hint="a quorum that shrank may commit what waited; newcomers want entries; who leads without a vote tells what is committed, then steps down; a target without a vote is none"
        self.maybe_commit();
        self.appends_due = true;
        if !self.tracker.voters().contains(self.id) {
            info!(self.logger, "steps down: no voter any more"; "term" => self.term);
            self.broadcast_append();
            self.become_follower(self.term, 0);
        } else if self.transfer_target().is_some_and(|to| !self.tracker.voters().contains(to)) {
            self.abort_transfer();
        }
        // lab:end
    }

    /// The state machine has applied everything up to `index`.
    pub(crate) fn on_applied(&mut self, index: u64) {
        self.log.applied_to(index);
        self.maybe_leave_joint();
    }

    /// Leaves a joint configuration that is to be left by itself, once it is in force. A transfer comes first: the next leader does it then.
    pub(crate) fn maybe_leave_joint(&mut self) {
        let due = self.is_leader() && self.tracker.configuration().auto_leave;
        if !due || self.is_conf_change_pending() || self.transfer_target().is_some() {
            return;
        }
        let (entry_type, data) = Change::V2(ConfChangeV2::default()).encode();
        let entry = Entry { entry_type: entry_type as i32, data, ..Entry::default() };
        let (index, _) = self.append_entry(entry);
        self.pending_conf_index = index;
        debug!(self.logger, "leaves the joint configuration"; "index" => index);
    }

    /// True if a committed change waits to be applied, or if the log cannot be read to find out.
    pub(crate) fn has_unapplied_conf_change(&self) -> bool {
        let (mut low, high) = (self.log.applied() + 1, self.log.committed() + 1);
        while low < high {
            match self.log.slice(low, high, PAGE) {
                Ok(page) if page.is_empty() || page.iter().any(is_conf_change) => return true,
                Ok(page) => low += page.len() as u64,
                Err(error) => {
                    debug!(self.logger, "cannot search the log"; "from" => low, "error" => %error);
                    return true;
                }
            }
        }
        false
    }
}
