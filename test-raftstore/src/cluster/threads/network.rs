//! The network between stores on threads: the links of [`crate::network`], in real time, in one process.
//!
//! Owner of what is under way: one thread, which ends when the last sender is gone. A snapshot's files are copied when its message
//! arrives; its sender hears in any case how that went.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proto::raft_serverpb::RaftMessage;
use raftstore::snapshot::{SnapshotId, SnapshotStore, decode_data};
use raftstore::{Router, Transport};
use storage::Engine;

use super::super::driver::lock;
use crate::clock::VirtualTime;
use crate::network::{Fate, LinkQuality, Network};
use crate::rng::SeededRng;

/// The routers of the stores that run.
pub type Routers<E> = Arc<Mutex<BTreeMap<u64, Router<E>>>>;
/// The snapshots of the stores.
pub type Folders = Arc<Mutex<BTreeMap<u64, SnapshotStore>>>;

/// Bytes of a snapshot that are copied at a time.
const CHUNK: usize = 64 << 10;

/// A store's way into the network.
#[derive(Clone)]
pub struct Wire {
    messages: Sender<RaftMessage>,
}

impl Transport for Wire {
    fn send(&mut self, message: RaftMessage) {
        // The network is gone only when the test is over.
        let _ = self.messages.send(message);
    }

    fn flush(&mut self) {}
}

/// All links, and the thread that carries messages over them.
pub struct ThreadNetwork<E: Engine> {
    links: Arc<Mutex<Network>>,
    routers: Routers<E>,
    folders: Folders,
    copied: Arc<AtomicU64>,
    wire: Option<Wire>,
    carrier: Option<JoinHandle<()>>,
}

impl<E: Engine> ThreadNetwork<E> {
    /// A network without faults and without stores.
    pub fn new(rng: SeededRng) -> Self {
        let (messages, arriving) = channel();
        let links = Arc::new(Mutex::new(Network::new(LinkQuality::CLEAN, rng)));
        let (routers, folders, copied) = (Routers::default(), Folders::default(), Arc::new(AtomicU64::new(0)));
        let carrier = Carrier {
            links: links.clone(),
            routers: routers.clone(),
            folders: folders.clone(),
            copied: copied.clone(),
            arriving,
            under_way: BinaryHeap::new(),
            messages: BTreeMap::new(),
            began: Instant::now(),
            count: 0,
        };
        let carrier = thread::Builder::new().name("network".to_owned()).spawn(|| carrier.run());
        let carrier = carrier.expect("invariant: there is a thread left for the network");
        Self { links, routers, folders, copied, wire: Some(Wire { messages }), carrier: Some(carrier) }
    }

    /// The links, to set them.
    pub fn links(&self) -> std::sync::MutexGuard<'_, Network> {
        lock(&self.links)
    }

    /// The routers of the stores that run.
    pub fn routers(&self) -> &Routers<E> {
        &self.routers
    }

    /// The snapshots of the stores.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Snapshots that have reached a store.
    pub fn snapshots(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// A way in for a store.
    pub fn wire(&self) -> Wire {
        self.wire.clone().expect("invariant: the network is taken down last")
    }
}

impl<E: Engine> Drop for ThreadNetwork<E> {
    fn drop(&mut self) {
        self.wire = None;
        if let Some(carrier) = self.carrier.take() {
            // It has panicked only if a store's code has, which is reported there.
            let _ = carrier.join();
        }
    }
}

struct Carrier<E: Engine> {
    links: Arc<Mutex<Network>>,
    routers: Routers<E>,
    folders: Folders,
    copied: Arc<AtomicU64>,
    arriving: Receiver<RaftMessage>,
    /// When which message arrives; the earliest first.
    under_way: BinaryHeap<Reverse<(VirtualTime, u64)>>,
    messages: BTreeMap<u64, RaftMessage>,
    began: Instant,
    count: u64,
}

impl<E: Engine> Carrier<E> {
    fn now(&self) -> VirtualTime {
        VirtualTime::from_micros(self.began.elapsed().as_micros() as u64)
    }

    fn run(mut self) {
        loop {
            self.deliver_due();
            let next = self.under_way.peek().map(|Reverse((at, _))| at.as_micros());
            let wait = next.map_or(100_000, |at| at.saturating_sub(self.now().as_micros()));
            match self.arriving.recv_timeout(Duration::from_micros(wait)) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, message: RaftMessage) {
        let (from, to) = ends(&message);
        let fate = lock(&self.links).send(self.now(), from, to);
        let Fate::Arrives(arrivals) = fate else {
            return self.report_snapshot(&message, false);
        };
        for at in arrivals {
            self.count += 1;
            self.messages.insert(self.count, message.clone());
            self.under_way.push(Reverse((at, self.count)));
        }
    }

    fn deliver_due(&mut self) {
        while let Some(Reverse((at, number))) = self.under_way.peek().copied() {
            if at > self.now() {
                return;
            }
            self.under_way.pop();
            let Some(message) = self.messages.remove(&number) else { continue };
            let (from, to) = ends(&message);
            if lock(&self.links).is_cut(from, to) {
                lock(&self.links).count_cut_under_way();
                self.report_snapshot(&message, false);
                continue;
            }
            if is_snapshot(&message) {
                let copied = self.copy_snapshot(&message);
                self.report_snapshot(&message, copied.is_some());
                if copied.is_none() {
                    continue;
                }
            }
            let router = lock(&self.routers).get(&to).cloned();
            if let Some(router) = router {
                router.raft_message(message);
            }
        }
    }
}

impl<E: Engine> Carrier<E> {
    /// Copies the files of a snapshot. `None` if that is not possible.
    fn copy_snapshot(&self, message: &RaftMessage) -> Option<()> {
        let (from, to) = ends(message);
        let folders = lock(&self.folders);
        let (from, to) = (folders.get(&from)?.clone(), folders.get(&to)?.clone());
        drop(folders);
        let snapshot = message.message.as_ref()?.snapshot.as_ref()?;
        let (region, meta) = decode_data(snapshot).ok()?;
        let id = SnapshotId::of(message.region_id, snapshot);
        let mut source = from.source(id).ok()?;
        let mut sink = to.receive(id, region, meta);
        while let Some(chunk) = source.next_chunk(CHUNK).ok()? {
            sink.write(&chunk).ok()?;
        }
        sink.finish().ok()?;
        self.copied.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    fn report_snapshot(&self, message: &RaftMessage, ok: bool) {
        let router = lock(&self.routers).get(&ends(message).0).cloned();
        if let Some(router) = router.filter(|_| is_snapshot(message)) {
            router.snapshot_status(message.region_id, message.to_peer.unwrap_or_default().id, ok);
        }
    }
}

fn is_snapshot(message: &RaftMessage) -> bool {
    message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some())
}

/// The stores at both ends of a message's way.
fn ends(message: &RaftMessage) -> (u64, u64) {
    let store = |peer: Option<proto::metapb::Peer>| peer.unwrap_or_default().store_id;
    (store(message.from_peer), store(message.to_peer))
}
