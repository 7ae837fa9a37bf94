//! Regions of a running cluster are split, by request and because they grow, while the official client goes on.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tikv_client::{Key, RawClient};

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, START_BOUND};

const SPLIT_BOUND: Duration = Duration::from_secs(30);

pub(crate) fn ctl(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tinykv-ctl"))
        .args(["--scheduler", cluster.scheduler_addr()])
        .args(arguments)
        .output()
        .expect("run tinykv-ctl")
}

/// Standard output of a command of the tool that must succeed.
pub(crate) fn run(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = ctl(cluster, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("the tool prints text")
}

fn key(number: u32) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

async fn put(client: &RawClient, numbers: std::ops::Range<u32>, value: &[u8]) {
    for number in numbers {
        client.put(key(number), value.to_vec()).await.expect("put");
    }
}

/// Every key, by point reads and by one scan over all regions.
async fn check(client: &RawClient, count: u32, value: &[u8]) {
    for number in 0..count {
        assert_eq!(client.get(key(number)).await.expect("get").as_deref(), Some(value), "key {number}");
    }
    let range = Key::from(key(0))..Key::from(key(count));
    let found = client.scan_keys(range, 10_000).await.expect("scan");
    let expected: Vec<Key> = (0..count).map(|number| Key::from(key(number))).collect();
    assert_eq!(found, expected);
}

/// Waits until the scheduler knows `count` regions without a hole, all of them with a leader.
async fn wait_regions(cluster: &Cluster, count: impl Fn(usize) -> bool) -> usize {
    wait_until("all regions to be known and led", SPLIT_BOUND, || async {
        let regions = cluster.regions().await;
        let touch = regions.windows(2).all(|pair| pair[0].0.end_key == pair[1].0.start_key);
        let bounded = regions.first().is_some_and(|first| first.0.start_key.is_empty())
            && regions.last().is_some_and(|last| last.0.end_key.is_empty());
        let led = regions.iter().all(|(_, leader)| leader.is_some_and(|leader| leader.id != 0));
        if touch && bounded && led && count(regions.len()) { Ok(regions.len()) } else { Err(format!("{regions:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_are_split_by_request_while_the_official_client_goes_on() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    put(&client, 0..300, b"before").await;

    // A client that writes all the time must not notice.
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (client, stop, writes) = (cluster.raw_client().await, stop.clone(), writes.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = (writes.fetch_add(1, Ordering::Relaxed) * 7 % 300) as u32;
                client.put(key(number), b"during".to_vec()).await.expect("a write during the splits");
            }
        })
    };
    let parts = run(&cluster, &["region", "split", "00100"]);
    assert_eq!(parts.lines().count(), 3, "a header and two parts: {parts}");
    let listed = run(&cluster, &["region", "list"]);
    assert!(listed.lines().count() >= 3 && listed.contains("MIB"), "{listed}");
    wait_regions(&cluster, |count| count == 3).await;
    let first = cluster.regions().await[0].0.clone();
    assert!(first.end_key > key(99) && first.end_key <= key(100), "{first:?}");
    run(&cluster, &["region", "split", "--middle-of", &first.id.to_string()]);
    run(&cluster, &["region", "split", "00200"]);
    wait_regions(&cluster, |count| count == 5).await;
    let shown = run(&cluster, &["region", "show", &first.id.to_string()]);
    assert!(shown.contains("range") && shown.lines().filter(|line| line.contains("peer")).count() == 3, "{shown}");
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer meets no error");
    eprintln!("{} writes during three splits", writes.load(Ordering::Relaxed));

    let again = ctl(&cluster, &["region", "split", "00200"]);
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && error.contains("start of the region"), "{again:?}");
    let unknown = ctl(&cluster, &["region", "show", "999999"]);
    assert_eq!(unknown.status.code(), Some(1));

    put(&client, 0..300, b"after").await;
    check(&client, 300, b"after").await;
    for store in 0..cluster.len() {
        cluster.kill_store(store);
    }
    for store in 0..cluster.len() {
        cluster.start_store(store);
    }
    cluster.wait_serving(START_BOUND).await;
    wait_regions(&cluster, |count| count == 5).await;
    check(&cluster.raw_client().await, 300, b"after").await;
    client.delete_range(key(50)..key(250)).await.expect("delete over several regions");
    let left = client.scan_keys(key(0)..key(300), 1_000).await.expect("scan");
    assert_eq!(left.len(), 100);
    cluster.assert_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_that_grow_are_split_by_themselves() {
    let settings =
        "[raftstore]\nregion-max-size = \"48KiB\"\nregion-split-size = \"32KiB\"\nsplit-check-interval = \"200ms\"\n";
    let options = Options { store_config: Some(settings.to_owned()), ..Options::default() };
    let mut cluster = Cluster::start_with(options).await;
    let client = cluster.raw_client().await;
    let value = [b'v'; 1_000];
    put(&client, 0..400, &value).await;
    // 400 pairs of about a kilobyte, at most 48 in a region, and one region behind all keys.
    let regions = wait_regions(&cluster, |count| count >= 400 / 48 + 2).await;
    eprintln!("{regions} regions");
    check(&client, 400, &value).await;
    cluster.assert_running();
}
