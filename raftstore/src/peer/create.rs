//! How a peer comes into being: from what the engines hold, or from nothing, by a message.
//!
//! A store that has no peer of a region, and gets a message for one, may have become a member, or may have missed a split because a
//! snapshot has taken its parent past it. It makes an *uninitialised* peer: an empty log, no range, no members, no record in the kv
//! engine. Such a peer refuses appends (its log does not connect), which makes the leader send a snapshot, and that initialises it. It votes
//! like any member with an empty log: without its vote a region may have no majority. It cannot campaign, as it knows no members.
//!
//! Its term and vote are kept in the raft engine like those of any other peer, and are found there by whoever comes after it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use prost::Message;
use proto::{
    eraftpb::{Snapshot, SnapshotMetadata},
    metapb,
    raft_serverpb::{RaftSnapshotData, RegionLocalState},
};
use raft_core::RawNode;
use slog::{info, o};
use storage::Engine;

use super::{
    Peer, PeerContext, destroy::Life, log_gc::LogGc, propose::WaitingWrites, read::ReadQueue, split::Splits,
    ticks::Ticks,
};
use crate::{
    config::Config,
    epoch::ChangesInFlight,
    error::{Error, Result},
    membership::conf_state,
    peer_storage::PeerStorage,
    region::{self, INITIAL_INDEX, INITIAL_TERM},
};

impl<E: Engine> Peer<E> {
    /// Loads a peer from what the engines hold about its region.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if the records contradict each other; the engine's errors.
    pub fn load(context: Arc<PeerContext<E>>, state: RegionLocalState) -> Result<Self> {
        let region = state.region.ok_or_else(|| Error::Corrupted("a region state holds no region".to_owned()))?;
        let peer = *region::peer_on_store(&region, context.store_id).ok_or_else(|| {
            Error::Corrupted(format!("region {} has no peer on store {}", region.id, context.store_id))
        })?;
        let storage = PeerStorage::load(&context, &region)?;
        Peer::new(context, region, peer, storage)
    }

    /// Makes a peer of a region that this store knows nothing of.
    ///
    /// # Errors
    /// The engine's errors.
    pub fn uninitialized(context: Arc<PeerContext<E>>, region_id: u64, peer: metapb::Peer) -> Result<Self> {
        let storage = PeerStorage::uninitialized(&context, region_id)?;
        Peer::new(context, metapb::Region { id: region_id, ..Default::default() }, peer, storage)
    }

    fn new(
        context: Arc<PeerContext<E>>,
        region: metapb::Region,
        peer: metapb::Peer,
        storage: PeerStorage<E>,
    ) -> Result<Self> {
        let logger = context.logger.new(o!("region" => region.id, "peer" => peer.id));
        let applied = storage.applied_index();
        let config = raft_config(&context.config, peer.id, applied);
        let node = RawNode::new(&config, storage, &logger)?;
        Ok(Peer {
            logger,
            role: node.raft.role(),
            leader_id: 0,
            term: node.raft.term(),
            ticks: Ticks::new(region.id),
            region: Arc::new(region),
            peer,
            strangers: BTreeMap::new(),
            node,
            writes: WaitingWrites::default(),
            proposals: VecDeque::new(),
            changes: ChangesInFlight::default(),
            reads: ReadQueue::default(),
            log_gc: LogGc::default(),
            splits: Splits::default(),
            last_ready: 0,
            persisted_ready: 0,
            applied,
            handed_to_apply: applied,
            checking: None,
            arriving: None,
            restoring: None,
            life: Life::default(),
            lagging: false,
            leader_missing: 0,
            told_conf_ver: 0,
            crowded_until: 0,
            context,
        })
    }

    /// Whether the peer knows its region: by bootstrap, split or snapshot.
    pub fn is_initialized(&self) -> bool {
        !self.region.peers.is_empty()
    }

    /// Stands for election. Nothing to be done about it if that is not possible now: the next election timeout comes.
    pub(super) fn campaign(&mut self) {
        if let Err(error) = self.node.campaign() {
            info!(self.logger, "cannot campaign"; "error" => %error);
        }
    }

    /// A split has made the region of this peer, which has been here, uninitialised, before. The split has written the records of the
    /// region; what is left is raft-core's view of them, and that is the view of a snapshot at the initial index: the log is replaced,
    /// term and vote stay.
    pub(super) fn on_split_off(&mut self, region: metapb::Region, campaign: bool) {
        // lab:begin 3B peer::on_split_off  hint="what was promised in the peer's name before the split?"
        if self.is_initialized() || self.node.raft.pending_snapshot().is_some() {
            return; // a snapshot of the region was faster; it is from behind the split
        }
        info!(self.logger, "initialized by a split");
        let metadata =
            SnapshotMetadata { conf_state: Some(conf_state(&region)), index: INITIAL_INDEX, term: INITIAL_TERM };
        let data = RaftSnapshotData { region: Some(region.clone()), ..Default::default() }.encode_to_vec();
        let taken = self.node.restore(Snapshot { data: data.into(), metadata: Some(metadata) });
        assert!(taken, "invariant S-SPLIT-IDS: region {} peer {} is not in {region:?}", region.id, self.peer.id);
        self.arriving = Some(super::snapshot::Arriving::Split { campaign });
        // lab:end
    }
}

/// Settings of one peer's raft-core. Its seed differs from peer to peer, so that their elections do not collide for ever.
fn raft_config(config: &Config, peer_id: u64, applied: u64) -> raft_core::Config {
    raft_core::Config {
        id: peer_id,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: config.max_message_bytes,
        max_inflight_msgs: config.max_inflight_messages,
        max_inflight_bytes: config.max_inflight_bytes,
        max_uncommitted_size: config.max_uncommitted_bytes,
        skip_commit_broadcast: true,
        pre_vote: true,
        check_quorum: true,
        seed: config.seed ^ peer_id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ..Default::default()
    }
}
