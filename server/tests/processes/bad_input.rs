//! Requests and connections that are wrong: each gets the answer that clients can work with, and the process keeps serving.

use std::time::Duration;

use crate::cluster::rpc::{self, Located};
use crate::cluster::status::http_get;
use crate::cluster::{Cluster, Options, START_BOUND};
use bytes::Bytes;
use proto::errorpb;
use proto::kvrpcpb::*;
use proto::metapb::{Peer, RegionEpoch};
use proto::tikvpb::BatchCommandsRequest;
use proto::tikvpb::batch_commands_request::{Request, request::Cmd};
use proto::tikvpb::batch_commands_response::response::Cmd as Answer;
use proto::tikvpb::tikv_client::TikvClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;

type Store = TikvClient<Channel>;

const KEY: &[u8] = b"bad/key";
/// The default limits of the configuration.
const MAX_KEY: usize = 8 << 10;
const MAX_ENTRY: usize = 8 << 20;
const MAX_SCAN: u32 = 10_240;

async fn store(cluster: &Cluster, number: usize) -> Store {
    rpc::store_client(cluster.store_addr(number)).await.expect("connect to a store")
}

async fn leader_client(located: &Located) -> Store {
    rpc::store_client(&located.address).await.expect("connect to the leader")
}

async fn get(store: &mut Store, context: Context, key: &[u8]) -> RawGetResponse {
    let request = RawGetRequest { context: Some(context), key: Bytes::copy_from_slice(key), cf: String::new() };
    store.raw_get(request).await.expect("errors are in the answer").into_inner()
}

async fn put(store: &mut Store, context: Context, key: &[u8], value: &[u8]) -> RawPutResponse {
    let request = RawPutRequest {
        context: Some(context),
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        ..Default::default()
    };
    store.raw_put(request).await.expect("errors are in the answer").into_inner()
}

/// Sends a read and a write with the same wrong context and returns the error, which but for its text must be the same.
async fn region_error(store: &mut Store, context: Context, key: &[u8]) -> errorpb::Error {
    let mut read = get(store, context.clone(), key).await.region_error.expect("a region error for a read");
    let mut written = put(store, context, key, b"x").await.region_error.expect("a region error for a write");
    for error in [&mut read, &mut written] {
        assert!(!std::mem::take(&mut error.message).is_empty(), "an error has a text: {error:?}");
    }
    assert_eq!(read, written, "reads and writes are refused alike");
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_the_right_error() {
    let mut cluster = Cluster::start().await;
    let located = cluster.locate(KEY).await;
    let mut leader = leader_client(&located).await;
    assert_eq!(put(&mut leader, located.context(), KEY, b"1").await, RawPutResponse::default());

    wrong_region_store_and_peer(&mut leader, &located).await;
    wrong_epoch(&mut leader, &located).await;
    wrong_place(&cluster, &mut leader, &located).await;
    wrong_keys_and_values(&mut leader, &located).await;
    wrong_column_families(&mut leader, &located).await;
    wrong_ranges(&mut leader, &located).await;
    wrong_times_to_live(&mut leader, &located).await;
    wrong_items_in_a_batch(&mut leader, &located).await;
    wrong_cluster(&cluster, &mut leader, &located).await;
    unsupported_requests(&mut leader).await;

    assert_eq!(get(&mut leader, located.context(), KEY).await.value, Bytes::from_static(b"1"), "nothing was written");
    cluster.assert_running();
}

async fn wrong_region_store_and_peer(leader: &mut Store, located: &Located) {
    let context = Context { region_id: 4711, ..located.context() };
    let error = region_error(leader, context, KEY).await;
    assert_eq!(error.region_not_found.map(|found| found.region_id), Some(4711));

    let peer = Peer { store_id: located.leader.store_id + 1000, ..located.leader };
    let error = region_error(leader, Context { peer: Some(peer), ..located.context() }, KEY).await;
    let store = error.store_not_match.expect("StoreNotMatch");
    assert_eq!(
        (store.request_store_id, store.actual_store_id),
        (located.leader.store_id + 1000, located.leader.store_id)
    );

    let peer = Peer { id: located.leader.id + 1000, ..located.leader };
    let error = region_error(leader, Context { peer: Some(peer), ..located.context() }, KEY).await;
    let mismatch = error.mismatch_peer_id.expect("MismatchPeerId");
    assert_eq!((mismatch.request_peer_id, mismatch.store_peer_id), (located.leader.id + 1000, located.leader.id));

    // No context at all: no region, so no region of this store.
    let request = RawGetRequest { key: Bytes::from_static(KEY), ..Default::default() };
    let answer = leader.raw_get(request).await.expect("errors are in the answer").into_inner();
    assert!(answer.region_error.is_some() || !answer.error.is_empty(), "{answer:?}");

    let error = region_error(leader, Context { term: 1, ..located.context() }, KEY).await;
    assert!(error.stale_command.is_some(), "a term long gone: {error:?}");
}

async fn wrong_epoch(leader: &mut Store, located: &Located) {
    let epoch = located.region.region_epoch.expect("regions have epochs");
    for version in [epoch.version - 1, epoch.version + 1] {
        let wrong = RegionEpoch { version, ..epoch };
        let error = region_error(leader, Context { region_epoch: Some(wrong), ..located.context() }, KEY).await;
        let current = error.epoch_not_match.expect("EpochNotMatch").current_regions;
        assert_eq!(current.len(), 1);
        assert_eq!(current[0], located.region, "whole regions, so that clients need not ask the scheduler");
    }
    // Reads and writes do not depend on who the peers are.
    let other = RegionEpoch { conf_ver: epoch.conf_ver + 1, ..epoch };
    let context = Context { region_epoch: Some(other), ..located.context() };
    assert_eq!(get(leader, context, KEY).await.value, Bytes::from_static(b"1"));
    let error = region_error(leader, Context { region_epoch: None, ..located.context() }, KEY).await;
    assert!(error.epoch_not_match.is_some(), "no epoch is no match: {error:?}");
}

async fn wrong_place(cluster: &Cluster, leader: &mut Store, located: &Located) {
    let outside = [0xff_u8; 32];
    let error = region_error(leader, located.context(), &outside).await;
    let not_in = error.key_not_in_region.expect("KeyNotInRegion");
    assert_eq!(not_in.key, outside.as_slice());
    assert_eq!(
        (not_in.region_id, &not_in.start_key, &not_in.end_key),
        (located.region.id, &located.region.start_key, &located.region.end_key)
    );

    for peer in located.region.peers.iter().filter(|peer| peer.store_id != located.leader.store_id) {
        let mut client = store_of(cluster, peer.store_id).await;
        let error = region_error(&mut client, Context { peer: Some(*peer), ..located.context() }, KEY).await;
        let not_leader = error.not_leader.expect("NotLeader");
        assert_eq!(not_leader.region_id, located.region.id);
        assert_eq!(not_leader.leader, Some(located.leader), "a follower names the leader");
    }
}

async fn store_of(cluster: &Cluster, store_id: u64) -> Store {
    let id = rpc::cluster_id(cluster.scheduler_addr()).await.expect("cluster id");
    let mut scheduler = rpc::scheduler_client(cluster.scheduler_addr()).await.expect("connect to the scheduler");
    let request = proto::pdpb::GetStoreRequest { header: rpc::header(id), store_id };
    let found = scheduler.get_store(request).await.expect("ask for a store").into_inner().store.expect("a store");
    store(cluster, cluster.number_of(&found.address)).await
}

async fn wrong_keys_and_values(leader: &mut Store, located: &Located) {
    for answer in [
        put(leader, located.context(), b"", b"x").await.error,
        get(leader, located.context(), b"").await.error,
        get(leader, located.context(), &[b'k'; MAX_KEY + 1]).await.error,
        put(leader, located.context(), &[b'k'; MAX_KEY + 1], b"x").await.error,
    ] {
        assert!(answer.contains("key"), "the error says what is wrong: {answer:?}");
    }
    let longest = put(leader, located.context(), &[b'k'; MAX_KEY], b"x").await;
    assert_eq!(longest, RawPutResponse::default(), "the longest key that is allowed");

    let answer = put(leader, located.context(), b"bad/large", &vec![0; MAX_ENTRY + 1]).await;
    let too_large = answer.region_error.expect("a region error").raft_entry_too_large.expect("RaftEntryTooLarge");
    assert_eq!(too_large.region_id, located.region.id);
    assert!(too_large.entry_size > MAX_ENTRY as u64, "{too_large:?}");
    assert!(get(leader, located.context(), b"bad/large").await.not_found);

    let huge = RawPutRequest {
        context: Some(located.context()),
        key: Bytes::from_static(b"bad/huge"),
        value: vec![0; 40 << 20].into(),
        ..Default::default()
    };
    leader.raw_put(huge).await.expect_err("more than the largest message");
    assert!(get(leader, located.context(), b"bad/huge").await.not_found);

    let keys = vec![Bytes::from_static(KEY), Bytes::new()];
    let request = RawBatchDeleteRequest { context: Some(located.context()), keys, ..Default::default() };
    let answer = leader.raw_batch_delete(request).await.expect("errors are in the answer").into_inner();
    assert!(answer.error.contains("key"), "one bad key spoils the whole batch: {answer:?}");
}

async fn wrong_column_families(leader: &mut Store, located: &Located) {
    for cf in ["lock", "write", "raft", "raw", "no such thing"] {
        let request = RawPutRequest {
            context: Some(located.context()),
            key: Bytes::from_static(KEY),
            value: Bytes::from_static(b"2"),
            cf: cf.to_owned(),
            ..Default::default()
        };
        let answer = leader.raw_put(request).await.expect("errors are in the answer").into_inner();
        assert!(answer.error.contains(cf), "the error names the column family {cf:?}: {answer:?}");
        let request =
            RawScanRequest { context: Some(located.context()), limit: 1, cf: cf.to_owned(), ..Default::default() };
        let error = scan_error(leader, request).await;
        assert!(error.contains(cf), "the error names the column family {cf:?}: {error:?}");
    }
}

/// The text of a refused scan. The response has no field for it: it is in a pair, or the RPC fails.
async fn scan_error(leader: &mut Store, request: RawScanRequest) -> String {
    match leader.raw_scan(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let error = answer.kvs.first().and_then(|pair| pair.error.clone());
            error.unwrap_or_else(|| panic!("a scan that must be refused: {answer:?}")).abort
        }
        Err(status) => status.message().to_owned(),
    }
}

async fn wrong_ranges(leader: &mut Store, located: &Located) {
    let scan = |start: &'static [u8], end: &'static [u8], limit: u32, reverse: bool| RawScanRequest {
        context: Some(located.context()),
        start_key: Bytes::from_static(start),
        end_key: Bytes::from_static(end),
        limit,
        reverse,
        ..Default::default()
    };
    let error = scan_error(leader, scan(b"a", b"z", MAX_SCAN + 1, false)).await;
    assert!(error.contains(&MAX_SCAN.to_string()), "the error names the limit: {error}");
    for (start, end, reverse) in [(b"z", b"a", false), (b"a", b"z", true)] {
        let error = scan_error(leader, scan(start, end, 10, reverse)).await;
        assert!(error.contains("reversed"), "{error}");
    }
    let answer = leader.raw_scan(scan(b"a", b"z", 0, false)).await.expect("a scan for nothing").into_inner();
    assert_eq!(answer, RawScanResponse::default(), "limit 0 finds nothing");

    let range = KeyRange { start_key: Bytes::from_static(b"z"), end_key: Bytes::from_static(b"a") };
    let request = RawBatchScanRequest {
        context: Some(located.context()),
        ranges: vec![range.clone()],
        each_limit: 10,
        ..Default::default()
    };
    match leader.raw_batch_scan(request).await {
        Ok(answer) => assert!(answer.into_inner().kvs.iter().any(|pair| pair.error.is_some()), "a reversed range"),
        Err(status) => assert!(status.message().contains("reversed"), "{status}"),
    }
    let KeyRange { start_key, end_key } = range;
    let request = RawDeleteRangeRequest { context: Some(located.context()), start_key, end_key, ..Default::default() };
    let answer = leader.raw_delete_range(request).await.expect("errors are in the answer").into_inner();
    assert!(answer.error.contains("reversed"), "{answer:?}");
    let request = RawChecksumRequest { context: Some(located.context()), algorithm: 99, ..Default::default() };
    let answer = leader.raw_checksum(request).await.expect("errors are in the answer").into_inner();
    assert!(answer.error.contains("99"), "{answer:?}");
}

async fn wrong_times_to_live(leader: &mut Store, located: &Located) {
    let pair = |key: &'static [u8]| KvPair { key: Bytes::from_static(key), ..Default::default() };
    let request = RawBatchPutRequest {
        context: Some(located.context()),
        pairs: vec![pair(b"bad/1"), pair(b"bad/2"), pair(b"bad/3")],
        ttls: vec![10, 20],
        ..Default::default()
    };
    let answer = leader.raw_batch_put(request).await.expect("errors are in the answer").into_inner();
    assert!(!answer.error.is_empty(), "two times to live for three pairs");
    assert!(get(leader, located.context(), b"bad/1").await.not_found, "all or nothing");
}

/// A wrong item of a stream is answered like a wrong request of its own; the others are served, and the stream lives.
async fn wrong_items_in_a_batch(leader: &mut Store, located: &Located) {
    let item = |context: Context| {
        let request = RawGetRequest { context: Some(context), key: Bytes::from_static(KEY), cf: String::new() };
        Request { cmd: Some(Cmd::RawGet(request)) }
    };
    let wrong = Context { region_id: 4711, ..located.context() };
    let batch = BatchCommandsRequest {
        requests: vec![item(wrong), item(located.context()), Request { cmd: Some(Cmd::Get(GetRequest::default())) }],
        request_ids: vec![11, 12, 13],
        ..Default::default()
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = leader.batch_commands(requests).await.expect("open the stream").into_inner();
    for _ in 0..2 {
        sender.send(batch.clone()).await.expect("the stream lives");
        let mut open: Vec<u64> = batch.request_ids.clone();
        while !open.is_empty() {
            let message = tokio::time::timeout(START_BOUND, answers.message()).await.expect("a bounded answer");
            let message = message.expect("the stream lives").expect("the stream goes on");
            for (id, response) in message.request_ids.iter().zip(message.responses) {
                open.retain(|waiting| waiting != id);
                match (id, response.cmd.expect("every item has an answer")) {
                    (11, Answer::RawGet(answer)) => {
                        let error = answer.region_error.expect("a region error");
                        assert_eq!(error.region_not_found.map(|found| found.region_id), Some(4711));
                    }
                    (12, Answer::RawGet(answer)) => assert_eq!(answer.value, Bytes::from_static(b"1")),
                    (13, Answer::Get(answer)) => assert!(answer.error.is_some(), "transactions are not served yet"),
                    (id, answer) => panic!("item {id} got {answer:?}"),
                }
            }
        }
    }
}

async fn wrong_cluster(cluster: &Cluster, leader: &mut Store, located: &Located) {
    let id = rpc::cluster_id(cluster.scheduler_addr()).await.expect("cluster id");
    let answer = get(leader, Context { cluster_id: id + 1, ..located.context() }, KEY).await;
    assert!(answer.error.contains("cluster"), "{answer:?}");
    assert_eq!(get(leader, Context { cluster_id: id, ..located.context() }, KEY).await.error, "");

    let mut scheduler = rpc::scheduler_client(cluster.scheduler_addr()).await.expect("connect to the scheduler");
    let request = proto::pdpb::AllocIdRequest { header: rpc::header(id + 1), ..Default::default() };
    let text = match scheduler.alloc_id(request).await {
        Ok(answer) => answer.into_inner().header.and_then(|header| header.error).expect("an error").message,
        Err(status) => status.message().to_owned(),
    };
    assert!(text.contains("cluster"), "{text}");
    let request = proto::pdpb::GetStoreRequest { header: rpc::header(id), store_id: 4711 };
    let answer = scheduler.get_store(request).await.expect("the header carries the error").into_inner();
    let text = answer.header.and_then(|header| header.error).expect("an error").message;
    assert!(text.contains("invalid store ID 4711, not found"), "clients match these words: {text}");
}

async fn unsupported_requests(leader: &mut Store) {
    let status = leader.kv_get(GetRequest::default()).await.expect_err("transactions are not served yet");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(status.message().contains("KvGet"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_a_port_hurts_nobody_else() {
    let mut cluster = Cluster::start_with(Options::default()).await;
    let client = cluster.raw_client().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let oversized_frame = [preface.clone(), vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], vec![7; 4096]].concat();
    let unknown_frames = [preface.clone(), vec![0, 0, 4, 0xee, 0xff, 0, 0, 0, 9, 1, 2, 3, 4].repeat(100)].concat();
    let pieces: [Vec<u8>; 6] = [
        (0..=255).cycle().take(1 << 16).collect(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        preface[..10].to_vec(),
        oversized_frame,
        unknown_frames,
        vec![0; 1 << 20],
    ];
    let ports = [cluster.store_addr(0), cluster.status_addr(0), cluster.scheduler_addr()].map(str::to_owned);
    for port in &ports {
        for piece in &pieces {
            send_garbage(port, piece).await;
        }
        // A connection that says nothing at all.
        let silent = TcpStream::connect(port).await.expect("connect");
        client.put(b"garbage".to_vec(), piece_name(port)).await.expect("the cluster keeps serving");
        drop(silent);
    }
    cluster.assert_running();
    assert_eq!(client.get(b"garbage".to_vec()).await.expect("get"), Some(piece_name(&ports[2])));
    http_get(&ports[1], "/status").await.expect("the status port keeps serving");
    http_get(&ports[1], "/nothing-here").await.expect_err("an unknown page");
}

fn piece_name(port: &str) -> Vec<u8> {
    format!("after garbage on {port}").into_bytes()
}

/// Sends bytes, reads whatever comes back for a moment, closes.
async fn send_garbage(addr: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    // The server may close while we are still sending.
    stream.write_all(bytes).await.ok();
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut answer)).await.ok();
}
