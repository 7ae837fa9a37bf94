//! The threads driver with three stores in one process: the same stages, now each on a thread of its own.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::common::{Reports, logger, put};
use proto::{
    metapb::Region,
    raft_serverpb::{RaftMessage, StoreIdent},
};
use raftstore::{
    Config, Engines, Error, ReadCommand, RegionSnapshot, RequestHeader, Router, Transport, WriteCommand,
    store::{Layout, bootstrap},
    threads::RunningStore,
};
use storage::{Cf, Engine, MemEngine, Reader};

type Routers = Arc<Mutex<Vec<Router<MemEngine>>>>;

/// Hands messages straight to the router of the other store, and notes which threads send.
#[derive(Clone, Default)]
struct Direct {
    routers: Routers,
    senders: Arc<Mutex<Vec<ThreadId>>>,
}

impl Transport for Direct {
    fn send(&mut self, message: RaftMessage) {
        self.senders.lock().unwrap().push(thread::current().id());
        let store = message.to_peer.unwrap().store_id as usize - 1;
        let router = self.routers.lock().unwrap().get(store).cloned();
        if let Some(router) = router {
            router.raft_message(message);
        }
    }

    fn flush(&mut self) {}
}

fn start(layout: Layout) -> (Vec<RunningStore<MemEngine>>, Vec<Region>) {
    start_with(layout, &Direct::default())
}

fn start_with(layout: Layout, transport: &Direct) -> (Vec<RunningStore<MemEngine>>, Vec<Region>) {
    let regions = bootstrap::initial_regions(&[1, 2, 3], &mut (10..)).unwrap();
    let mut running = Vec::new();
    for store_id in 1..=3 {
        let engines = Engines { kv: MemEngine::new(), raft: MemEngine::new() };
        bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id, ..Default::default() }).unwrap();
        for region in &regions {
            bootstrap::create_initial_peer(&engines, store_id, region).unwrap();
        }
        let reports = Arc::new(Reports::default());
        let (settings, transport) = (Config::default(), transport.clone());
        let parts =
            raftstore::build(settings, layout, engines, snapshots(), transport.clone(), reports, &logger()).unwrap();
        transport.routers.lock().unwrap().push(parts.router.clone());
        running.push(raftstore::threads::start(parts, Duration::from_millis(2), &logger()).unwrap());
    }
    (running, regions)
}

/// Tries the stores in turn until one of them, the leader, accepts.
fn on_leader<T>(region: &Region, mut attempt: impl FnMut(RequestHeader, usize) -> Result<T, Error>) -> T {
    for round in 0..10_000_000 {
        let peer = region.peers[round % region.peers.len()];
        let header = RequestHeader { region_id: region.id, epoch: region.region_epoch.unwrap(), peer, term: 0 };
        match attempt(header, peer.store_id as usize - 1) {
            Ok(value) => return value,
            Err(error) if error.is_retryable() => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no store accepted the command");
}

fn read(stores: &[RunningStore<MemEngine>], region: &Region) -> RegionSnapshot<<MemEngine as Engine>::Snapshot> {
    on_leader(region, |header, store| {
        let (sender, receiver) = mpsc::channel();
        let callback = Box::new(move |result| sender.send(result).unwrap());
        stores[store].router().read(ReadCommand { header, callback });
        receiver.recv().expect("answered")
    })
}

#[test]
fn many_clients_write_and_read_back_what_they_wrote() {
    let layouts =
        [Layout::default(), Layout { pollers: 2, apply_workers: 2, log_writer: false, background_workers: 1 }];
    for layout in layouts {
        let (stores, regions) = start(layout);
        std::thread::scope(|scope| {
            for client in 0..8 {
                let (stores, region) = (&stores, &regions[0]);
                scope.spawn(move || {
                    for i in 0..50 {
                        let (key, value) = (format!("{client}-{i}"), format!("v{i}"));
                        on_leader(region, |header, store| {
                            let (sender, receiver) = mpsc::channel();
                            let callback = Box::new(move |result| sender.send(result).unwrap());
                            let requests = vec![put(&key, &value)];
                            stores[store].router().write(WriteCommand { header, requests, callback });
                            receiver.recv().expect("answered")
                        });
                        let view = read(stores, region);
                        assert_eq!(view.snapshot.get(Cf::Raw, key.as_bytes()).unwrap().unwrap(), value);
                    }
                });
            }
        });
        for store in stores {
            assert!(store.fatal().is_empty());
            store.stop();
        }
    }
}

#[test]
fn clients_of_a_store_that_stops_see_their_channel_close() {
    let (mut stores, regions) = start(Layout::default());
    let rest = stores.split_off(1);
    for store in rest {
        store.stop();
    }
    // No quorum is left: whatever this store answers, it is not "done".
    let peer = regions[0].peers[0];
    let header = RequestHeader { region_id: regions[0].id, epoch: regions[0].region_epoch.unwrap(), peer, term: 0 };
    let (sender, receiver) = mpsc::channel();
    let callback = Box::new(move |result: Result<_, Error>| sender.send(result).unwrap());
    let last = stores.pop().unwrap();
    last.router().write(WriteCommand { header, requests: vec![put("k", "v")], callback });
    last.stop();
    assert!(receiver.recv().map_or(true, |answer| answer.is_err()));
}

#[test]
fn a_peer_at_rest_works_on_the_thread_that_brings_a_message() {
    let transport = Direct::default();
    let (stores, regions) = start_with(Layout::default(), &transport);
    // A single read may come while a poller is at work.
    let sent_by_this_thread = |_| {
        read(&stores, &regions[0]);
        transport.senders.lock().unwrap().contains(&thread::current().id())
    };
    assert!((0..1000).any(sent_by_this_thread));
    stores.into_iter().for_each(RunningStore::stop);
}

#[test]
fn a_poller_that_writes_for_itself_is_not_lent() {
    let transport = Direct::default();
    let (stores, regions) = start_with(Layout { log_writer: false, ..Layout::default() }, &transport);
    for _ in 0..100 {
        read(&stores, &regions[0]);
    }
    assert!(!transport.senders.lock().unwrap().contains(&thread::current().id()));
    stores.into_iter().for_each(RunningStore::stop);
}

/// Breaks at the first message.
#[derive(Clone)]
struct Broken;

impl Transport for Broken {
    fn send(&mut self, _message: RaftMessage) {
        panic!("invariant of a test: broken on purpose");
    }

    fn flush(&mut self) {}
}

#[test]
fn a_stage_that_panics_is_reported_as_fatal() {
    let regions = bootstrap::initial_regions(&[1, 2, 3], &mut (10..)).unwrap();
    let engines = Engines { kv: MemEngine::new(), raft: MemEngine::new() };
    bootstrap::write_ident(&engines, &StoreIdent { cluster_id: 1, store_id: 1, ..Default::default() }).unwrap();
    bootstrap::create_initial_peer(&engines, 1, &regions[0]).unwrap();
    let reports = Arc::new(Reports::default());
    let parts =
        raftstore::build(Config::default(), Layout::default(), engines, snapshots(), Broken, reports, &logger())
            .unwrap();
    let store = raftstore::threads::start(parts, Duration::from_millis(1), &logger()).unwrap();
    // Its first election sends messages.
    assert!(matches!(store.fatal().recv().unwrap(), Error::Panicked { .. }));
    store.stop();
}

fn snapshots() -> raftstore::snapshot::SnapshotStore {
    raftstore::snapshot::SnapshotStore::new(Arc::new(raftstore::snapshot::MemDir::new()), MemEngine::new())
}
