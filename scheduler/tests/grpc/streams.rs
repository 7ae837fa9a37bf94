//! The two streams: timestamps and region heartbeats.

use std::collections::BTreeSet;

use crate::common::*;
use proto::pdpb::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

struct Tso {
    requests: mpsc::Sender<TsoRequest>,
    responses: Streaming<TsoResponse>,
}

impl Tso {
    async fn open(scheduler: &TestScheduler) -> Self {
        let (requests, receiver) = mpsc::channel(64);
        let responses = scheduler.client().await.tso(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Self { requests, responses }
    }

    async fn send(&self, count: u32) {
        self.requests.send(TsoRequest { header: header(), count, ..Default::default() }).await.unwrap();
    }

    async fn receive(&mut self) -> (u32, u64) {
        let response = self.responses.message().await.unwrap().unwrap();
        assert_eq!(response.header.unwrap().cluster_id, CLUSTER_ID);
        let timestamp = response.timestamp.unwrap();
        assert_eq!(timestamp.suffix_bits, 0);
        (response.count, ((timestamp.physical as u64) << 18) | timestamp.logical as u64)
    }

    async fn get(&mut self, count: u32) -> u64 {
        self.send(count).await;
        let (answered, largest) = self.receive().await;
        assert_eq!(answered, count);
        largest
    }
}

#[tokio::test]
async fn one_answer_for_each_request_in_order() {
    let scheduler = TestScheduler::start().await;
    let mut stream = Tso::open(&scheduler).await;
    for count in 1..=50 {
        stream.send(count).await;
    }
    let mut last = 0;
    for count in 1..=50 {
        let (answered, largest) = stream.receive().await;
        assert_eq!(answered, count);
        assert!(largest - u64::from(count) >= last, "the whole batch is new");
        last = largest;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timestamp_comes_twice_over_streams() {
    let scheduler = TestScheduler::start().await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut stream = Tso::open(&scheduler).await;
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            for count in (1..=64).cycle().take(500) {
                let largest = stream.get(count).await;
                mine.extend(largest - u64::from(count) + 1..=largest);
            }
            assert!(mine.is_sorted());
            mine
        }));
    }
    let mut all = BTreeSet::new();
    let mut total = 0;
    for task in tasks {
        let mine = task.await.unwrap();
        total += mine.len();
        all.extend(mine);
    }
    assert_eq!(all.len(), total);
}

#[tokio::test]
async fn timestamps_grow_over_a_restart_with_a_clock_that_went_back() {
    let scheduler = TestScheduler::start().await;
    let before = Tso::open(&scheduler).await.get(10).await;
    scheduler.clock.set(10);
    let scheduler = scheduler.restart().await;
    let after = Tso::open(&scheduler).await.get(10).await;
    assert!(after - 10 >= before);
}

#[tokio::test]
async fn a_bad_request_ends_its_stream_alone() {
    let scheduler = TestScheduler::start().await;
    let mut good = Tso::open(&scheduler).await;
    let mut zero = Tso::open(&scheduler).await;
    zero.send(0).await;
    assert_eq!(zero.responses.message().await.unwrap_err().code(), Code::InvalidArgument);
    let mut foreign = Tso::open(&scheduler).await;
    let header = Some(RequestHeader { cluster_id: 1, ..Default::default() });
    foreign.requests.send(TsoRequest { header, count: 1, ..Default::default() }).await.unwrap();
    let status = foreign.responses.message().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("4242"), "{status}");
    good.get(1).await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_stop() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut stream = Tso::open(&scheduler).await;
    stream.get(1).await;
    scheduler.stop().await;
    assert!(stream.responses.message().await.is_err());
}

#[tokio::test]
async fn region_heartbeats_teach_leaders_and_are_answered() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let (requests, receiver) = mpsc::channel(16);
    let mut answers = client.region_heartbeat(ReceiverStream::new(receiver)).await.unwrap().into_inner();

    let report = RegionHeartbeatRequest { pending_peers: vec![peer(1, 3)], ..heartbeat(region(1, ("", "m"), 2), 2) };
    requests.send(report).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.header.unwrap().error, None);
    assert_eq!((answer.region_id, answer.region_epoch.unwrap().version), (1, 2));
    let lookup = GetRegionRequest { header: header(), region_key: "a".into(), need_buckets: false };
    let found = client.get_region(lookup.clone()).await.unwrap().into_inner();
    assert_eq!(found.leader, Some(peer(1, 2)));
    assert_eq!(found.pending_peers, [peer(1, 3)]);

    // A stale one is refused in the answer's header, and the stream goes on.
    requests.send(heartbeat(region(1, ("", "m"), 1), 1)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(answer.header.unwrap().error.unwrap().message.contains("stale"));
    assert_eq!(answer.region_id, 1);
    requests.send(heartbeat(region(2, ("m", ""), 1), 3)).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().region_id, 2);
    let scan = ScanRegionsRequest { header: header(), ..Default::default() };
    assert_eq!(client.scan_regions(scan).await.unwrap().into_inner().leaders, [peer(1, 2), peer(2, 3)]);

    // After a restart the epoch is known and the leader is not, until the next heartbeat.
    scheduler.engine.write_back();
    let scheduler = scheduler.restart().await;
    let mut client = scheduler.client().await;
    let found = client.get_region(lookup).await.unwrap().into_inner();
    assert_eq!((found.region.unwrap().region_epoch.unwrap().version, found.leader), (2, None));
}

/// Metadata from heartbeats is not synced one by one; the operating system writes it back some time.
trait WriteBack {
    fn write_back(&self);
}

impl WriteBack for storage::MemEngine {
    fn write_back(&self) {
        storage::Engine::sync(self).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_heartbeats_are_all_accepted() {
    let scheduler = TestScheduler::bootstrapped().await;
    let regions: Vec<_> = (0..300u64)
        .map(|at| {
            let key = |at: u64| if at == 0 || at == 300 { String::new() } else { format!("{at:04}") };
            region(10 + at, (&key(at), &key(at + 1)), 2)
        })
        .collect();
    let mut tasks = Vec::new();
    for store_id in 1..=3u64 {
        let mut client = scheduler.client().await;
        let mine: Vec<_> = regions.iter().filter(|region| region.id % 3 == store_id - 1).cloned().collect();
        tasks.push(tokio::spawn(async move {
            let (requests, receiver) = mpsc::channel(64);
            let mut answers = client.region_heartbeat(ReceiverStream::new(receiver)).await.unwrap().into_inner();
            let count = mine.len() * 7;
            let sending = tokio::spawn(async move {
                for round in 0..7 {
                    for region in &mine {
                        let report = RegionHeartbeatRequest { term: round + 1, ..heartbeat(region.clone(), store_id) };
                        requests.send(report).await.unwrap();
                    }
                }
                requests
            });
            for _ in 0..count {
                assert_eq!(answers.message().await.unwrap().unwrap().header.unwrap().error, None);
            }
            drop(sending.await.unwrap());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let found = scheduler.scheduler_client().await.scan_regions(b"", b"", 0).await.unwrap();
    assert_eq!(found.iter().map(|region| region.region.clone().unwrap()).collect::<Vec<_>>(), regions);
    assert!(found.iter().all(|region| region.leader.is_some()));
}
