//! A cluster of real processes goes on: after the loss of a leader, after an orderly stop, without its scheduler.
//!
//! The bounds are generous because these are tests, not measurements; the times are printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::wait::{wait_true, wait_until};
use crate::cluster::{Cluster, START_BOUND};
use tikv_client::RawClient;

const RECOVERY_BOUND: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn writes_succeed_again_after_the_leader_is_killed() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    for round in 0..3 {
        let key = format!("availability/{round}").into_bytes();
        client.put(key.clone(), b"before".to_vec()).await.expect("put");
        let leader = cluster.leader_store(&key).await;
        let killed = Instant::now();
        cluster.kill_store(leader);
        wait_until("a write to succeed without the old leader", RECOVERY_BOUND, || async {
            client.put(key.clone(), b"after".to_vec()).await.map_err(|error| error.to_string())
        })
        .await;
        eprintln!("round {round}: writes succeed again {:?} after SIGKILL of the leader", killed.elapsed());
        assert_eq!(client.get(key).await.expect("get"), Some(b"after".to_vec()));
        cluster.start_store(leader);
        cluster.wait_serving(START_BOUND).await;
        cluster.wait_equal_applied(START_BOUND).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_keeps_data_and_exits_with_0() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    for n in 0..500u32 {
        client.put(format!("stop/{n:04}").into_bytes(), n.to_be_bytes().to_vec()).await.expect("put");
    }
    for store in 0..cluster.len() {
        let started = Instant::now();
        let status = cluster.stop_store(store).await;
        assert!(status.success(), "store {store}: {status}");
        eprintln!("store {store} stopped in {:?}", started.elapsed());
    }
    let status = cluster.stop_scheduler().await;
    assert!(status.success(), "scheduler: {status}");

    let started = Instant::now();
    cluster.start_scheduler().await;
    for store in 0..cluster.len() {
        cluster.start_store(store);
    }
    cluster.wait_serving(START_BOUND).await;
    eprintln!("the whole cluster serves again after {:?}", started.elapsed());
    let client = cluster.raw_client().await;
    let found = client.scan(b"stop/".to_vec()..b"stop0".to_vec(), 1000).await.expect("scan");
    assert_eq!(found.len(), 500);
    for (n, pair) in found.iter().enumerate() {
        assert_eq!(pair.value(), &(n as u32).to_be_bytes().to_vec());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_the_scheduler_is_away() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    client.put(b"scheduler/0".to_vec(), b"0".to_vec()).await.expect("put, which fills the client's region cache");
    let id = crate::cluster::rpc::cluster_id(cluster.scheduler_addr()).await.expect("cluster id");

    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write_until(client.clone(), stop.clone(), written.clone()));
    let more = |count: u64| {
        let (written, from) = (written.clone(), written.load(Ordering::SeqCst));
        async move {
            let what = format!("{count} more writes after {from}");
            wait_true(&what, RECOVERY_BOUND, || written.load(Ordering::SeqCst) >= from + count).await;
        }
    };
    more(100).await;
    cluster.kill_scheduler();
    more(300).await;
    cluster.start_scheduler().await;
    more(300).await;
    assert_eq!(crate::cluster::rpc::cluster_id(cluster.scheduler_addr()).await, Ok(id), "the cluster keeps its id");
    cluster.wait_serving(START_BOUND).await;
    stop.store(true, Ordering::SeqCst);
    writer.await.expect("no write may fail while the scheduler is away");
    let late = cluster.raw_client().await;
    let total = written.load(Ordering::SeqCst);
    for n in [1, total / 2, total] {
        let found = late.get(format!("scheduler/{n}").into_bytes()).await.expect("get");
        assert_eq!(found, Some(n.to_string().into_bytes()));
    }
}

/// Writes one key after the other until told to stop; counts what was acknowledged.
async fn write_until(client: RawClient, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut n = 0u64;
    while !stop.load(Ordering::SeqCst) {
        n += 1;
        client.put(format!("scheduler/{n}").into_bytes(), n.to_string().into_bytes()).await.expect("put");
        written.store(n, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_down_means_no_writes_and_one_back_means_writes() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    client.put(b"quorum/a".to_vec(), b"1".to_vec()).await.expect("put");
    let leader = cluster.leader_store(b"quorum/").await;
    let (first, second) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill_store(first);
    cluster.kill_store(second);
    let lonely = tokio::time::timeout(Duration::from_secs(3), client.put(b"quorum/b".to_vec(), b"2".to_vec())).await;
    assert!(!matches!(lonely, Ok(Ok(()))), "one store of three acknowledged a write");
    cluster.start_store(first);
    wait_until("a write to succeed with two stores", RECOVERY_BOUND, || async {
        client.put(b"quorum/c".to_vec(), b"3".to_vec()).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(client.get(b"quorum/a".to_vec()).await.expect("get"), Some(b"1".to_vec()));
}
