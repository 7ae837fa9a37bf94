//! A store that was away for longer than the log reaches back catches up by snapshots, between real processes.

use std::time::Duration;

use tikv_client::RawClient;

#[cfg(target_os = "linux")]
use crate::cluster::process::niceness_of_threads;
use crate::cluster::status::http_get;
use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, START_BOUND, engine};

const CATCH_UP_BOUND: Duration = Duration::from_secs(60);
const SETTINGS: &str = "[raftstore]\nlog-gc-interval = \"100ms\"\nlog-gc-threshold = 10\nlog-gc-count-limit = 50\n";

async fn put(client: &RawClient, numbers: std::ops::Range<u32>, value: &[u8]) {
    for number in numbers {
        client.put(format!("{number:05}").into_bytes(), value.to_vec()).await.expect("put");
    }
}

/// A counter of a store.
async fn metric(cluster: &Cluster, store: usize, name: &str) -> Result<u64, String> {
    let text = http_get(cluster.status_addr(store), "/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
    let value = line.map_or(Some(0.0), |line| line.rsplit(' ').next()?.parse::<f64>().ok());
    value.map(|value| value as u64).ok_or_else(|| format!("no {name} in {text}"))
}

async fn cluster() -> Cluster {
    Cluster::start_with(Options { store_config: Some(SETTINGS.to_owned()), ..Options::default() }).await
}

/// The number of a store that does not lead the region of the tests.
async fn follower(cluster: &Cluster) -> usize {
    (cluster.leader_store(b"00000").await + 1) % cluster.len()
}

async fn stop_all_and_compare(cluster: &mut Cluster) {
    for store in 0..cluster.len() {
        assert!(cluster.stop_store(store).await.success(), "store {store}");
    }
    assert!(engine::assert_equal_data(cluster) > 0);
}

/// Snapshots are made and restored by threads that leave the processor to those who work for clients.
#[cfg(target_os = "linux")]
fn assert_workers_give_way(store: u32) {
    let threads = niceness_of_threads(store);
    let of = |part: &str| -> Vec<i32> { threads.iter().filter(|(name, _)| name.contains(part)).map(|t| t.1).collect() };
    let (workers, rafts) = (of("worker-"), of("raft-0"));
    assert!(!workers.is_empty() && !rafts.is_empty(), "{threads:?}");
    assert!(workers.iter().all(|worker| rafts.iter().all(|raft| worker > raft)), "{threads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_away_too_long_catches_up_by_snapshot() {
    let mut cluster = cluster().await;
    let client = cluster.raw_client().await;
    put(&client, 0..200, b"before").await;
    let away = follower(&cluster).await;
    cluster.kill_store(away);
    // More than the log keeps, some of it gone again, and a split.
    put(&client, 0..400, &[b'd'; 10_000]).await;
    client.delete_range(b"00050".to_vec()..b"00100".to_vec()).await.expect("delete");
    let split = std::process::Command::new(env!("CARGO_BIN_EXE_tinykv-ctl"))
        .args(["--scheduler", cluster.scheduler_addr(), "region", "split", "00200"])
        .output();
    assert!(split.expect("run tinykv-ctl").status.success());
    put(&client, 0..400, &[b'e'; 1_000]).await;
    cluster.start_store(away);
    cluster.wait_equal_applied(CATCH_UP_BOUND).await;
    let restored = metric(&cluster, away, "tinykv_raftstore_snapshots_restored_total").await.expect("metrics");
    let created = metric(&cluster, away, "tinykv_raftstore_peers_created_total").await.expect("metrics");
    assert!(restored >= 2 && created >= 1, "{restored} snapshots restored, {created} peers created");
    let received = "tinykv_snapshots_total{direction=\"received\",outcome=\"ok\"}";
    let received = metric(&cluster, away, received).await.expect("metrics");
    let bytes = metric(&cluster, away, "tinykv_snapshot_bytes_total{direction=\"received\"}").await.expect("metrics");
    assert!(received >= 2 && bytes > 300_000, "{received} snapshots of {bytes} bytes received");
    #[cfg(target_os = "linux")]
    assert_workers_give_way(cluster.store_pid(away).expect("it runs"));
    // It serves: another store may go.
    let other = (0..cluster.len()).find(|store| *store != away).expect("three stores");
    cluster.kill_store(other);
    put(&client, 0..50, b"after").await;
    cluster.start_store(other);
    cluster.wait_serving(START_BOUND).await;
    cluster.wait_equal_applied(CATCH_UP_BOUND).await;
    stop_all_and_compare(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_are_killed_again_and_again_while_snapshots_come_catch_up_in_the_end() {
    let mut cluster = cluster().await;
    let client = cluster.raw_client().await;
    put(&client, 0..100, &[b'a'; 20_000]).await;
    let mut restored = 0;
    for round in 0..4_u64 {
        let away = follower(&cluster).await;
        cluster.kill_store(away);
        put(&client, 0..150, &[b'b'; 20_000]).await;
        cluster.start_store(away);
        // Somewhere between the first message and the last write of the restore.
        tokio::time::timeout(Duration::from_millis(200 * round), std::future::pending::<()>()).await.unwrap_err();
        cluster.kill_store(away);
        cluster.start_store(away);
        cluster.wait_equal_applied(CATCH_UP_BOUND).await;
        restored += metric(&cluster, away, "tinykv_raftstore_snapshots_restored_total").await.expect("metrics");
    }
    assert!(restored > 0, "no snapshot was needed");
    let status = wait_until("the files of snapshots to be complete", START_BOUND, || async {
        let files = std::fs::read_dir(cluster.data_dir(0).join("snap")).map_err(|error| error.to_string())?;
        let half = files.flatten().filter(|file| file.file_name().to_string_lossy().ends_with(".tmp")).count();
        if half == 0 { Ok(half) } else { Err(format!("{half} temporary files")) }
    });
    assert_eq!(status.await, 0);
    stop_all_and_compare(&mut cluster).await;
}
