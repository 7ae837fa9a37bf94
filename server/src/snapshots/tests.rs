//! Snapshots over real sockets: two stores in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{Message, MessageType, Snapshot, SnapshotMetadata};
use proto::kvrpcpb::Context;
use proto::metapb::{Peer, Region};
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData, SnapshotChunk};
use proto::tikvpb::tikv_client::TikvClient;
use raftstore::snapshot::{MemDir, Origin, SnapshotDir, SnapshotId, SnapshotStore};
use storage::{Cf, Engine, MemEngine};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::Code;

use super::*;
use crate::clock::SystemClock;
use crate::config::ByteSize;
use crate::service::TikvService;
use crate::service::raft::RaftInbox;
use crate::service::raw::RawCommands;
use crate::service::region_error::Failure;
use crate::service::split::RegionSplitter;
use crate::stop;
use crate::transport::{Addresses, Lookup, RaftTransport, Unreachable};

const ID: SnapshotId = SnapshotId { region_id: 7, term: 3, index: 42 };
const MESSAGE_SIZE: usize = 16 << 20;

#[derive(Clone)]
struct Inbox(UnboundedSender<u64>);

impl RaftInbox for Inbox {
    fn store_id(&self) -> u64 {
        2
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

/// A store with its folder of snapshots and its engine in memory.
struct End {
    dir: MemDir,
    kv: MemEngine,
    store: SnapshotStore,
    traffic: SnapshotTraffic,
}

fn end(config: &RaftstoreConfig) -> End {
    let dir = MemDir::new();
    let kv = MemEngine::new();
    let store = SnapshotStore::new(Arc::new(dir.clone()), kv.clone());
    let log = Logger::root(slog::Discard, slog::o!());
    let traffic = SnapshotTraffic::new(store.clone(), config, MESSAGE_SIZE, &Arc::new(Metrics::new()), log);
    End { dir, kv, store, traffic }
}

/// Serves the receiving end until the trigger is dropped.
async fn serve(end: &End) -> (SocketAddr, UnboundedReceiver<u64>, stop::StopTrigger) {
    let (sender, receiver) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (trigger, signal) = stop::pair();
    let storage = storage::Standalone::new(MemEngine::new());
    let raw = RawCommands::new(storage, Default::default(), Arc::new(SystemClock), 0, metrics.clone());
    let service = TikvService::new(raw, Inbox(sender), 8, metrics, signal.clone()).with_snapshots(end.traffic.clone());
    let service = proto::tikvpb::tikv_server::TikvServer::new(service).max_decoding_message_size(MESSAGE_SIZE);
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(tonic::transport::server::TcpIncoming::from(listener), signal.stopped());
    tokio::spawn(server);
    (addr, receiver, trigger)
}

/// A snapshot of about three megabytes in the folder of `end`, and the message for it.
fn make(end: &End, to_store: u64) -> RaftMessage {
    let mut builder = end.store.build(ID);
    for number in 0..3_000_u32 {
        builder.add(Cf::Raw, &number.to_be_bytes(), &[number as u8; 1_000]).unwrap();
    }
    let meta = Some(builder.finish().unwrap());
    let region = Some(Region { id: ID.region_id, ..Default::default() });
    let data = RaftSnapshotData { region, meta, ..Default::default() }.encode_to_vec().into();
    let metadata = Some(SnapshotMetadata { index: ID.index, term: ID.term, ..Default::default() });
    let snapshot = Some(Box::new(Snapshot { data, metadata }));
    let message = Message { msg_type: MessageType::MsgSnapshot as i32, snapshot, ..Default::default() };
    let peer = |store_id| Some(Peer { id: 70 + store_id, store_id, ..Default::default() });
    RaftMessage {
        region_id: ID.region_id,
        from_peer: peer(1),
        to_peer: peer(to_store),
        message: Some(message),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_snapshot_arrives_whole_before_its_message() {
    let config = RaftstoreConfig::default();
    let (from, to) = (end(&config), end(&config));
    let (addr, mut inbox, _trigger) = serve(&to).await;
    let message = make(&from, 2);
    assert!(from.traffic.send(&addr.to_string(), message).await);
    to.store.verify(ID).unwrap();
    assert_eq!(inbox.try_recv(), Ok(ID.region_id));
    assert!(from.dir.list().unwrap().is_empty(), "what was sent goes");
    assert_eq!(to.store.collect(100).unwrap(), 0, "what was received is still to be restored");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_or_gone_is_not_delivered() {
    let config = RaftstoreConfig::default();
    for gone in [false, true] {
        let (from, to) = (end(&config), end(&config));
        let (addr, mut inbox, _trigger) = serve(&to).await;
        let message = make(&from, 2);
        match gone {
            false => from.dir.damage("gen_7_3_42_raw.data", 1_000_000).unwrap(),
            true => from.dir.remove("gen_7_3_42_raw.data").unwrap(),
        }
        assert!(!from.traffic.send(&addr.to_string(), message).await, "gone: {gone}");
        assert!(inbox.try_recv().is_err());
        assert!(to.store.meta(Origin::Received, ID).is_err());
        to.store.collect(100).unwrap();
        assert!(to.dir.list().unwrap().is_empty(), "nothing is left behind");
        assert!(to.kv.table_names().unwrap().is_empty(), "nothing is left behind");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_costs_the_transfer_only() {
    let from = end(&RaftstoreConfig::default());
    let message = make(&from, 2);
    assert!(!from.traffic.send("127.0.0.1:1", message).await);
    from.store.collect(100).unwrap();
    assert!(!from.dir.list().unwrap().is_empty(), "it can be sent again");
}

/// A stream that has begun to bring a snapshot and then stands still.
async fn begin(addr: SocketAddr, message: RaftMessage) -> tokio::task::JoinHandle<Result<(), tonic::Status>> {
    let mut client = TikvClient::connect(format!("http://{addr}")).await.unwrap();
    let first = SnapshotChunk { message: Some(message), data: Bytes::new() };
    let chunks = futures_util::StreamExt::chain(tokio_stream::once(first), tokio_stream::pending());
    tokio::spawn(async move { client.snapshot(chunks).await.map(drop) })
}

#[tokio::test]
async fn streams_that_come_too_many_or_twice_are_refused() {
    let config = RaftstoreConfig { snapshot_concurrency: 2, ..Default::default() };
    let (from, to) = (end(&config), end(&config));
    let (addr, mut inbox, _trigger) = serve(&to).await;
    let message = make(&from, 2);
    let other = |region_id| RaftMessage { region_id, ..message.clone() };
    let first = begin(addr, message.clone()).await;
    let wait = async {
        while to.traffic.shared.arriving().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the first stream is being received");
    let twice = begin(addr, message.clone()).await.await.unwrap().unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists, "{twice}");
    let second = begin(addr, other(8)).await;
    let wait = async {
        while to.traffic.shared.arriving().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the second stream is being received");
    let third = begin(addr, other(9)).await.await.unwrap().unwrap_err();
    assert_eq!(third.code(), Code::ResourceExhausted, "{third}");
    first.abort();
    second.abort();
    let wait = async {
        while !to.traffic.shared.arriving().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("a broken stream gives its place back");
    assert!(from.traffic.send(&addr.to_string(), message).await);
    assert_eq!(inbox.recv().await, Some(ID.region_id));
}

#[tokio::test]
async fn streams_that_make_no_sense_are_refused() {
    let config = RaftstoreConfig::default();
    let (from, to) = (end(&config), end(&config));
    let (addr, _inbox, _trigger) = serve(&to).await;
    let stranger = begin(addr, make(&from, 9)).await.await.unwrap().unwrap_err();
    assert_eq!(stranger.code(), Code::FailedPrecondition, "{stranger}");
    let empty = RaftMessage { message: Some(Message::default()), ..make(&from, 2) };
    let empty = begin(addr, empty).await.await.unwrap().unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument, "{empty}");
    let mut client = TikvClient::connect(format!("http://{addr}")).await.unwrap();
    let data = SnapshotChunk { message: None, data: Bytes::from_static(b"data") };
    let headless = client.snapshot(tokio_stream::once(data)).await.unwrap_err();
    assert_eq!(headless.code(), Code::InvalidArgument, "{headless}");
}

/// Hears how the sending of snapshots went.
#[derive(Clone)]
struct Reports(UnboundedSender<(u64, u64, bool)>);

impl Unreachable for Reports {
    fn report(&self, _store_id: u64) {}

    fn snapshot_sent(&self, region_id: u64, to_peer: u64, ok: bool) {
        self.0.send((region_id, to_peer, ok)).unwrap();
    }
}

#[derive(Clone)]
struct At(Option<SocketAddr>);

impl Addresses for At {
    async fn lookup(&self, _store_id: u64) -> Lookup {
        self.0.map_or_else(|| Lookup::Unknown("not registered".to_owned()), |addr| Lookup::At(addr.to_string()))
    }
}

#[tokio::test]
async fn raft_hears_once_how_it_went_whatever_ends_it() {
    let config = RaftstoreConfig::default();
    let (from, to) = (end(&config), end(&config));
    let (addr, _inbox, _trigger) = serve(&to).await;
    let (sender, mut reports) = unbounded_channel();
    let transport = |address| {
        let (metrics, log) = (Arc::new(Metrics::new()), Logger::root(slog::Discard, slog::o!()));
        let (runtime, traffic) = (tokio::runtime::Handle::current(), from.traffic.clone());
        RaftTransport::new(At(address), Reports(sender.clone()), metrics, log, runtime, 64, MESSAGE_SIZE, traffic)
    };
    for (address, ok) in [(Some(addr), true), (None, false), (Some("127.0.0.1:1".parse().unwrap()), false)] {
        let mut transport = transport(address);
        transport.send(make(&from, 2));
        assert_eq!(reports.recv().await, Some((ID.region_id, 72, ok)));
    }
    // A listener that never answers; the transport is stopped meanwhile.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stopped = transport(Some(silent.local_addr().unwrap()));
    stopped.send(make(&from, 2));
    let _connected = silent.accept().await.unwrap();
    stopped.stop();
    assert_eq!(reports.recv().await, Some((ID.region_id, 72, false)));
    drop((stopped, sender));
    assert!(reports.try_recv().is_err(), "one report for each");
}

#[tokio::test]
async fn the_rate_is_kept() {
    let config = RaftstoreConfig { snapshot_rate: ByteSize::mib(6), ..Default::default() };
    let (from, to) = (end(&config), end(&config));
    let (addr, _inbox, _trigger) = serve(&to).await;
    let began = Instant::now();
    assert!(from.traffic.send(&addr.to_string(), make(&from, 2)).await);
    assert!(began.elapsed() > Duration::from_millis(350), "three megabytes took {:?}", began.elapsed());
}
