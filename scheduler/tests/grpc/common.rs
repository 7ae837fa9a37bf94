//! A scheduler inside the test process, on a free port, over an engine in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::metapb::{Peer, Region, RegionEpoch, Store};
use proto::pdpb::pd_client::PdClient;
use proto::pdpb::{RegionHeartbeatRequest, RequestHeader};
use scheduler::shell::clock::Clock;
use scheduler::shell::{Identity, ServeOptions, bind, serve};
use scheduler::state::Options;
use slog::{Discard, Logger, o};
use storage::MemEngine;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub const CLUSTER_ID: u64 = 4242;

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub fn at(now_ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_ms)))
    }

    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct TestScheduler {
    pub address: String,
    pub engine: MemEngine,
    pub clock: HandClock,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

pub fn logger() -> Logger {
    Logger::root(Discard, o!())
}

impl TestScheduler {
    pub async fn start() -> Self {
        Self::start_on(MemEngine::new(), HandClock::at(1_000_000), "127.0.0.1:0").await
    }

    pub async fn start_on(engine: MemEngine, clock: HandClock, address: &str) -> Self {
        let listener = bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions {
            identity: Identity { name: "test".into(), advertise_addr: address.clone() },
            state: Options { new_cluster_id: Some(CLUSTER_ID), max_peer_count: 3 },
            clock: Arc::new(clock.clone()),
        };
        let shutdown = async move {
            let _dropped = stopped.await;
        };
        let task_engine = engine.clone();
        let serving = tokio::spawn(async move {
            serve(task_engine, options, listener, logger(), |_| Ok(()), shutdown).await.unwrap();
        });
        Self { address, engine, clock, stop, serving }
    }

    pub async fn stop(self) -> (MemEngine, HandClock, String) {
        drop(self.stop);
        self.serving.await.unwrap();
        (self.engine, self.clock, self.address)
    }

    /// Stops it and starts another one on what a crash without any luck would have left, on the same port.
    pub async fn restart(self) -> Self {
        let (engine, clock, address) = self.stop().await;
        Self::start_on(engine.crash(0), clock, &address).await
    }

    pub async fn client(&self) -> PdClient<Channel> {
        PdClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    pub async fn scheduler_client(&self) -> client::SchedulerClient {
        client::SchedulerClient::connect(vec![self.address.clone()], logger()).await.unwrap()
    }

    /// With three stores and the first two regions, [.., m) and [m, ..).
    pub async fn bootstrapped() -> Self {
        let scheduler = Self::start().await;
        let client = scheduler.scheduler_client().await;
        for id in 1..=3 {
            client.put_store(store(id)).await.unwrap();
        }
        client.bootstrap(store(1), first_regions()).await.unwrap();
        scheduler
    }
}

pub fn header() -> Option<RequestHeader> {
    Some(RequestHeader { cluster_id: CLUSTER_ID, ..Default::default() })
}

pub fn store(id: u64) -> Store {
    Store { id, address: format!("127.0.0.1:{}", 20000 + id), version: "7.5.0".into(), ..Default::default() }
}

pub fn region(id: u64, range: (&str, &str), version: u64) -> Region {
    Region {
        id,
        start_key: range.0.to_owned().into(),
        end_key: range.1.to_owned().into(),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version }),
        peers: (1..=3).map(|store_id| peer(id, store_id)).collect(),
        ..Default::default()
    }
}

pub fn peer(region_id: u64, store_id: u64) -> Peer {
    Peer { id: region_id * 10 + store_id, store_id, ..Default::default() }
}

pub fn first_regions() -> Vec<Region> {
    vec![region(1, ("", "m"), 1), region(2, ("m", ""), 1)]
}

/// A heartbeat of the region's leader on that store.
pub fn heartbeat(meta: Region, store_id: u64) -> RegionHeartbeatRequest {
    let leader = Some(peer(meta.id, store_id));
    RegionHeartbeatRequest { header: header(), region: Some(meta), leader, ..Default::default() }
}
