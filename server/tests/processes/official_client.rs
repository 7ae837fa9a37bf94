//! The official `tikv-client` crate's raw client against a cluster of real processes: every operation it offers.
//!
//! Scans are bounded: the client never ends an unbounded scan that does not fill its limit, and the cluster's last region
//! starts above all user data for the same reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, START_BOUND, ports};
use tikv_client::{ColumnFamily, Key, KvPair, RawClient, Value};

/// The longest that an operation on a healthy or half-healthy cluster may be retried by these tests.
const OPERATION_BOUND: Duration = Duration::from_secs(20);

fn key(text: impl AsRef<str>) -> Key {
    Key::from(text.as_ref().as_bytes().to_vec())
}

fn pairs(found: Vec<KvPair>) -> BTreeMap<Vec<u8>, Value> {
    let len = found.len();
    let map: BTreeMap<Vec<u8>, Value> = found.into_iter().map(|KvPair(key, value)| (key.into(), value)).collect();
    assert_eq!(map.len(), len, "a key was returned twice");
    map
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_raw_client() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    single_keys(&client).await;
    batches(&client).await;
    scans(&client).await;
    scans_through_several_ranges(&client).await;
    delete_ranges(&client).await;
    both_regions(&client).await;
    compare_and_swap(&client).await;
    concurrent_increments(&client).await;
    time_to_live(&client).await;
    column_families(&client).await;
    unsupported(&client).await;
    cluster.assert_running();
}

async fn single_keys(client: &RawClient) {
    assert_eq!(client.get(key("single/a")).await.expect("get"), None);
    client.put(key("single/a"), b"1".to_vec()).await.expect("put");
    assert_eq!(client.get(key("single/a")).await.expect("get"), Some(b"1".to_vec()));
    client.put(key("single/a"), b"2".to_vec()).await.expect("overwrite");
    assert_eq!(client.get(key("single/a")).await.expect("get"), Some(b"2".to_vec()));
    client.delete(key("single/a")).await.expect("delete");
    assert_eq!(client.get(key("single/a")).await.expect("get"), None);
    client.delete(key("single/a")).await.expect("delete what is not there");
    let binary: Vec<u8> = (0..=255).collect();
    client.put(binary.clone(), binary.clone()).await.expect("put bytes of every value");
    assert_eq!(client.get(binary.clone()).await.expect("get"), Some(binary.clone()));
    client.delete(binary).await.expect("delete");
}

async fn batches(client: &RawClient) {
    let put: Vec<(Key, Value)> =
        (0..300).map(|n| (key(format!("batch/{n:04}")), format!("v{n}").into_bytes())).collect();
    client.batch_put(put.clone()).await.expect("batch put");
    let wanted: Vec<Key> = (0..310).map(|n| key(format!("batch/{n:04}"))).collect();
    let found = pairs(client.batch_get(wanted.clone()).await.expect("batch get"));
    assert_eq!(found.len(), 300, "the ten keys that were never put are left out");
    assert_eq!(found[b"batch/0299".as_slice()], b"v299");
    client.batch_delete(wanted[..150].to_vec()).await.expect("batch delete");
    let found = pairs(client.batch_get(wanted).await.expect("batch get"));
    assert_eq!(found.len(), 150);
    assert_eq!(found.keys().next().map(Vec::as_slice), Some(b"batch/0150".as_slice()));
}

async fn scans(client: &RawClient) {
    let put: Vec<(Key, Value)> = (0..100).map(|n| (key(format!("scan/{n:03}")), vec![n as u8 + 1])).collect();
    client.batch_put(put).await.expect("batch put");
    let all = || key("scan/")..key("scan0");
    let found = client.scan(all(), 1000).await.expect("scan");
    assert_eq!(found.len(), 100);
    assert!(found.is_sorted_by(|left, right| left.0 < right.0), "a scan is in key order");
    assert_eq!(found[99].1, vec![100]);
    let limited = client.scan(all(), 10).await.expect("limited scan");
    assert_eq!(limited.last().map(|pair| pair.0.clone()), Some(key("scan/009")));
    let inner = client.scan(key("scan/010")..key("scan/020"), 1000).await.expect("inner scan");
    assert_eq!(inner.len(), 10, "the start is included, the end is not");
    let keys = client.scan_keys(all(), 1000).await.expect("scan keys");
    assert_eq!(keys, found.iter().map(|pair| pair.0.clone()).collect::<Vec<_>>());
    let reverse = client.scan_reverse(all(), 10).await.expect("reverse scan");
    let expected: Vec<Key> = (90..100).rev().map(|n| key(format!("scan/{n:03}"))).collect();
    assert_eq!(reverse.into_iter().map(|pair| pair.0).collect::<Vec<_>>(), expected);
    let reverse = client.scan_keys_reverse(key("scan/000")..key("scan/003"), 1000).await.expect("reverse key scan");
    assert_eq!(reverse, vec![key("scan/002"), key("scan/001"), key("scan/000")]);
    assert!(client.scan(key("scan/a")..key("scan/b"), 10).await.expect("empty scan").is_empty());
    let refused = client.scan(all(), 10_241).await.expect_err("more than the client's scan limit");
    assert!(refused.to_string().contains("10240"), "{refused}");
}

async fn scans_through_several_ranges(client: &RawClient) {
    let ranges = || vec![key("scan/010")..key("scan/013"), key("scan/090")..key("scan0"), key("scan/x")..key("scan/y")];
    let found = pairs(client.batch_scan(ranges(), 5).await.expect("batch scan"));
    let names: Vec<String> = found.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    let expected: Vec<String> = [10, 11, 12, 90, 91, 92, 93, 94].iter().map(|n| format!("scan/{n:03}")).collect();
    assert_eq!(names, expected, "at most five of each range");
    let keys = client.batch_scan_keys(ranges(), 2).await.expect("batch key scan");
    assert_eq!(keys, [10, 11, 90, 91].map(|n| key(format!("scan/{n:03}"))));
}

async fn delete_ranges(client: &RawClient) {
    client.delete_range(key("scan/020")..key("scan/030")).await.expect("delete range");
    let left = client.scan_keys(key("scan/")..key("scan0"), 1000).await.expect("scan");
    assert_eq!(left.len(), 90);
    assert!(!left.contains(&key("scan/020")) && !left.contains(&key("scan/029")), "the start is included");
    assert!(left.contains(&key("scan/030")), "the end is not");
    client.delete_range(key("scan/020")..key("scan/030")).await.expect("delete an empty range");
    client.delete_range(key("scan/")..key("scan0")).await.expect("delete the rest");
    assert!(client.scan_keys(key("scan/")..key("scan0"), 10).await.expect("scan").is_empty());
}

/// The cluster starts with two regions; these keys lie in both.
async fn both_regions(client: &RawClient) {
    let low = |n: usize| key(format!("span/{n:03}"));
    let high = |n: usize| Key::from([vec![0xff; 20], format!("span/{n:03}").into_bytes()].concat());
    let put: Vec<(Key, Value)> = (0..50).flat_map(|n| [(low(n), vec![1]), (high(n), vec![2])]).collect();
    client.batch_put(put.clone()).await.expect("batch put over two regions");
    let keys: Vec<Key> = put.iter().map(|pair| pair.0.clone()).collect();
    assert_eq!(pairs(client.batch_get(keys.clone()).await.expect("batch get")).len(), 100);
    // A scan over the last region must fill its limit exactly, or the client starts again at the first key.
    let found = client.scan_keys(low(0)..Key::from(vec![0xff; 64]), 100).await.expect("scan over two regions");
    assert_eq!(found.len(), 100);
    assert_eq!((&found[0], &found[99]), (&low(0), &high(49)));
    client.batch_delete(keys[..20].to_vec()).await.expect("batch delete over two regions");
    assert_eq!(pairs(client.batch_get(keys.clone()).await.expect("batch get")).len(), 80);
    client.delete_range(low(0)..Key::from(vec![0xff; 64])).await.expect("delete range over two regions");
    assert!(client.batch_get(keys).await.expect("batch get").is_empty());
}

async fn compare_and_swap(client: &RawClient) {
    let atomic = client.with_atomic_for_cas();
    let swap = |previous: Option<&str>, new: &str| {
        atomic.compare_and_swap(key("cas/a"), previous.map(|text| text.as_bytes().to_vec()), new.as_bytes().to_vec())
    };
    let value = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(swap(Some("0"), "1").await.expect("swap what is not there"), (None, false));
    assert_eq!(swap(None, "1").await.expect("insert"), (None, true));
    assert_eq!(swap(None, "2").await.expect("insert again"), (value("1"), false));
    assert_eq!(swap(Some("0"), "2").await.expect("wrong value"), (value("1"), false));
    assert_eq!(swap(Some("1"), "2").await.expect("right value"), (value("1"), true));
    assert_eq!(client.get(key("cas/a")).await.expect("get"), value("2"));
    atomic.put(key("cas/a"), b"3".to_vec()).await.expect("atomic put");
    assert_eq!(swap(Some("3"), "4").await.expect("swap after an atomic put"), (value("3"), true));
    atomic.delete(key("cas/a")).await.expect("atomic delete");
    assert_eq!(swap(None, "5").await.expect("insert after a delete"), (None, true));
}

async fn concurrent_increments(client: &RawClient) {
    const TASKS: usize = 8;
    const INCREMENTS: usize = 25;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let atomic = client.with_atomic_for_cas();
        tasks.push(tokio::spawn(async move {
            let mut previous: Option<Value> = None;
            for _ in 0..INCREMENTS {
                loop {
                    let count = previous.as_deref().map_or(0, number) + 1;
                    let new = count.to_string().into_bytes();
                    let swapped = atomic.compare_and_swap(key("cas/counter"), previous.clone(), new.clone()).await;
                    let (found, succeeded) = swapped.expect("compare and swap");
                    if succeeded {
                        previous = Some(new);
                        break;
                    }
                    previous = found;
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("an incrementing task");
    }
    let total = client.get(key("cas/counter")).await.expect("get").expect("the counter exists");
    assert_eq!(number(&total), (TASKS * INCREMENTS) as u64, "every increment counts once");
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).expect("a decimal number").parse().expect("a decimal number")
}

async fn time_to_live(client: &RawClient) {
    assert_eq!(client.get_key_ttl_secs(key("ttl/none")).await.expect("ttl"), None, "no such key");
    client.put(key("ttl/forever"), b"x".to_vec()).await.expect("put");
    assert_eq!(client.get_key_ttl_secs(key("ttl/forever")).await.expect("ttl"), Some(0), "0 means no expiry");
    client.put_with_ttl(key("ttl/long"), b"x".to_vec(), 1000).await.expect("put with a ttl");
    let ttl = client.get_key_ttl_secs(key("ttl/long")).await.expect("ttl").expect("the key lives");
    assert!((900..=1000).contains(&ttl), "{ttl}");
    let expiring = vec![KvPair::new(key("ttl/s1"), b"1".to_vec()), KvPair::new(key("ttl/s2"), b"2".to_vec())];
    let started = Instant::now();
    client.batch_put_with_ttl(expiring, [2, 1000]).await.expect("batch put with ttls");
    wait_until("a key with a ttl of two seconds to expire", OPERATION_BOUND, || async {
        match client.get(key("ttl/s1")).await.expect("get") {
            None => Ok(()),
            Some(_) => Err("it is still there".to_owned()),
        }
    })
    .await;
    assert!(started.elapsed() >= Duration::from_secs(1), "gone after {:?} already", started.elapsed());
    let left = client.scan_keys(key("ttl/")..key("ttl0"), 100).await.expect("scan");
    assert_eq!(left, ["forever", "long", "s2"].map(|name| key(format!("ttl/{name}"))), "scans leave out expired keys");
    let found = client.batch_get(vec![key("ttl/s1"), key("ttl/s2")]).await.expect("batch get");
    assert_eq!(found.len(), 1);
    assert_eq!(client.get_key_ttl_secs(key("ttl/s1")).await.expect("ttl"), None);
    let swapped = client.with_atomic_for_cas().compare_and_swap(key("ttl/s1"), None, b"3".to_vec()).await;
    assert_eq!(swapped.expect("insert over an expired value"), (None, true));
    client.put(key("ttl/long"), b"y".to_vec()).await.expect("overwrite without a ttl");
    assert_eq!(client.get_key_ttl_secs(key("ttl/long")).await.expect("ttl"), Some(0));
}

async fn column_families(client: &RawClient) {
    let default = client.with_cf(ColumnFamily::Default);
    default.put(key("cf/a"), b"1".to_vec()).await.expect("put into the default column family");
    assert_eq!(client.get(key("cf/a")).await.expect("get"), Some(b"1".to_vec()), "no name means default");
    for (family, name) in [(ColumnFamily::Lock, "lock"), (ColumnFamily::Write, "write")] {
        let refused = client.with_cf(family.clone()).put(key("cf/a"), b"2".to_vec()).await;
        let text = format!("{:?}", refused.expect_err("column families of transactions are not for raw clients"));
        assert!(text.contains(name), "the error names the column family: {text}");
        client.with_cf(family).get(key("cf/a")).await.expect_err("nor for raw reads");
    }
    assert_eq!(client.get(key("cf/a")).await.expect("get"), Some(b"1".to_vec()));
}

async fn unsupported(client: &RawClient) {
    let atomic = client.with_atomic_for_cas();
    client.compare_and_swap(key("x"), None, b"1".to_vec()).await.expect_err("the client wants its atomic mode");
    atomic.batch_delete(vec![key("x")]).await.expect_err("not in atomic mode");
    atomic.delete_range(key("x")..key("y")).await.expect_err("not in atomic mode");
    let ranges = vec![key("x")..key("y")];
    let answer = client.coprocessor("none", ">=1.0.0", ranges, |_, _| Vec::new());
    let answer = tokio::time::timeout(OPERATION_BOUND, answer).await.expect("a bounded answer");
    answer.expect_err("there are no coprocessor plug-ins");
    client.put(Vec::new(), b"x".to_vec()).await.expect_err("the empty key");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_keys_and_large_values() {
    const KEYS: usize = 10_000;
    let cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    let name = |n: usize| key(format!("many/{n:05}"));
    let value = |n: usize| format!("value of {n:05} {}", "x".repeat(n % 200)).into_bytes();
    for start in (0..KEYS).step_by(1000) {
        let put: Vec<(Key, Value)> = (start..start + 1000).map(|n| (name(n), value(n))).collect();
        client.batch_put(put).await.expect("batch put");
    }
    let found = client.scan(key("many/")..key("many0"), 10_240).await.expect("scan all");
    assert_eq!(found.len(), KEYS);
    for (n, KvPair(found_key, found_value)) in found.into_iter().enumerate() {
        assert_eq!((found_key, found_value), (name(n), value(n)));
    }
    let wanted: Vec<Key> = (0..KEYS).step_by(3).map(name).collect();
    assert_eq!(pairs(client.batch_get(wanted.clone()).await.expect("batch get")).len(), wanted.len());
    client.batch_delete(wanted.clone()).await.expect("batch delete");
    let left = client.scan_keys(key("many/")..key("many0"), 10_240).await.expect("scan all");
    assert_eq!(left.len(), KEYS - wanted.len());

    for size in [0, 1, 1 << 16, 1 << 20, 3 << 20] {
        let large: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        client.put(key("large"), large.clone()).await.unwrap_or_else(|error| panic!("put {size} bytes: {error}"));
        let found = client.get(key("large")).await.unwrap_or_else(|error| panic!("get {size} bytes: {error}"));
        assert_eq!(found.map(|value| value.len()), Some(size));
        if size > 0 {
            assert_eq!(client.get(key("large")).await.expect("get"), Some(large));
        }
    }
    let megabytes: Vec<(Key, Value)> = (0..16).map(|n| (key(format!("wide/{n:02}")), vec![n; 1 << 18])).collect();
    client.batch_put(megabytes).await.expect("four megabytes in one batch");
    for n in 0..16 {
        let found = client.get(key(format!("wide/{n:02}"))).await.expect("get");
        assert_eq!(found, Some(vec![n; 1 << 18]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_endpoint_is_an_error_in_bounded_time() {
    let nobody = ports::free_address();
    let connecting = RawClient::new(vec![nobody]);
    let answer = tokio::time::timeout(OPERATION_BOUND, connecting).await.expect("an answer in bounded time");
    answer.err().expect("nobody listens there");

    let cluster = Cluster::start().await;
    let connecting = RawClient::new(vec![cluster.store_addr(0).to_owned()]);
    let answer = tokio::time::timeout(OPERATION_BOUND, connecting).await.expect("an answer in bounded time");
    answer.err().expect("a store is no scheduler");

    let connecting = RawClient::new(vec![cluster.status_addr(0).to_owned()]);
    let answer = tokio::time::timeout(OPERATION_BOUND, connecting).await.expect("an answer in bounded time");
    answer.err().expect("a status port is no scheduler");

    // One dead endpoint beside the right one does no harm.
    let endpoints = vec![ports::free_address(), cluster.scheduler_addr().to_owned()];
    let client = RawClient::new(endpoints).await.expect("one of the endpoints is right");
    client.put(key("endpoint"), b"1".to_vec()).await.expect("put");
    assert_eq!(client.get(key("endpoint")).await.expect("get"), Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_down_does_not_stop_the_client() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    client.put(key("down/before"), b"1".to_vec()).await.expect("put");

    let leader = cluster.leader_store(b"down/").await;
    let follower = (leader + 1) % cluster.len();
    // The follower may lead the other region; only the region of these keys must not notice.
    cluster.kill_store(follower);
    for n in 0..200 {
        client.put(key(format!("down/f{n}")), b"f".to_vec()).await.expect("puts go on without a follower");
    }
    cluster.start_store(follower);
    cluster.wait_serving(START_BOUND).await;

    let leader = cluster.leader_store(b"down/").await;
    cluster.kill_store(leader);
    let started = Instant::now();
    put_until_acknowledged(&client, "down/leader").await;
    eprintln!("the first put after the leader's end was acknowledged after {:?}", started.elapsed());
    for n in 0..200 {
        put_until_acknowledged(&client, &format!("down/l{n}")).await;
    }
    assert_eq!(client.get(key("down/before")).await.expect("get"), Some(b"1".to_vec()));
    let found = client.scan_keys(key("down/")..key("down0"), 1000).await.expect("scan");
    assert_eq!(found.len(), 402);
    cluster.start_store(leader);
    cluster.wait_serving(START_BOUND).await;
    assert_eq!(client.get(key("down/f199")).await.expect("get"), Some(b"f".to_vec()));
}

/// The official client gives up after about 1.5 s, less than an election may take on a busy machine.
async fn put_until_acknowledged(client: &RawClient, name: &str) {
    wait_until("a put to be acknowledged", OPERATION_BOUND, || async {
        client.put(key(name), b"l".to_vec()).await.map_err(|error| error.to_string())
    })
    .await;
}
