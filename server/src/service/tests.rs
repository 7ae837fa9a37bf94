//! The service over real sockets: a standalone server on free ports, driven with the generated client.

use std::time::Duration;

use proto::kvrpcpb::*;
use proto::tikvpb::tikv_client::TikvClient;
use proto::tikvpb::{BatchCommandsEmptyRequest, BatchCommandsRequest, batch_commands_request, batch_commands_response};
use storage::MemEngine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::config::{ByteSize, Config};
use crate::node::{Node, Ports, standalone};
use crate::status::StatusReport;

use batch_commands_request::request::Cmd as Command;
use batch_commands_response::response::Cmd as Answer;

fn logger() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

fn config() -> Config {
    let mut config = Config::default();
    config.server.addr = "127.0.0.1:0".to_owned();
    config.server.status_addr = "127.0.0.1:0".to_owned();
    config.storage.max_key_size = ByteSize(64);
    config.raftstore.max_entry_size = ByteSize::kib(64);
    config
}

async fn start() -> (Node, TikvClient<Channel>) {
    let config = config();
    let ports = Ports::bind(&config.server).await.unwrap();
    let node = standalone::serve(ports, MemEngine::new(), &config, &logger(), || Ok(())).await.unwrap();
    let client = TikvClient::connect(format!("http://{}", node.addr())).await.unwrap();
    (node, client)
}

fn pair(key: &'static str, value: &'static str) -> KvPair {
    KvPair { key: key.into(), value: value.into(), ..Default::default() }
}

async fn put(client: &mut TikvClient<Channel>, key: &'static str, value: &'static str) {
    let request = RawPutRequest { key: key.into(), value: value.into(), ..Default::default() };
    assert_eq!(client.raw_put(request).await.unwrap().into_inner(), RawPutResponse::default());
}

async fn get(client: &mut TikvClient<Channel>, key: &'static str) -> Option<String> {
    let request = RawGetRequest { key: key.into(), ..Default::default() };
    let response = client.raw_get(request).await.unwrap().into_inner();
    assert_eq!((response.region_error, response.error.as_str()), (None, ""));
    (!response.not_found).then(|| String::from_utf8(response.value.to_vec()).unwrap())
}

fn keys(pairs: &[KvPair]) -> Vec<&str> {
    pairs.iter().map(|pair| std::str::from_utf8(&pair.key).unwrap()).collect()
}

#[tokio::test]
async fn single_keys() {
    let (node, mut client) = start().await;
    assert_eq!(get(&mut client, "a").await, None);
    put(&mut client, "a", "1").await;
    assert_eq!(get(&mut client, "a").await.as_deref(), Some("1"));
    put(&mut client, "empty", "").await;
    assert_eq!(get(&mut client, "empty").await.as_deref(), Some(""));
    let request = RawDeleteRequest { key: "a".into(), cf: "default".into(), ..Default::default() };
    assert_eq!(client.raw_delete(request).await.unwrap().into_inner(), RawDeleteResponse::default());
    assert_eq!(get(&mut client, "a").await, None);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn batches_and_ranges() {
    let (node, mut client) = start().await;
    let pairs = vec![pair("a", "1"), pair("b", "2"), pair("c", "3"), pair("d", "4")];
    let request = RawBatchPutRequest { pairs, ttls: vec![0; 4], ..Default::default() };
    assert_eq!(client.raw_batch_put(request).await.unwrap().into_inner(), RawBatchPutResponse::default());

    let request = RawBatchGetRequest { keys: vec!["d".into(), "x".into(), "a".into()], ..Default::default() };
    let found = client.raw_batch_get(request).await.unwrap().into_inner().pairs;
    assert_eq!(found, [pair("d", "4"), pair("a", "1")]);
    // More keys than are answered inline.
    let many = (0..200).map(|i| format!("{i}").into()).chain(["b".into()]).collect();
    let request = RawBatchGetRequest { keys: many, ..Default::default() };
    assert_eq!(client.raw_batch_get(request).await.unwrap().into_inner().pairs, [pair("b", "2")]);

    let scan = RawScanRequest { start_key: "b".into(), limit: 10, ..Default::default() };
    let found = client.raw_scan(scan.clone()).await.unwrap().into_inner().kvs;
    assert_eq!(keys(&found), ["b", "c", "d"]);
    let scan = RawScanRequest { end_key: "d".into(), key_only: true, ..scan };
    let found = client.raw_scan(scan).await.unwrap().into_inner().kvs;
    assert_eq!((keys(&found), found[0].value.len()), (vec!["b", "c"], 0));
    let reverse = RawScanRequest { start_key: "d".into(), limit: 2, reverse: true, ..Default::default() };
    assert_eq!(keys(&client.raw_scan(reverse).await.unwrap().into_inner().kvs), ["c", "b"]);

    let range = |start: &'static str, end: &'static str| KeyRange { start_key: start.into(), end_key: end.into() };
    let ranges = vec![range("a", "b"), range("c", "")];
    let request = RawBatchScanRequest { ranges: ranges.clone(), each_limit: 10, ..Default::default() };
    assert_eq!(keys(&client.raw_batch_scan(request).await.unwrap().into_inner().kvs), ["a", "c", "d"]);
    let request = RawChecksumRequest { ranges, ..Default::default() };
    let sum = client.raw_checksum(request).await.unwrap().into_inner();
    assert_eq!((sum.total_kvs, sum.total_bytes, sum.error.as_str()), (3, 6, ""));
    assert_ne!(sum.checksum, 0);

    let request = RawBatchDeleteRequest { keys: vec!["a".into(), "x".into()], ..Default::default() };
    assert_eq!(client.raw_batch_delete(request).await.unwrap().into_inner(), RawBatchDeleteResponse::default());
    let request = RawDeleteRangeRequest { start_key: "c".into(), ..Default::default() };
    assert_eq!(client.raw_delete_range(request).await.unwrap().into_inner(), RawDeleteRangeResponse::default());
    let all = RawScanRequest { limit: 10, ..Default::default() };
    assert_eq!(keys(&client.raw_scan(all).await.unwrap().into_inner().kvs), ["b"]);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn compare_and_swap_and_time_to_live() {
    let (node, mut client) = start().await;
    let create = RawCasRequest { key: "k".into(), value: "1".into(), previous_not_exist: true, ..Default::default() };
    let response = client.raw_compare_and_swap(create.clone()).await.unwrap().into_inner();
    assert!(response.succeed && response.previous_not_exist, "{response:?}");
    let response = client.raw_compare_and_swap(create).await.unwrap().into_inner();
    assert!(!response.succeed && !response.previous_not_exist && response.previous_value == "1", "{response:?}");
    let swap = RawCasRequest {
        key: "k".into(),
        value: "2".into(),
        previous_value: "1".into(),
        ttl: 100,
        ..Default::default()
    };
    assert!(client.raw_compare_and_swap(swap).await.unwrap().into_inner().succeed);
    assert_eq!(get(&mut client, "k").await.as_deref(), Some("2"));

    let ttl = RawGetKeyTtlRequest { key: "k".into(), ..Default::default() };
    let response = client.raw_get_key_ttl(ttl).await.unwrap().into_inner();
    assert!((90..=100).contains(&response.ttl), "{response:?}");
    put(&mut client, "forever", "x").await;
    let ttl = |key: &'static str| RawGetKeyTtlRequest { key: key.into(), ..Default::default() };
    assert_eq!(client.raw_get_key_ttl(ttl("forever")).await.unwrap().into_inner().ttl, 0);
    assert!(client.raw_get_key_ttl(ttl("absent")).await.unwrap().into_inner().not_found);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn bad_input_is_answered_clearly_and_changes_nothing() {
    let (node, mut client) = start().await;
    put(&mut client, "a", "1").await;
    let get_request = RawGetRequest { key: "a".into(), ..Default::default() };
    let table = [
        (RawGetRequest { cf: "meta".into(), ..get_request.clone() }, "unknown column family"),
        (RawGetRequest { cf: "write".into(), ..get_request.clone() }, "transactions"),
        (RawGetRequest { key: "".into(), ..get_request.clone() }, "empty"),
        (RawGetRequest { key: vec![b'k'; 65].into(), ..get_request.clone() }, "too long"),
        (
            RawGetRequest {
                context: Some(Context { api_version: ApiVersion::V2 as i32, ..Default::default() }),
                ..get_request
            },
            "API version",
        ),
    ];
    for (request, word) in table {
        let response = client.raw_get(request.clone()).await.unwrap().into_inner();
        assert!(response.error.contains(word), "{request:?}: {response:?}");
    }
    let large = RawPutRequest { key: "a".into(), value: vec![0; 70 << 10].into(), ..Default::default() };
    let error = client.raw_put(large).await.unwrap().into_inner().region_error.unwrap();
    assert_eq!(error.raft_entry_too_large.unwrap().entry_size, 70 << 10);
    let pair_error = |pairs: Vec<KvPair>| pairs[0].error.clone().unwrap().abort;
    let scan = RawScanRequest { limit: 10_241, ..Default::default() };
    assert!(pair_error(client.raw_scan(scan).await.unwrap().into_inner().kvs).contains("limit"));
    let scan = RawScanRequest { start_key: "b".into(), end_key: "a".into(), limit: 1, ..Default::default() };
    assert!(pair_error(client.raw_scan(scan).await.unwrap().into_inner().kvs).contains("reversed"));
    let range = RawDeleteRangeRequest { start_key: "b".into(), end_key: "a".into(), ..Default::default() };
    assert!(client.raw_delete_range(range).await.unwrap().into_inner().error.contains("reversed"));
    let sum = RawChecksumRequest { algorithm: 9, ..Default::default() };
    assert!(client.raw_checksum(sum).await.unwrap().into_inner().error.contains("algorithm 9"));
    let cas = RawCasRequest { key: "a".into(), delete: true, ..Default::default() };
    assert!(client.raw_compare_and_swap(cas).await.unwrap().into_inner().error.contains("delete"));
    let status = client.kv_get(GetRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("KvGet"), "{status}");
    assert_eq!(get(&mut client, "a").await.as_deref(), Some("1"));
    node.stop().await.unwrap();
}

fn commands(items: Vec<(u64, Command)>) -> BatchCommandsRequest {
    let (request_ids, requests) =
        items.into_iter().map(|(id, cmd)| (id, batch_commands_request::Request { cmd: Some(cmd) })).unzip();
    BatchCommandsRequest { requests, request_ids, ..Default::default() }
}

#[tokio::test]
async fn batch_commands_answer_each_item_when_it_is_done() {
    let (node, mut client) = start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client.batch_commands(stream).await.unwrap().into_inner();

    // The slow one comes first and must not hold the others up.
    let slow = BatchCommandsEmptyRequest { test_id: 77, delay_time: 300 };
    let put = RawPutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    let items = vec![(1, Command::Empty(slow)), (2, Command::RawPut(put)), (3, Command::Get(GetRequest::default()))];
    sender.send(commands(items)).await.unwrap();
    let mut order = Vec::new();
    while order.len() < 3 {
        let batch = answers.message().await.unwrap().unwrap();
        assert_eq!(batch.request_ids.len(), batch.responses.len());
        for (id, response) in batch.request_ids.into_iter().zip(batch.responses) {
            match (id, response.cmd.unwrap()) {
                (1, Answer::Empty(empty)) => assert_eq!(empty.test_id, 77),
                (2, Answer::RawPut(put)) => assert_eq!(put, RawPutResponse::default()),
                (3, Answer::Get(get)) => assert!(get.error.unwrap().abort.contains("KvGet")),
                other => panic!("an answer of another kind: {other:?}"),
            }
            order.push(id);
        }
    }
    assert_eq!(order.last(), Some(&1), "the slow one comes last: {order:?}");

    // Many at once, over several messages.
    let gets = |ids: std::ops::Range<u64>| {
        let get = RawGetRequest { key: "k".into(), ..Default::default() };
        commands(ids.map(|id| (id, Command::RawGet(get.clone()))).collect())
    };
    for chunk in 0..10 {
        sender.send(gets(chunk * 200..(chunk + 1) * 200)).await.unwrap();
    }
    let mut seen = vec![false; 2000];
    while !seen.iter().all(|seen| *seen) {
        for id in answers.message().await.unwrap().unwrap().request_ids {
            assert!(!std::mem::replace(&mut seen[id as usize], true), "answered twice: {id}");
        }
    }
    drop(sender);
    assert!(answers.message().await.unwrap().is_none(), "the stream ends when the client has ended it");

    let broken = BatchCommandsRequest { request_ids: vec![1, 2], ..Default::default() };
    let mut answers = client.batch_commands(tokio_stream::once(broken)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_port_hurts_nobody() {
    let (node, mut client) = start().await;
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0garbage garbage"]
    {
        let mut socket = TcpStream::connect(node.addr()).await.unwrap();
        // The server may close before everything is written.
        let _refused = socket.write_all(garbage).await;
        let mut answer = Vec::new();
        let _refused = tokio::time::timeout(Duration::from_millis(200), socket.read_to_end(&mut answer)).await;
    }
    put(&mut client, "a", "1").await;
    assert_eq!(get(&mut client, "a").await.as_deref(), Some("1"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn standalone_servers_take_no_raft_messages() {
    let (node, mut client) = start().await;
    let status = client.batch_raft(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn health_and_status_port() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    let (node, mut client) = start().await;
    let channel = Channel::from_shared(format!("http://{}", node.addr())).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel);
    let response = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(response.status, ServingStatus::Serving as i32);

    put(&mut client, "a", "1").await;
    let status_addr = node.status_addr().unwrap();
    let report: StatusReport = serde_json::from_str(&http_get(status_addr, "/status").await).unwrap();
    assert_eq!((report.mode.as_str(), report.addr), ("standalone", node.addr().to_string()));
    let metrics = http_get(status_addr, "/metrics").await;
    assert!(metrics.contains("tinykv_command_duration_seconds_count{command=\"RawPut\"} 1"), "{metrics}");
    assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
    assert!(http_get(status_addr, "/").await.contains("/metrics"));
    assert!(http_get(status_addr, "/nothing").await.contains("not here"));
    node.stop().await.unwrap();
}

/// The body of the answer to a plain HTTP request.
async fn http_get(addr: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.server.addr = holder.local_addr().unwrap().to_string();
    let error = Ports::bind(&config.server).await.err().unwrap().to_string();
    assert!(error.contains(&config.server.addr) && error.contains("another process"), "{error}");
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish() {
    let (node, mut client) = start().await;
    let slow = BatchCommandsEmptyRequest { test_id: 1, delay_time: 300 };
    let batch = commands(vec![(1, Command::Empty(slow))]);
    let requests = tokio_stream::StreamExt::chain(tokio_stream::once(batch), tokio_stream::pending());
    let mut answers = client.batch_commands(requests).await.unwrap().into_inner();
    let first = tokio::spawn(async move {
        let first = answers.message().await.unwrap();
        (first, answers.message().await)
    });
    // One command through the same connection: the batch before it has reached the server.
    put(&mut client, "a", "1").await;
    let addr = node.addr();
    node.stop().await.unwrap();
    let (answer, end) = first.await.unwrap();
    assert_eq!(answer.unwrap().request_ids, [1]);
    assert!(matches!(end, Ok(None)), "{end:?}");
    assert!(TcpStream::connect(addr).await.is_err(), "the port is free again");
}
