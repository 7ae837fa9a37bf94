//! Changes of the members of a region: what a leader proposes, and what a peer does when a change is applied.
//!
//! Whether a change makes sense, and what it makes of the region, is decided by [`crate::membership`], here and again when the entry is applied.
//!
//! Two rules of a leader's own:
//!
//! - It never proposes its own removal, nor to take its own vote away: it hands the leadership over first, and whoever asked comes again. So
//!   the leader that commits a removal stays in the region, and needs nobody's vote to go on.
//! - It leaves a joint configuration by itself, as soon as that is in force.
//!
//! Invariants: R-CONF-ONE (one change at a time, kept by raft-core), R-CONF-KNOWN (raft's configuration is that of the region at the same place of
//! the log), S-MEMBER.

use std::sync::Arc;

use proto::{
    eraftpb::ConfChangeV2,
    metapb::{PeerRole, Region},
    raft_cmdpb::{AdminCmdType, AdminRequest, ChangePeerV2Request},
};
use raft_core::membership::Configuration;
use slog::{debug, info};
use storage::Engine;

use super::{Effects, Peer};
use crate::{
    error::{Error, Result},
    membership::{changes_of, conf_state, is_joint, region_after},
    message::Waiting,
    region::peer_on_store,
};

impl<E: Engine> Peer<E> {
    /// A change of members that passed the checks of all admin commands.
    pub(super) fn on_conf_change_request(&mut self, request: AdminRequest, waiting: Waiting) {
        match self.check_conf_change(&request) {
            Ok(()) => self.propose_admin(request, waiting),
            Err(error) => {
                let reason = error.to_string();
                debug!(self.logger, "no change of members"; "why" => &reason);
                match error {
                    Error::AdminRefused { .. } => waiting.refuse(|| self.admin_refused(reason.clone())),
                    _ => waiting.refuse(|| Error::ServerIsBusy { reason: reason.clone() }),
                }
            }
        }
    }

    fn check_conf_change(&mut self, request: &AdminRequest) -> Result<()> {
        // lab:begin 3B conf_change::check_conf_change  hint="does it make sense here? and what if the leader itself would lose its vote?"
        let changes = changes_of(request).expect("invariant: only changes of members come here");
        let next = region_after(&self.region, changes)?;
        let votes = |role: PeerRole| matches!(role, PeerRole::Voter | PeerRole::IncomingVoter);
        if peer_on_store(&next, self.context.store_id).is_some_and(|own| votes(own.role())) {
            return Ok(());
        }
        let to = self.best_successor(&next).ok_or_else(|| {
            self.admin_refused("no other voter could lead the region in place of the one that goes".to_owned())
        })?;
        self.begin_transfer(to)?;
        let reason = format!("region {}: its leader hands over to peer {to} before it goes", self.region.id);
        Err(Error::ServerIsBusy { reason })
        // lab:end
    }

    /// The voter that lacks least of the log, among those who vote now and in `next`.
    fn best_successor(&self, next: &Region) -> Option<u64> {
        let voters = conf_state(next).voters;
        let now = self.node.raft.tracker().voters();
        let others = voters.into_iter().filter(|id| *id != self.peer.id && now.contains(*id));
        others.max_by_key(|id| self.node.raft.tracker().get(*id).map_or(0, |progress| progress.matched))
    }

    /// A leader that finds its region in a joint configuration leaves it. Called once a tick and when the configuration was entered; what
    /// fails now is tried again.
    pub(super) fn leave_joint(&mut self) {
        if !self.is_leader() || !is_joint(&self.region) || !self.changes.is_empty() {
            return;
        }
        let request = AdminRequest {
            cmd_type: AdminCmdType::ChangePeerV2 as i32,
            change_peer_v2: Some(ChangePeerV2Request::default()),
            ..Default::default()
        };
        self.on_conf_change_request(request, Waiting::Nobody);
    }

    /// Raft is told of an applied change, before it is told that the entry is applied.
    pub(super) fn change_configuration(&mut self, change: &ConfChangeV2) {
        let applied = self.node.apply_conf_change(change.clone());
        applied.unwrap_or_else(|error| {
            panic!("invariant R-CONF-KNOWN: region {} peer {}: {change:?}: {error}", self.region.id, self.peer.id)
        });
    }

    /// A change of members was applied, and this peer is still one of them; the region's state is on disk.
    pub(super) fn on_members_changed(&mut self, region: Region, effects: &mut Effects<E>) {
        // lab:begin 3B conf_change::on_members_changed  hint="who has to know: this peer, the store, the scheduler"
        info!(self.logger, "members changed"; "peers" => ?region.peers, "epoch" => ?region.region_epoch);
        self.context.metrics.members_changed.inc();
        self.peer =
            *peer_on_store(&region, self.context.store_id).expect("invariant S-MEMBER: the removal is told otherwise");
        self.context.meta.lock().put(region.clone());
        self.region = Arc::new(region);
        if self.is_leader() {
            effects.heartbeats.push(self.heartbeat());
        }
        effects.statuses.push(self.status());
        // lab:end
    }

    /// Checks R-CONF-KNOWN, once everything that was applied is known here.
    /// A snapshot that raft has taken in puts its configuration into force there first.
    pub(super) fn assert_configuration(&self) {
        if self.node.raft.pending_snapshot().is_some() || self.restoring.is_some() {
            return;
        }
        let known = Configuration::from_conf_state(&conf_state(&self.region));
        let raft = self.node.raft.tracker().configuration();
        assert!(
            known == *raft,
            "invariant R-CONF-KNOWN: region {} peer {} at {}: the region says {known}, raft {raft}",
            self.region.id,
            self.peer.id,
            self.applied
        );
    }
}
