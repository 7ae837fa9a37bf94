//! The transport over real sockets: two ends in one process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::Context;
use proto::metapb::{Peer, Region};
use proto::raft_serverpb::RaftMessage;
use raftstore::snapshot::{MemDir, SnapshotStore};
use storage::MemEngine;
use tokio::sync::mpsc;

use super::*;
use crate::clock::SystemClock;
use crate::config::RaftstoreConfig;
use crate::service::TikvService;
use crate::service::raft::RaftInbox;
use crate::service::raw::RawCommands;
use crate::service::region_error::Failure;
use crate::service::split::RegionSplitter;
use crate::stop;

const STORE: u64 = 2;

fn logger() -> Logger {
    Logger::root(slog::Discard, slog::o!())
}

/// A store that only takes messages.
#[derive(Clone)]
struct Inbox(mpsc::UnboundedSender<u64>);

impl RaftInbox for Inbox {
    fn store_id(&self) -> u64 {
        STORE
    }

    fn deliver(&self, message: RaftMessage) {
        self.0.send(message.region_id).unwrap();
    }

    fn heard_from(&self, _store_id: u64) {}
}

impl RegionSplitter for Inbox {
    async fn split(&self, _ctx: &Context, _keys: Vec<Bytes>) -> Result<Vec<Region>, Failure> {
        Err(Failure::Text("this store only takes messages".to_owned()))
    }
}

/// Serves an inbox at `addr` until the trigger is dropped.
async fn serve(addr: &str) -> (SocketAddr, mpsc::UnboundedReceiver<u64>, stop::StopTrigger) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (trigger, signal) = stop::pair();
    let storage = storage::Standalone::new(MemEngine::new());
    let raw = RawCommands::new(storage, Default::default(), Arc::new(SystemClock), 0, metrics.clone());
    let service = TikvService::new(raw, Inbox(sender), 8, metrics, signal.clone());
    let server = tonic::transport::Server::builder()
        .add_service(proto::tikvpb::tikv_server::TikvServer::new(service))
        .serve_with_incoming_shutdown(tonic::transport::server::TcpIncoming::from(listener), signal.stopped());
    tokio::spawn(server);
    (addr, receiver, trigger)
}

#[derive(Clone, Default)]
struct Directory(Arc<Mutex<Option<String>>>);

impl Addresses for Directory {
    async fn lookup(&self, _store_id: u64) -> Lookup {
        match self.0.lock().unwrap().clone() {
            Some(address) if address == "gone" => Lookup::Gone,
            Some(address) => Lookup::At(address),
            None => Lookup::Unknown("not registered".to_owned()),
        }
    }
}

#[derive(Clone, Default)]
struct Reports(Arc<AtomicU64>);

impl Unreachable for Reports {
    fn report(&self, _store_id: u64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn snapshot_sent(&self, _region_id: u64, _to_peer: u64, _ok: bool) {}
}

fn transport(directory: &Directory, reports: &Reports) -> RaftTransport<Directory, Reports> {
    let metrics = Arc::new(Metrics::new());
    let snapshots = SnapshotStore::new(Arc::new(MemDir::new()), storage::MemEngine::new());
    let snapshots = SnapshotTraffic::new(snapshots, &RaftstoreConfig::default(), 16 << 20, &metrics, logger());
    let (directory, reports, runtime) = (directory.clone(), reports.clone(), Handle::current());
    RaftTransport::new(directory, reports, metrics, logger(), runtime, 64, 16 << 20, snapshots)
}

fn message(region_id: u64, store_id: u64) -> RaftMessage {
    let peer = |store_id| Some(Peer { id: 10 + store_id, store_id, ..Default::default() });
    RaftMessage { region_id, from_peer: peer(1), to_peer: peer(store_id), ..Default::default() }
}

/// Sends until a message arrives and returns its region id; what is lost while the connection comes up is sent again.
async fn until_received(
    transport: &mut RaftTransport<Directory, Reports>,
    inbox: &mut mpsc::UnboundedReceiver<u64>,
    region_id: u64,
) {
    let arrived = async {
        loop {
            transport.send(message(region_id, STORE));
            transport.flush();
            match tokio::time::timeout(Duration::from_millis(50), inbox.recv()).await {
                Ok(Some(got)) if got == region_id => return,
                Ok(None) => panic!("the inbox is closed"),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("the message arrives in time");
}

#[tokio::test]
async fn messages_arrive_in_order_and_only_at_their_store() {
    let (addr, mut inbox, _trigger) = serve("127.0.0.1:0").await;
    let directory = Directory(Arc::new(Mutex::new(Some(addr.to_string()))));
    let mut transport = transport(&directory, &Reports::default());
    until_received(&mut transport, &mut inbox, 1).await;
    transport.send(message(2, STORE));
    transport.send(message(0, STORE)); // malformed: dropped by the receiver
    transport.send(message(3, STORE));
    transport.send(RaftMessage::default()); // no destination: dropped here
    transport.flush();
    let mut got = Vec::new();
    while got.last() != Some(&3) {
        got.extend(inbox.recv().await.filter(|region| *region != 1));
    }
    assert_eq!(got, [2, 3]);
    transport.stop();
}

#[tokio::test]
async fn a_store_that_comes_back_elsewhere_is_found_again() {
    let (addr, mut inbox, trigger) = serve("127.0.0.1:0").await;
    let directory = Directory(Arc::new(Mutex::new(Some(addr.to_string()))));
    let reports = Reports::default();
    let mut transport = transport(&directory, &reports);
    until_received(&mut transport, &mut inbox, 1).await;
    drop(trigger);
    let (addr, mut inbox, _trigger) = serve("127.0.0.1:0").await;
    *directory.0.lock().unwrap() = Some(addr.to_string());
    transport.heard_from(STORE);
    until_received(&mut transport, &mut inbox, 2).await;
    assert!(reports.0.load(Ordering::SeqCst) > 0, "the loss was reported");
    transport.stop();
}

#[tokio::test]
async fn a_store_that_is_unknown_or_gone_costs_its_messages_only() {
    let directory = Directory::default();
    let reports = Reports::default();
    let mut transport = transport(&directory, &reports);
    let lost = |reports: &Reports| reports.0.load(Ordering::SeqCst);
    for phase in [None, Some("gone".to_owned())] {
        *directory.0.lock().unwrap() = phase;
        let before = lost(&reports);
        let reported = async {
            while lost(&reports) < before + 3 {
                transport.send(message(1, STORE));
                transport.flush();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reported).await.expect("losses are reported");
    }
    transport.stop();
}

#[tokio::test]
async fn a_stream_for_another_store_is_refused() {
    let (addr, mut inbox, _trigger) = serve("127.0.0.1:0").await;
    let mut client = proto::tikvpb::tikv_client::TikvClient::connect(format!("http://{addr}")).await.unwrap();
    let frame = proto::tikvpb::BatchRaftMessage { msgs: vec![message(1, 9)], ..Default::default() };
    let status = client.batch_raft(tokio_stream::once(frame)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
    client.raft(tokio_stream::once(message(5, STORE))).await.unwrap();
    assert_eq!(inbox.recv().await, Some(5));
}
