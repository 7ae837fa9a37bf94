//! `client::SchedulerClient` against a running scheduler.

use std::time::Duration;

use crate::common::*;
use client::{Error, SchedulerClient};
use proto::pdpb::StoreStats;

#[tokio::test]
async fn every_call_reaches_the_scheduler() {
    let scheduler = TestScheduler::start().await;
    let client = scheduler.scheduler_client().await;
    assert_eq!(client.cluster_id(), CLUSTER_ID);
    assert_eq!(client.alloc_id().await.unwrap(), 1);
    assert_eq!(client.alloc_ids(3).await.unwrap(), 2..=4);
    assert!(!client.is_bootstrapped().await.unwrap());
    assert!(matches!(client.scan_regions(b"", b"", 0).await, Err(Error::NotBootstrapped { .. })));
    for id in 1..=3 {
        client.put_store(store(id)).await.unwrap();
    }
    assert_eq!(client.get_all_stores().await.unwrap().len(), 3);
    assert_eq!(client.get_store(2).await.unwrap().address, store(2).address);
    assert!(matches!(client.get_store(9).await, Err(Error::StoreNotFound { store_id: 9, .. })));
    assert_eq!(client.get_cluster_config().await.unwrap().max_peer_count, 3);

    client.bootstrap(store(1), first_regions()).await.unwrap();
    assert!(matches!(client.bootstrap(store(2), first_regions()).await, Err(Error::AlreadyBootstrapped { .. })));
    assert!(client.is_bootstrapped().await.unwrap());
    let regions = client.scan_regions(b"", b"", 0).await.unwrap();
    assert_eq!(regions.iter().map(|region| region.region.clone().unwrap()).collect::<Vec<_>>(), first_regions());
    assert_eq!(client.get_region(b"z").await.unwrap().unwrap().region.unwrap().id, 2);
    assert_eq!(client.get_region_by_id(1).await.unwrap().unwrap().region.unwrap().id, 1);
    assert!(client.get_region_by_id(99).await.unwrap().is_none());
    client.store_heartbeat(StoreStats { store_id: 1, ..Default::default() }).await.unwrap();
    let ids = client.ask_batch_split(first_regions().remove(0), 1).await.unwrap();
    assert_eq!((ids.len(), ids[0].new_peer_ids.len()), (1, 3));
    assert_eq!(client.get_gc_safe_point().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_of_concurrent_callers_are_all_different() {
    let scheduler = TestScheduler::start().await;
    let client = scheduler.scheduler_client().await;
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            for count in [1, 5, 1, 30] {
                let largest = client.tso(count).await.unwrap();
                mine.extend((0..i64::from(count)).map(|back| (largest.physical, largest.logical - back)));
            }
            mine
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let total = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), total);
}

#[tokio::test]
async fn calls_ride_out_a_restart() {
    let scheduler = TestScheduler::bootstrapped().await;
    let client = scheduler.scheduler_client().await;
    let before = client.tso(1).await.unwrap();
    let (engine, clock, address) = scheduler.stop().await;
    let pending = tokio::spawn({
        let client = client.clone();
        async move { (client.get_all_stores().await, client.tso(1).await) }
    });
    tokio::task::yield_now().await;
    let _scheduler = TestScheduler::start_on(engine.crash(0), clock, &address).await;
    let (stores, after) = pending.await.unwrap();
    assert_eq!(stores.unwrap().len(), 3);
    let after = after.unwrap();
    assert!((after.physical, after.logical) > (before.physical, before.logical));
}

#[tokio::test]
async fn a_restarted_scheduler_learns_the_leaders_at_once() {
    let scheduler = TestScheduler::bootstrapped().await;
    let client = scheduler.scheduler_client().await;
    let (heartbeats, mut answers) = client.region_heartbeats();
    let mut connections = heartbeats.connections();
    // The client fills in the header.
    let report = || proto::pdpb::RegionHeartbeatRequest { header: None, ..heartbeat(region(1, ("", "m"), 1), 1) };
    assert!(heartbeats.send(report()));
    assert_eq!(answers.recv().await.unwrap().region_id, 1);
    assert_eq!(client.get_region(b"a").await.unwrap().unwrap().leader, Some(peer(1, 1)));
    assert_eq!(*connections.borrow_and_update(), 1);

    let scheduler = scheduler.restart().await;
    connections.changed().await.unwrap();
    // What was reported before is reported again without anybody asking: the new process knows no leaders.
    assert_eq!(answers.recv().await.unwrap().region_id, 1);
    assert_eq!(client.get_region(b"a").await.unwrap().unwrap().leader, Some(peer(1, 1)));

    // With the last sender gone the task ends, and with it the answers.
    drop(heartbeats);
    assert!(answers.recv().await.is_none());
    drop(scheduler);
}

#[tokio::test]
async fn a_client_does_not_follow_to_another_cluster() {
    let scheduler = TestScheduler::start().await;
    let client = scheduler.scheduler_client().await;
    let (_, clock, address) = scheduler.stop().await;
    let engine = storage::MemEngine::new();
    let other = scheduler::state::Options { new_cluster_id: Some(5), max_peer_count: 3 };
    scheduler::state::Cluster::open(engine.clone(), other).unwrap();
    let _other = TestScheduler::start_on(engine, clock, &address).await;
    let error = client.alloc_id().await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("4242"), "{error}");
}

#[tokio::test]
async fn wrong_addresses_are_told_apart() {
    let connect = |address: String| SchedulerClient::connect(vec![address], logger());
    assert!(matches!(SchedulerClient::connect(vec![], logger()).await, Err(Error::NoEndpoint)));
    assert!(matches!(connect("localhost".into()).await, Err(Error::BadEndpoint { .. })));

    // A gRPC server that is no scheduler.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming);
    let serving = tokio::spawn(server);
    let error = connect(address.clone()).await.err().unwrap();
    assert!(matches!(&error, Error::NotAScheduler { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    serving.abort();

    // The second endpoint is as good as the first.
    let scheduler = TestScheduler::start().await;
    let endpoints = vec!["127.0.0.1:1".into(), format!("http://{}/", scheduler.address)];
    SchedulerClient::connect(endpoints, logger()).await.unwrap();
}

#[tokio::test]
async fn a_client_may_come_before_its_scheduler() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let waiting = SchedulerClient::connect_within(vec![address.clone()], Duration::from_secs(20), logger());
    let waiting = tokio::spawn(waiting);
    tokio::task::yield_now().await;
    let _scheduler = TestScheduler::start_on(storage::MemEngine::new(), HandClock::at(1_000_000), &address).await;
    assert_eq!(waiting.await.unwrap().unwrap().cluster_id(), CLUSTER_ID);
}
