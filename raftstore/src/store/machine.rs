//! The store's own state machine: what belongs to no region.
//!
//! Owner: the poller that took it out of its mailbox.

use std::sync::Arc;

use proto::{pdpb::StoreStats, raft_serverpb::RaftMessage};
use slog::{Logger, debug};

use crate::{env::SchedulerLink, message::StoreMessage, metrics::Metrics};

/// See the module.
pub struct StoreMachine {
    store_id: u64,
    heartbeat_ticks: u64,
    ticks: u64,
    scheduler: Arc<dyn SchedulerLink>,
    logger: Logger,
}

impl StoreMachine {
    /// The machine of a store that reports to the scheduler every `heartbeat_ticks`, and at its first tick.
    pub fn new(store_id: u64, heartbeat_ticks: u64, scheduler: Arc<dyn SchedulerLink>, logger: Logger) -> Self {
        StoreMachine { store_id, heartbeat_ticks, ticks: 0, scheduler, logger }
    }

    /// One tick of the raft clock.
    pub fn on_tick(&mut self, region_count: usize) {
        if self.ticks.is_multiple_of(self.heartbeat_ticks) {
            let (store_id, region_count) = (self.store_id, region_count as u32);
            self.scheduler.store_heartbeat(StoreStats { store_id, region_count, ..Default::default() });
        }
        self.ticks += 1;
    }

    /// Handles a message that found no peer.
    pub fn on_message(&mut self, message: StoreMessage, metrics: &Metrics) {
        match message {
            StoreMessage::Raft(message) => self.on_raft_message(&message, metrics),
        }
    }

    /// All peers of a store come from its bootstrap, so a message for a region without a peer is a mistake or long out of date.
    fn on_raft_message(&mut self, message: &RaftMessage, metrics: &Metrics) {
        metrics.messages_dropped.inc();
        let from = message.from_peer.as_ref().map_or(0, |p| p.store_id);
        debug!(self.logger, "dropped a message for a region without a peer here";
            "region" => message.region_id, "from_store" => from);
    }
}
