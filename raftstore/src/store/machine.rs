//! The store's own state machine: what belongs to no region.
//!
//! Owner: the poller that took it out of its mailbox.

use std::sync::Arc;

use proto::{eraftpb::MessageType, pdpb::StoreStats, raft_serverpb::RaftMessage};
use slog::{Logger, debug};
use storage::Engine;

use crate::{batch::Router, env::SchedulerLink, message::StoreMessage};

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
    pub fn on_message<E: Engine>(&mut self, message: StoreMessage, router: &Router<E>) {
        match message {
            StoreMessage::Raft(message) => self.on_raft_message(*message, router),
        }
    }

    /// The region may be the child of a split that this store has not applied yet. Its candidate asks for votes as soon as it exists,
    /// so a vote is kept until then; everything else is sent again.
    fn on_raft_message<E: Engine>(&mut self, message: RaftMessage, router: &Router<E>) {
        // lab:begin 3B store::on_raft_message  hint="between the router's look and this one, the peer may have come into being"
        let kind = message.message.as_ref().map(|inner| inner.msg_type());
        let is_vote = matches!(kind, Some(MessageType::MsgRequestVote | MessageType::MsgRequestPreVote));
        let mut meta = router.meta().lock();
        if router.has_peer(message.region_id) {
            drop(meta);
            return router.raft_message(message);
        }
        if is_vote {
            return meta.keep_early_vote(message);
        }
        router.metrics().messages_dropped.inc();
        let from = message.from_peer.as_ref().map_or(0, |p| p.store_id);
        debug!(self.logger, "dropped a message for a region without a peer here";
            "region" => message.region_id, "from_store" => from);
        // lab:end
    }
}
