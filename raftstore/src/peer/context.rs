//! What a peer shares with the others of its store, and what it wants done.

use std::sync::Arc;

use proto::{metapb, raft_serverpb::RaftMessage};
use slog::Logger;
use storage::Engine;

use super::{Peer, PeerStatus, SplitQuestion};
use crate::{
    config::Config, env::Engines, log_writer::PersistTask, message::ApplyWork, metrics::Metrics,
    snapshot::SnapshotStore, store::SharedMeta, worker::Task,
};

/// What a peer wants done, collected over one round.
pub struct Effects<E: Engine> {
    /// Messages that may leave before anything is on disk.
    pub messages: Vec<RaftMessage>,
    /// What has to be made durable, in order.
    pub persist: Vec<PersistTask>,
    /// What has to be applied, in order.
    pub apply: Vec<ApplyWork>,
    /// What has to be done in the background.
    pub tasks: Vec<Task<E::Snapshot>>,
    /// Reports to the scheduler.
    pub heartbeats: Vec<proto::pdpb::RegionHeartbeatRequest>,
    /// Splits for the scheduler to know, each with all its parts.
    pub splits: Vec<Vec<metapb::Region>>,
    /// Questions to the scheduler.
    pub questions: Vec<SplitQuestion>,
    /// Regions that the scheduler is asked for, by peers that may not be members any more.
    pub membership_questions: Vec<u64>,
    /// New peers of this store.
    pub created: Vec<Box<Peer<E>>>,
    /// Parts of a split whose peers are here already, uninitialised; and whether they should campaign.
    pub adopted: Vec<(metapb::Region, bool)>,
    /// What people may see of the peer.
    pub statuses: Vec<PeerStatus>,
}

impl<E: Engine> Default for Effects<E> {
    fn default() -> Self {
        Effects {
            messages: Vec::new(),
            persist: Vec::new(),
            apply: Vec::new(),
            tasks: Vec::new(),
            heartbeats: Vec::new(),
            splits: Vec::new(),
            questions: Vec::new(),
            membership_questions: Vec::new(),
            created: Vec::new(),
            adopted: Vec::new(),
            statuses: Vec::new(),
        }
    }
}

/// What all peers of a store share.
pub struct PeerContext<E: Engine> {
    /// Id of the store.
    pub store_id: u64,
    /// The store's engines.
    pub engines: Engines<E>,
    /// Settings.
    pub config: Arc<Config>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The regions of the store.
    pub meta: Arc<SharedMeta>,
    /// The files of the store's snapshots.
    pub snapshots: SnapshotStore,
    /// The store's logger.
    pub logger: Logger,
}
