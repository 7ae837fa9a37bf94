//! The store's own state machine: what belongs to no region.
//!
//! Owner: the poller that took it out of its mailbox.

use std::sync::Arc;

use proto::{pdpb::StoreStats, raft_serverpb::RaftMessage};
use storage::Engine;

use super::create;
use crate::{
    batch::Router, config::Config, env::SchedulerLink, error::Result, message::StoreMessage, peer::PeerContext,
};

/// See the module.
pub struct StoreMachine {
    store_id: u64,
    heartbeat_ticks: u64,
    snapshot_gc_ticks: u64,
    ticks: u64,
    scheduler: Arc<dyn SchedulerLink>,
}

impl StoreMachine {
    /// The machine of a store that reports to the scheduler every `store_heartbeat_ticks`, and at its first tick.
    pub fn new(store_id: u64, config: &Config, scheduler: Arc<dyn SchedulerLink>) -> Self {
        let (heartbeat_ticks, snapshot_gc_ticks) = (config.store_heartbeat_ticks, config.snapshot_gc_ticks);
        StoreMachine { store_id, heartbeat_ticks, snapshot_gc_ticks, ticks: 0, scheduler }
    }

    /// One tick of the raft clock. Returns whether it is time to look for snapshot files that nobody needs.
    pub fn on_tick(&mut self, region_count: usize) -> bool {
        if self.ticks.is_multiple_of(self.heartbeat_ticks) {
            let (store_id, region_count) = (self.store_id, region_count as u32);
            self.scheduler.store_heartbeat(StoreStats { store_id, region_count, ..Default::default() });
        }
        self.ticks += 1;
        self.ticks.is_multiple_of(self.snapshot_gc_ticks)
    }

    /// Handles a message that found no peer. Returns what is to be sent.
    ///
    /// # Errors
    /// The engine's errors; they are fatal for the store.
    pub fn on_message<E: Engine>(
        &mut self,
        message: StoreMessage,
        router: &Router<E>,
        context: &Arc<PeerContext<E>>,
    ) -> Result<Option<RaftMessage>> {
        match message {
            StoreMessage::Raft(message) => create::on_raft_message(*message, router, context),
        }
    }
}
