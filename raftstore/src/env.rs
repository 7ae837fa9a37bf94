//! The outside of a store, as traits: the network, the scheduler, the two engines.
//!
//! Production implements them with sockets and RocksDB (crate `server`), the simulator with queues and memory. Calls come from
//! the stage that holds the value; none of them may block on the network.

use proto::{metapb, pdpb, raft_serverpb::RaftMessage};
use storage::Engine;

/// The two engines of a store.
#[derive(Clone, Debug)]
pub struct Engines<E: Engine> {
    /// Data of the regions and, in the column family `raft`, what is known of the regions themselves.
    pub kv: E,
    /// Raft logs and raft states (column family `default` only).
    pub raft: E,
}

/// Sends raft messages to other stores.
///
/// A message may be lost, delayed, doubled or overtaken; raft copes. It may not be changed.
pub trait Transport: Clone + Send + 'static {
    /// Queues a message for the store of its `to_peer`. Never blocks; a full queue loses the message.
    ///
    /// A message with a snapshot takes the snapshot's files along ([`crate::snapshot::SnapshotStore::source`]) and is handed over
    /// there when they have arrived whole. How it went is told to [`crate::Router::snapshot_status`], in any case.
    fn send(&mut self, message: RaftMessage);
    /// Called once after each round: what was queued should leave now.
    fn flush(&mut self);
}

/// Ids for the new regions of a split, one set for each; or why there are none.
pub type SplitIds = std::result::Result<Vec<pdpb::SplitId>, String>;

/// Takes the answer to [`SchedulerLink::ask_split`].
pub type SplitIdsCallback = Box<dyn FnOnce(SplitIds) + Send>;

/// Takes the answer to [`SchedulerLink::ask_region`].
pub type RegionCallback = Box<dyn FnOnce(metapb::Region) + Send>;

/// Reports and questions to the scheduler. No call waits. Reports are fire and forget: a lost one is made up for by the next.
pub trait SchedulerLink: Send + Sync + 'static {
    /// A leader's report about its region. `header` is left empty for the link to fill in.
    fn region_heartbeat(&self, heartbeat: pdpb::RegionHeartbeatRequest);
    /// The store's report about itself.
    fn store_heartbeat(&self, stats: pdpb::StoreStats);
    /// Asks for the ids of a split of `region` into `new_regions` more. The answer may come at any time, or never; who asks does not
    /// wait for ever.
    fn ask_split(&self, region: metapb::Region, new_regions: u32, callback: SplitIdsCallback);
    /// Asks for a region as the scheduler knows it. Without an answer the callback is dropped.
    fn ask_region(&self, region_id: u64, callback: RegionCallback);
    /// All parts of a region that was split, in key order, told by its leader.
    fn report_split(&self, parts: Vec<metapb::Region>);
}
