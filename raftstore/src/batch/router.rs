//! Finds the mailbox of a region, and tells the pollers about it.
//!
//! Owner: shared; every part of a store and of the server holds a clone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, RwLock},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use proto::raft_serverpb::RaftMessage;
use storage::Engine;

use super::mailbox::{Full, Mailbox};
use crate::{
    command::{AdminCommand, ReadCommand, WriteCommand},
    error::{Error, Result},
    message::{PeerMessage, StoreMessage},
    metrics::Metrics,
    peer::{Peer, PeerStatus},
    store::{SharedMeta, StoreMachine},
};

/// Mailbox of a peer.
pub type PeerMailbox<E> = Mailbox<Peer<E>, PeerMessage<<E as Engine>::Snapshot>>;
/// Mailbox of the store.
type StoreMailbox = Mailbox<StoreMachine, StoreMessage>;

/// A mailbox in the ready queue.
pub enum Ready<E: Engine> {
    /// The store's own.
    Store(Arc<StoreMailbox>),
    /// A peer's.
    Peer(Arc<PeerMailbox<E>>),
    /// No mailbox: a poller that receives this stops.
    Stop,
}

/// A way past the ready queue: whoever brings a message lets the peer work at once, on its own thread.
///
/// While a store has little to do, most of the time that a request takes is threads waking each other up. This saves the wake-up of a
/// poller. A store that is busy is better off with the queue, where messages gather and are handled together.
pub trait Shortcut<E: Engine>: Send + Sync {
    /// Handles a claimed mailbox, or gives it back to be queued: a poller is at work, or the caller is one.
    fn handle(&self, ready: Ready<E>) -> Option<Ready<E>>;
}

struct Shared<E: Engine> {
    peers: RwLock<BTreeMap<u64, Arc<PeerMailbox<E>>>>,
    store: Arc<StoreMailbox>,
    ready: Sender<Ready<E>>,
    shortcut: OnceLock<Box<dyn Shortcut<E>>>,
    capacity: usize,
    statuses: Mutex<BTreeMap<u64, PeerStatus>>,
    metrics: Arc<Metrics>,
    meta: Arc<SharedMeta>,
}

/// Way to the peers of a store. Cheap to clone.
pub struct Router<E: Engine> {
    shared: Arc<Shared<E>>,
}

impl<E: Engine> Clone for Router<E> {
    fn clone(&self) -> Self {
        Router { shared: self.shared.clone() }
    }
}

impl<E: Engine> Router<E> {
    /// A router without peers, and the ready queue for the pollers.
    pub fn new(store: Box<StoreMachine>, capacity: usize, metrics: Arc<Metrics>) -> (Self, Receiver<Ready<E>>) {
        let (ready, receiver) = unbounded();
        let shared = Shared {
            peers: RwLock::new(BTreeMap::new()),
            store: Arc::new(Mailbox::new(store, capacity)),
            ready,
            shortcut: OnceLock::new(),
            capacity,
            statuses: Mutex::new(BTreeMap::new()),
            metrics,
            meta: Arc::default(),
        };
        (Router { shared: Arc::new(shared) }, receiver)
    }

    /// Adds a peer. A second one for the same region breaks the rule of one peer a store and region.
    pub fn register(&self, peer: Box<Peer<E>>) {
        let region_id = peer.region_id();
        let mailbox = Arc::new(Mailbox::new(peer, self.shared.capacity));
        let before = self.peers_mut().insert(region_id, mailbox);
        assert!(before.is_none(), "invariant S-META-AGREE: region {region_id} has two peers on one store");
    }

    /// Adds a peer that has come into being while the store runs, lets it begin, and gives it the vote that came too early for it.
    pub fn start(&self, peer: Box<Peer<E>>) {
        let region_id = peer.region_id();
        self.register(peer);
        if let Some(mailbox) = self.mailbox(region_id) {
            self.notify(region_id, &mailbox);
        }
        // After the registration: the store machine keeps votes under the same lock, and only for regions without a mailbox.
        let vote = self.shared.meta.lock().take_early_vote(region_id);
        if let Some(vote) = vote {
            self.raft_message(vote);
        }
    }

    /// A peer is gone: nobody finds it any more, and what has come for it is refused.
    pub fn close(&self, region_id: u64, mailbox: &PeerMailbox<E>) {
        self.peers_mut().remove(&region_id);
        self.statuses_mut().remove(&region_id);
        mailbox.close();
        self.empty(region_id, mailbox);
    }

    /// Refuses what is in a closed mailbox.
    fn empty(&self, region_id: u64, mailbox: &PeerMailbox<E>) {
        for message in mailbox.drain() {
            if matches!(message, PeerMessage::Raft(_)) {
                self.shared.metrics.messages_dropped.inc();
            }
            message.refuse(Error::RegionNotFound { region_id });
        }
    }

    /// Has the region a peer here?
    pub fn has_peer(&self, region_id: u64) -> bool {
        self.peers().contains_key(&region_id)
    }

    /// What the store knows of its regions.
    pub fn meta(&self) -> &Arc<SharedMeta> {
        &self.shared.meta
    }

    fn peers(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u64, Arc<PeerMailbox<E>>>> {
        self.shared.peers.read().expect("invariant: nobody panics while holding the map of peers")
    }

    fn peers_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<u64, Arc<PeerMailbox<E>>>> {
        self.shared.peers.write().expect("invariant: nobody panics while holding the map of peers")
    }

    fn mailbox(&self, region_id: u64) -> Option<Arc<PeerMailbox<E>>> {
        self.peers().get(&region_id).cloned()
    }

    /// Lets messages take a shortcut from now on. A second call changes nothing.
    pub fn set_shortcut(&self, shortcut: Box<dyn Shortcut<E>>) {
        let _ = self.shared.shortcut.set(shortcut);
    }

    /// Sees to it that a message which was just pushed is handled.
    fn notify(&self, region_id: u64, mailbox: &Arc<PeerMailbox<E>>) {
        if mailbox.is_closed() {
            return self.empty(region_id, mailbox);
        }
        if !mailbox.claim() {
            return;
        }
        let ready = Ready::Peer(mailbox.clone());
        let left = match self.shared.shortcut.get() {
            Some(shortcut) if !mailbox.is_crowded() => shortcut.handle(ready),
            _ => Some(ready),
        };
        if let Some(ready) = left {
            self.requeue(ready);
        }
    }

    /// The same for what came to all peers at once: the caller has the others to think of.
    fn notify_by_queue(&self, mailbox: &Arc<PeerMailbox<E>>) {
        if mailbox.claim() {
            self.requeue(Ready::Peer(mailbox.clone()));
        }
    }

    fn notify_store(&self) {
        if self.shared.store.claim() {
            self.requeue(Ready::Store(self.shared.store.clone()));
        }
    }

    /// Puts a claimed mailbox into the ready queue. A store that stops no longer reads it.
    pub fn requeue(&self, ready: Ready<E>) {
        let _ = self.shared.ready.send(ready);
    }

    /// Proposes a write to a region; its callback gets every answer, also that of a refusal.
    pub fn write(&self, command: WriteCommand) {
        self.send_command(command.header.region_id, PeerMessage::Write(command));
    }

    /// Reads from a region; its callback gets every answer, also that of a refusal.
    pub fn read(&self, command: ReadCommand<E::Snapshot>) {
        self.send_command(command.header.region_id, PeerMessage::Read(command));
    }

    /// Proposes a change of a region itself; its callback gets every answer, also that of a refusal.
    pub fn admin(&self, command: AdminCommand) {
        self.send_command(command.header.region_id, PeerMessage::Admin(Box::new(command)));
    }

    fn send_command(&self, region_id: u64, message: PeerMessage<E::Snapshot>) {
        let Some(mailbox) = self.mailbox(region_id) else {
            self.shared.metrics.commands_refused.inc();
            return message.refuse(Error::RegionNotFound { region_id });
        };
        match mailbox.try_push(message) {
            Ok(()) => self.notify(region_id, &mailbox),
            Err(Full(message)) => {
                self.shared.metrics.commands_refused.inc();
                message.refuse(Error::ServerIsBusy { reason: format!("the mailbox of region {region_id} is full") });
            }
        }
    }

    /// Hands in a message from another store. A full mailbox loses it, as the network may.
    pub fn raft_message(&self, message: RaftMessage) {
        let region_id = message.region_id;
        let Some(mailbox) = self.mailbox(region_id) else {
            if self.shared.store.try_push(StoreMessage::Raft(Box::new(message))).is_err() {
                self.shared.metrics.messages_dropped.inc();
            }
            return self.notify_store();
        };
        match mailbox.try_push(PeerMessage::Raft(Box::new(message))) {
            Ok(()) => self.notify(region_id, &mailbox),
            Err(Full(_)) => self.shared.metrics.messages_dropped.inc(),
        }
    }

    /// Hands in the result of work that the region itself gave out.
    ///
    /// # Errors
    /// [`Error::RegionNotFound`] if the region is gone; its work no longer matters then.
    pub fn report(&self, region_id: u64, message: PeerMessage<E::Snapshot>) -> Result<()> {
        let mailbox = self.mailbox(region_id).ok_or(Error::RegionNotFound { region_id })?;
        mailbox.push(message);
        self.notify(region_id, &mailbox);
        Ok(())
    }

    /// Tells a region how sending a snapshot to one of its peers went. Has to be called once for each snapshot that was handed to
    /// the transport.
    pub fn snapshot_status(&self, region_id: u64, to_peer: u64, ok: bool) {
        // A region that is gone meanwhile no longer cares.
        let _ = self.report(region_id, PeerMessage::SnapshotStatus { to_peer, ok });
    }

    /// Tells all regions that messages to a store were lost.
    pub fn unreachable(&self, store_id: u64) {
        for mailbox in self.all_mailboxes() {
            if mailbox.try_push(PeerMessage::Unreachable { store_id }).is_ok() {
                self.notify_by_queue(&mailbox);
            }
        }
    }

    /// One tick of the clock for the store and all its peers.
    pub fn tick(&self) {
        self.shared.store.set_tick_due();
        self.notify_store();
        for mailbox in self.all_mailboxes() {
            mailbox.set_tick_due();
            self.notify_by_queue(&mailbox);
        }
    }

    fn all_mailboxes(&self) -> Vec<Arc<PeerMailbox<E>>> {
        self.peers().values().cloned().collect()
    }

    /// Asks `pollers` pollers to stop once they have come to this point of the ready queue.
    pub fn stop(&self, pollers: usize) {
        for _ in 0..pollers {
            self.requeue(Ready::Stop);
        }
    }

    /// Lets go of all peers, and with them of the callbacks that still wait. Only after the pollers have stopped.
    pub fn clear(&self) {
        self.peers_mut().clear();
    }

    /// Ids of the regions that have a peer here, in order.
    pub fn region_ids(&self) -> Vec<u64> {
        self.peers().keys().copied().collect()
    }

    /// What the peers last published about themselves, ordered by region id. At most one tick old.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        self.statuses_mut().values().cloned().collect()
    }

    /// Publishes what a peer has to say about itself.
    pub fn publish(&self, status: PeerStatus) {
        self.statuses_mut().insert(status.region.id, status);
    }

    fn statuses_mut(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, PeerStatus>> {
        self.shared.statuses.lock().expect("invariant: nobody panics while holding the statuses")
    }

    /// Counters of the store.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }
}
