//! The raft stage: takes peers out of their mailboxes, lets them work, and does what they want done.
//!
//! Owner: a poller thread each. All peers of a round share one flush of the transport and, downstream, one fsync.
//!
//! Order in a round, for each peer: messages that may leave go to the transport, committed entries to the apply worker, write
//! tasks to the log writer; then the peer goes back into its mailbox. After the last peer the transport is flushed, and a poller
//! that writes for itself syncs now.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use storage::Engine;

use crate::{
    batch::{Ready, Router, Taken},
    env::{SchedulerLink, Transport},
    error::Result,
    log_writer::{LogWriter, PersistTask},
    message::{ApplyWork, PeerMessage, StoreMessage},
    peer::{Effects, Peer, PeerContext, SplitQuestion},
    store::StoreMachine,
    worker::Task,
};

/// Where write tasks go.
pub enum PersistRoute<E: Engine, T: Transport> {
    /// To the log writer's stage.
    Stage(Sender<PersistTask>),
    /// Nowhere: the poller writes them itself at the end of its round.
    Inline(LogWriter<E, T>),
}

/// The stages behind the raft stage.
pub struct Downstream<E: Engine> {
    /// The apply workers' queues; a region always goes to the same one.
    pub apply: Vec<Sender<ApplyWork>>,
    /// The queue of the background workers.
    pub background: Sender<Task<E::Snapshot>>,
}

impl<E: Engine> Clone for Downstream<E> {
    fn clone(&self) -> Self {
        Downstream { apply: self.apply.clone(), background: self.background.clone() }
    }
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// So many mailboxes were handled.
    Handled(usize),
    /// The poller was asked to stop.
    Stop,
}

/// See the module.
pub struct RaftPoller<E: Engine, T: Transport> {
    context: Arc<PeerContext<E>>,
    router: Router<E>,
    ready: Receiver<Ready<E>>,
    transport: T,
    persist: PersistRoute<E, T>,
    downstream: Downstream<E>,
    scheduler: Arc<dyn SchedulerLink>,
    write_tasks: Vec<PersistTask>,
}

impl<E: Engine, T: Transport> RaftPoller<E, T> {
    /// A poller that takes mailboxes from `ready`.
    pub fn new(
        context: Arc<PeerContext<E>>,
        router: Router<E>,
        ready: Receiver<Ready<E>>,
        transport: T,
        persist: PersistRoute<E, T>,
        downstream: Downstream<E>,
        scheduler: Arc<dyn SchedulerLink>,
    ) -> Self {
        let write_tasks = Vec::new();
        RaftPoller { context, router, ready, transport, persist, downstream, scheduler, write_tasks }
    }

    /// Where the ready mailboxes come from, for the driver to wait on.
    pub fn ready(&self) -> &Receiver<Ready<E>> {
        &self.ready
    }

    /// Handles what waits now, up to `max_regions` mailboxes.
    ///
    /// # Errors
    /// Those of the engines; they are fatal for the store.
    pub fn round(&mut self, max_regions: usize) -> Result<Round> {
        match self.ready.try_recv() {
            Ok(first) => self.round_from(first, max_regions),
            Err(_) => Ok(Round::Handled(0)),
        }
    }

    /// A round that starts with a mailbox the driver has already received.
    pub fn round_from(&mut self, first: Ready<E>, max_regions: usize) -> Result<Round> {
        let mut next = Some(first);
        let (mut handled, mut released) = (0, Vec::new());
        while let Some(ready) = next.take() {
            match ready {
                Ready::Stop => {
                    self.finish_round(released)?;
                    return Ok(Round::Stop);
                }
                Ready::Store(mailbox) => {
                    let Some(mut taken) = mailbox.take() else { continue };
                    self.handle_store(&mut taken)?;
                    if taken.mailbox.release(taken.machine) {
                        released.push(Ready::Store(taken.mailbox));
                    }
                }
                Ready::Peer(mailbox) => {
                    let Some(mut taken) = mailbox.take() else { continue };
                    self.handle_peer(&mut taken)?;
                    if taken.machine.is_gone() {
                        self.router.close(taken.machine.region_id(), &taken.mailbox);
                    } else if taken.mailbox.release(taken.machine) {
                        released.push(Ready::Peer(taken.mailbox));
                    }
                }
            }
            handled += 1;
            if handled < max_regions.min(self.context.config.regions_per_round) {
                next = self.ready.try_recv().ok();
            }
        }
        self.finish_round(released)?;
        Ok(Round::Handled(handled))
    }

    fn handle_store(&mut self, taken: &mut Taken<StoreMachine, StoreMessage>) -> Result<()> {
        if taken.mailbox.take_tick() {
            let collect_snapshots = taken.machine.on_tick(self.router.region_ids().len());
            if collect_snapshots {
                // A worker that has stopped after an error has told the driver.
                let _ = self.downstream.background.send(Task::CollectSnapshots);
            }
        }
        for _ in 0..self.context.config.messages_per_round {
            let Some(message) = taken.mailbox.pop() else { break };
            if let Some(answer) = taken.machine.on_message(message, &self.router, &self.context)? {
                self.transport.send(answer);
            }
        }
        Ok(())
    }

    fn handle_peer(&mut self, taken: &mut Taken<Peer<E>, PeerMessage<E::Snapshot>>) -> Result<()> {
        let mut effects = Effects::default();
        if taken.mailbox.take_tick() {
            taken.machine.on_tick(&mut effects);
        }
        for _ in 0..self.context.config.messages_per_round {
            let Some(message) = taken.mailbox.pop() else { break };
            taken.machine.on_message(message, &mut effects)?;
        }
        taken.machine.finish_round(&mut effects)?;
        taken.mailbox.set_crowded(taken.machine.is_crowded());
        self.carry_out(effects);
        Ok(())
    }

    fn carry_out(&mut self, effects: Effects<E>) {
        for message in effects.messages {
            self.transport.send(message);
        }
        for task in effects.apply {
            let worker = task.region_id() as usize % self.downstream.apply.len();
            // A worker that has stopped after an error has told the driver; nothing can be applied any more.
            let _ = self.downstream.apply[worker].send(task);
        }
        match &self.persist {
            PersistRoute::Stage(writer) => {
                for task in effects.persist {
                    let _ = writer.send(task); // as above
                }
            }
            PersistRoute::Inline(_) => self.write_tasks.extend(effects.persist),
        }
        for task in effects.tasks {
            let _ = self.downstream.background.send(task); // as above
        }
        // All parts of a split at once, before the heartbeat that shrinks the region: no key is ever without a region.
        for parts in effects.splits {
            self.scheduler.report_split(parts);
        }
        for heartbeat in effects.heartbeats {
            self.scheduler.region_heartbeat(heartbeat);
        }
        for SplitQuestion { number: question, region, new_regions } in effects.questions {
            let (router, region_id) = (self.router.clone(), region.id);
            let callback = Box::new(move |ids| {
                // A region that is gone meanwhile no longer cares.
                let _ = router.report(region_id, PeerMessage::SplitIds { question, ids });
            });
            self.scheduler.ask_split(region, new_regions, callback);
        }
        for region_id in effects.membership_questions {
            let router = self.router.clone();
            let callback = Box::new(move |region| {
                let _ = router.report(region_id, PeerMessage::RegionKnown(Box::new(region))); // as above
            });
            self.scheduler.ask_region(region_id, callback);
        }
        for peer in effects.created {
            self.router.start(peer);
        }
        for (region, campaign) in effects.adopted {
            let (region_id, region) = (region.id, Box::new(region));
            // An uninitialised peer stays until it is initialised.
            let _ = self.router.report(region_id, PeerMessage::SplitOff { region, campaign });
        }
        for status in effects.statuses {
            self.router.publish(status);
        }
    }

    fn finish_round(&mut self, released: Vec<Ready<E>>) -> Result<()> {
        self.transport.flush();
        if let PersistRoute::Inline(writer) = &mut self.persist
            && !self.write_tasks.is_empty()
        {
            writer.write(std::mem::take(&mut self.write_tasks))?;
        }
        for ready in released {
            self.router.requeue(ready);
        }
        Ok(())
    }
}
