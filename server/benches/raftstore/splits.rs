//! Regions are split under the load of an official client: does anybody get an error, and how long do writes wait?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use proto::kvrpcpb::SplitRegionRequest;
use tikv_client::RawClient;

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, rpc};
use crate::report::{Goal, Report};

const CLIENTS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(3);
/// Time between two splits, so that each is seen by itself.
const BETWEEN: Duration = Duration::from_millis(400);
const SPLIT_BOUND: Duration = Duration::from_secs(30);

/// One put: when it was sent and answered.
struct Put {
    sent: Instant,
    answered: Instant,
}

/// Measures with `count` splits.
pub async fn run(report: &mut Report, data: &Path, count: usize) {
    let mut cluster = Cluster::start_with(Options { parent: Some(data.to_path_buf()), ..Options::default() }).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(tokio::spawn(put_until(cluster.raw_client().await, number as u64, stop.clone())));
    }
    tokio::time::sleep(WARM_UP).await;
    let begun = Instant::now();
    let mut windows = Vec::new();
    for number in 0..count {
        let started = Instant::now();
        split(&cluster, &key((number as u64 + 1) * KEYS / (count as u64 + 1))).await;
        tokio::time::sleep(BETWEEN / 2).await;
        windows.push((started, Instant::now()));
        tokio::time::sleep(BETWEEN / 2).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut puts, mut errors) = (Vec::new(), 0);
    for client in clients {
        let (of_client, errors_of_client) = client.await.expect("a client");
        puts.extend(of_client);
        errors += errors_of_client;
    }
    cluster.assert_running();
    puts.retain(|put| put.answered > begun);
    // The longest wait of any put that was under way during a split.
    let pause = |window: &(Instant, Instant)| {
        let touched = puts.iter().filter(|put| put.sent < window.1 && put.answered > window.0);
        touched.map(|put| put.answered - put.sent).max().unwrap_or_default()
    };
    let pauses = histogram(windows.iter().map(pause));
    let aside = puts.iter().filter(|put| windows.iter().all(|window| put.sent > window.1 || put.answered < window.0));
    let aside = histogram(aside.map(|put| put.answered - put.sent));
    let millis = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    report.push(
        &format!("client errors in {count} splits and {} puts", puts.len()),
        errors as f64,
        "",
        Goal::AtMost(0.0),
    );
    report.push("longest wait of a write in a split, median", millis(&pauses, 0.5), "ms", Goal::None);
    report.push("longest wait of a write in a split, p99", millis(&pauses, 0.99), "ms", Goal::AtMost(50.0));
    report.push("write beside the splits, p50", millis(&aside, 0.5), "ms", Goal::None);
    report.push("write beside the splits, p99", millis(&aside, 0.99), "ms", Goal::None);
    report.push("write beside the splits, longest", millis(&aside, 1.0), "ms", Goal::None);
}

/// Keys that are written, evenly over all of them.
const KEYS: u64 = 0x1_0000;

/// Keys differ in their first eight bytes, or they could not be split apart.
fn key(number: u64) -> Vec<u8> {
    format!("{number:05x}").into_bytes()
}

async fn put_until(client: RawClient, seed: u64, stop: Arc<AtomicBool>) -> (Vec<Put>, u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let (mut puts, mut errors) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sent = Instant::now();
        match client.put(key((random >> 33) % KEYS), vec![b'v'; 128]).await {
            Ok(()) => puts.push(Put { sent, answered: Instant::now() }),
            Err(error) => {
                errors += 1;
                eprintln!("put: {error}");
            }
        }
    }
    (puts, errors)
}

async fn split(cluster: &Cluster, at: &[u8]) {
    wait_until("a split", SPLIT_BOUND, || async {
        let located = cluster.locate(at).await;
        let split_keys = vec![at.to_vec().into()];
        let request =
            SplitRegionRequest { context: Some(located.context()), split_keys, is_raw_kv: true, ..Default::default() };
        let mut store = rpc::store_client(&located.address).await?;
        let answer = store.split_region(request).await.map_err(|status| status.to_string())?.into_inner();
        match answer.region_error {
            Some(error) => Err(format!("{error:?}")),
            None => Ok(()),
        }
    })
    .await;
}

fn histogram(waits: impl Iterator<Item = Duration>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("invariant: the bounds are valid");
    waits.for_each(|wait| histogram.saturating_record(wait.as_micros().max(1) as u64));
    histogram
}
