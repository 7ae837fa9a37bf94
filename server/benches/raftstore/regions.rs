//! A thousand regions on three stores of one machine: what they cost while nobody uses them, and how long a store takes to start.

use std::path::Path;
use std::time::{Duration, Instant};

use proto::kvrpcpb::SplitRegionRequest;

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, START_BOUND, process, rpc, status};
use crate::report::{Goal, Report};

/// How long the cluster is left alone before it is measured, and how long processor time is counted.
const IDLE: Duration = Duration::from_secs(10);
const SPLIT_BOUND: Duration = Duration::from_secs(180);
/// New regions that one request asks for.
const KEYS_AT_ONCE: usize = 100;

/// Measures with `count` regions.
pub async fn run(report: &mut Report, data: &Path, count: usize) {
    let mut cluster = Cluster::start_with(Options { parent: Some(data.to_path_buf()), ..Options::default() }).await;
    tokio::time::sleep(IDLE).await;
    let first = cluster.regions().await.len();
    let (memory_before, cpu_before) = (resident(&cluster), idle_cpu(&cluster).await);
    report.push(&format!("idle processor time of a store, {first} regions"), cpu_before, "% of a core", Goal::None);

    let started = Instant::now();
    split_into(&cluster, count).await;
    report.push(&format!("from {first} to {count} regions"), started.elapsed().as_secs_f64(), "s", Goal::None);
    // A walk over each new region, its first log compaction, and its report to the scheduler are no idle time.
    tokio::time::sleep(IDLE * 2).await;
    let cpu = idle_cpu(&cluster).await;
    report.push(&format!("idle processor time of a store, {count} regions"), cpu, "% of a core", Goal::None);
    let per_region = (resident(&cluster) - memory_before) / (count - first) as f64;
    report.push("memory of a region in a store", per_region, "KiB", Goal::AtMost(30.0));

    assert!(cluster.stop_store(0).await.success(), "store 0 did not stop in good order");
    let started = Instant::now();
    cluster.start_store(0);
    let address = cluster.status_addr(0).to_owned();
    wait_until("the store to have all its regions", START_BOUND, || {
        let address = address.clone();
        async move {
            let regions = status::positions(&address).await?.len();
            if regions >= count { Ok(()) } else { Err(format!("{regions} regions")) }
        }
    })
    .await;
    report.push(
        &format!("start-up of a store with {count} regions"),
        started.elapsed().as_secs_f64(),
        "s",
        Goal::AtMost(2.0),
    );
    cluster.assert_running();
}

/// Splits until there are `count` regions, each with a leader.
async fn split_into(cluster: &Cluster, count: usize) {
    let missing = count - cluster.regions().await.len();
    // Raw keys that share their first eight bytes cannot be split apart.
    let keys: Vec<String> = (0..missing).map(|number| format!("{number:06}")).collect();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        wait_until("a split", SPLIT_BOUND, || async {
            let located = cluster.locate(keys[0].as_bytes()).await;
            let split_keys = keys.iter().map(|key| key.clone().into()).collect();
            let request = SplitRegionRequest {
                context: Some(located.context()),
                split_keys,
                is_raw_kv: true,
                ..Default::default()
            };
            let mut store = rpc::store_client(&located.address).await?;
            let answer = store.split_region(request).await.map_err(|status| status.to_string())?.into_inner();
            match answer.region_error {
                Some(error) => Err(format!("{error:?}")),
                None => Ok(()),
            }
        })
        .await;
    }
    wait_until("all regions to have leaders", SPLIT_BOUND, || async {
        let regions = cluster.regions().await;
        let led = regions.iter().filter(|(_, leader)| leader.is_some_and(|leader| leader.id != 0)).count();
        if led == count { Ok(()) } else { Err(format!("{led} of {} regions have a leader", regions.len())) }
    })
    .await;
}

/// Resident memory of a store, in KiB, on average.
fn resident(cluster: &Cluster) -> f64 {
    let pids = (0..cluster.len()).filter_map(|store| cluster.store_pid(store));
    let sizes: Vec<u64> = pids.map(|pid| process::resident_kib(pid).unwrap_or_default()).collect();
    sizes.iter().sum::<u64>() as f64 / sizes.len() as f64
}

/// Processor time that a store takes while nobody asks it anything, in percent of a core, on average.
async fn idle_cpu(cluster: &Cluster) -> f64 {
    let ticks = || -> u64 {
        let pids = (0..cluster.len()).filter_map(|store| cluster.store_pid(store));
        pids.map(|pid| process::cpu_ticks(pid).unwrap_or_default()).sum()
    };
    let before = ticks();
    tokio::time::sleep(IDLE).await;
    // A tick is 1/100 s, so ticks in a second are percent.
    (ticks() - before) as f64 / IDLE.as_secs_f64() / cluster.len() as f64
}
