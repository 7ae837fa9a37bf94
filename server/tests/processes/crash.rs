//! Real processes, real disks, SIGKILL: nothing that was acknowledged may be lost, and the stores must agree.
//!
//! `TINYKV_CRASH_ROUNDS` sets the number of rounds (5 by default). A round kills the leader (every other round), a follower, or
//! (every fifth round) all stores at once, waits until writes succeed again, and starts what it killed. At the end every
//! acknowledged write is read back, the stores are stopped, and their engines are compared key by key.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, START_BOUND, engine};
use crate::workload::shared::SharedWrites;
use crate::workload::{Progress, Record, Writer};
use tikv_client::{Key, KvPair, RawClient};
use tokio::task::JoinHandle;

const WRITERS: usize = 8;
const DEFAULT_ROUNDS: usize = 5;
/// Writes that must be acknowledged after a kill, and again after the restart, before the round goes on.
const WRITES_PER_PHASE: u64 = 100;
/// How long writes may be away after a kill.
const RECOVERY_BOUND: Duration = Duration::from_secs(30);
/// Keys in one batch of the final check.
const CHECK_BATCH: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_stores_are_killed() {
    let rounds = rounds();
    let mut cluster = Cluster::start().await;
    let progress = Arc::new(Progress::default());
    let writers = start_writers(&cluster, &progress).await;
    wait_writes(&progress, &writers, WRITES_PER_PHASE, "before the first round").await;
    for round in 0..rounds {
        one_round(&mut cluster, &progress, &writers, round).await;
    }
    progress.stop.store(true, Ordering::SeqCst);
    let mut records = Vec::new();
    for writer in writers {
        records.push(writer.await.expect("a writer found a contradiction"));
    }
    check_everything(&cluster, records).await;
    compare_stores(&mut cluster).await;
}

fn rounds() -> usize {
    let text = std::env::var("TINYKV_CRASH_ROUNDS").unwrap_or_default();
    if text.is_empty() { DEFAULT_ROUNDS } else { text.parse().expect("TINYKV_CRASH_ROUNDS must be a number") }
}

async fn start_writers(cluster: &Cluster, progress: &Arc<Progress>) -> Vec<JoinHandle<Record>> {
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let client = cluster.raw_client().await;
        let writer = Writer::new(number, cluster.scheduler_addr(), client, progress.clone());
        writers.push(tokio::spawn(writer.run()));
    }
    writers
}

/// Kills, waits for writes, restarts, waits until all serve; prints one line.
async fn one_round(cluster: &mut Cluster, progress: &Progress, writers: &[JoinHandle<Record>], round: usize) {
    let leader = cluster.leader_store(b"crash/").await;
    let follower = (leader + 1 + (round / 2) % 2) % cluster.len();
    let (victims, what) = match round {
        _ if round % 5 == 4 => ((0..cluster.len()).collect(), "all stores".to_owned()),
        _ if round.is_multiple_of(2) => (vec![leader], format!("leader store {leader}")),
        _ => (vec![follower], format!("follower store {follower}")),
    };
    let started = Instant::now();
    victims.iter().for_each(|&victim| cluster.kill_store(victim));
    if victims.len() < cluster.len() {
        wait_writes(progress, writers, WRITES_PER_PHASE, "after the kill").await;
    } else {
        victims.iter().for_each(|&victim| cluster.start_store(victim));
        wait_writes(progress, writers, WRITES_PER_PHASE, "after all stores came back").await;
    }
    let recovered = started.elapsed();
    victims.iter().for_each(|&victim| {
        if !cluster.is_started(victim) {
            cluster.start_store(victim);
        }
    });
    cluster.wait_serving(START_BOUND).await;
    // Two of three rounds kill next only after the victim has caught up; the others while it may still be behind.
    if round % 3 != 2 {
        wait_caught_up(cluster).await;
    }
    wait_writes(progress, writers, WRITES_PER_PHASE, "after the restart").await;
    eprintln!(
        "round {round}: killed {what}; {WRITES_PER_PHASE} writes within {recovered:.1?}; {} acknowledged, {} unknown, {} reads",
        progress.acknowledged.load(Ordering::SeqCst),
        progress.unknown.load(Ordering::SeqCst),
        progress.reads.load(Ordering::SeqCst),
    );
}

/// Waits for `count` more acknowledged writes. A writer that has ended has found a contradiction.
async fn wait_writes(progress: &Progress, writers: &[JoinHandle<Record>], count: u64, when: &str) {
    let goal = progress.acknowledged.load(Ordering::SeqCst) + count;
    wait_until(&format!("{count} more writes {when}"), RECOVERY_BOUND, || async {
        assert!(writers.iter().all(|writer| !writer.is_finished()), "a writer ended: see its panic above");
        let now = progress.acknowledged.load(Ordering::SeqCst);
        if now >= goal { Ok(()) } else { Err(format!("{} are missing", goal - now)) }
    })
    .await;
}

/// Waits until every store has applied all that any store had committed when this was called.
async fn wait_caught_up(cluster: &Cluster) {
    let mut goals = std::collections::BTreeMap::new();
    for store in 0..cluster.len() {
        let positions = wait_until("a status answer", START_BOUND, || {
            crate::cluster::status::positions(cluster.status_addr(store))
        });
        for (region, position) in positions.await {
            let goal = goals.entry(region).or_insert(0);
            *goal = position.commit.max(*goal);
        }
    }
    for store in 0..cluster.len() {
        let address = cluster.status_addr(store);
        wait_until(&format!("store {store} to catch up"), START_BOUND, || async {
            let positions = crate::cluster::status::positions(address).await?;
            match goals.iter().find(|(region, goal)| positions.get(region).is_none_or(|at| at.applied < **goal)) {
                None => Ok(()),
                Some((region, goal)) => Err(format!("region {region}: {:?} of {goal}", positions.get(region))),
            }
        })
        .await;
    }
}

async fn check_everything(cluster: &Cluster, records: Vec<Record>) {
    let client = cluster.raw_client().await;
    let mut complaints = Vec::new();
    let mut shared = SharedWrites::default();
    let mut checked = 0;
    for record in records {
        for keys in record.own.keys().chunks(CHECK_BATCH) {
            checked += keys.len();
            let found = read_all(&client, keys).await;
            complaints.extend(keys.iter().filter_map(|key| record.own.complaint(key, found.get(key))));
        }
        shared.merge(record.shared);
    }
    let keys = shared.keys();
    checked += keys.len();
    let found = read_all(&client, &keys).await;
    complaints.extend(keys.iter().filter_map(|key| shared.complaint(key, found.get(key))));
    assert!(complaints.is_empty(), "{} of {checked} keys are wrong:\n{}", complaints.len(), complaints.join("\n"));
    eprintln!("{checked} keys checked: every acknowledged write is there");
}

async fn read_all(client: &RawClient, keys: &[Vec<u8>]) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let found = wait_until("the final read", RECOVERY_BOUND, || async {
        let keys: Vec<Key> = keys.iter().cloned().map(Key::from).collect();
        client.batch_get(keys).await.map_err(|error| error.to_string())
    })
    .await;
    found.into_iter().map(|KvPair(key, value)| (key.into(), value)).collect()
}

async fn compare_stores(cluster: &mut Cluster) {
    cluster.wait_equal_applied(START_BOUND).await;
    for store in 0..cluster.len() {
        let status = cluster.stop_store(store).await;
        assert!(status.success(), "store {store} ended with {status} after SIGTERM");
    }
    let compared = engine::assert_equal_data(cluster);
    assert!(compared > 0, "the engines hold nothing");
    eprintln!("{compared} keys compared: the engines are equal");
}
