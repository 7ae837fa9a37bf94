//! A large region gets a peer on a store that has none: how fast its snapshot moves, and what clients notice of it.
//!
//! Four stores, three replicas, one region of `BYTES` bytes that do not compress. Time runs from the order at the scheduler until the new
//! peer has applied what the leader had applied when the order was given. All settings are the defaults (the rate of snapshots, too),
//! but for those that keep the region in one piece.
//!
//! The peer is added and removed several times, and the median counts: in the ten seconds of one move a single hiccup of the machine
//! decides over a percentile.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use proto::kvrpcpb::SplitRegionRequest;
use tikv_client::RawClient;
use tokio::sync::watch;

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, rpc, status};
use crate::report::{Goal, Report};

const SETTINGS: &str = "[raftstore]\n\
    region-max-size = \"64GiB\"\nregion-split-size = \"64GiB\"\nregion-max-keys = 1000000000\nregion-split-keys = 1000000000\n";
/// Keys of the large region sort before this one, those of the other region behind it.
const BORDER: &str = "m";
const VALUE_BYTES: usize = 1024;
/// Pairs of one request, and requests at a time, while the region is filled.
const PAIRS_AT_ONCE: usize = 512;
const FILLING: usize = 8;
const CLIENTS: usize = 4;
/// Each client has a put due so often.
const PACE: Duration = Duration::from_millis(10);
const WARM_UP: Duration = Duration::from_secs(3);
const BEFORE: Duration = Duration::from_secs(15);
const ROUNDS: usize = 3;
const CTL: &str = env!("CARGO_BIN_EXE_tinykv-ctl");
/// The stores have written out and merged what they were given when they write less than this in a second.
const QUIET_BYTES: u64 = 1 << 20;
const QUIET: Duration = Duration::from_secs(3);
const BOUND: Duration = Duration::from_secs(300);

/// Measures with a region of `bytes` bytes.
pub async fn run(report: &mut Report, data: &Path, bytes: u64) {
    let disk = disk_speed(data, bytes);
    report.push("the disk: a plain write of as much, and a sync", disk, "MB/s", Goal::None);
    let settings = Some(SETTINGS.to_owned());
    let options = Options { stores: 4, store_config: settings, parent: Some(data.to_path_buf()) };
    let mut cluster = Cluster::start_with(options).await;
    split(&cluster).await;
    let filled = Instant::now();
    let bytes = fill(&cluster, bytes).await;
    report.push(
        "filling the region through the log",
        megabytes(bytes) / filled.elapsed().as_secs_f64(),
        "MB/s",
        Goal::None,
    );
    let (region, to) = (cluster.locate(b"bulk/").await.region.id, empty_store(&cluster).await);
    // The first start of the program reads it from the disk, which the clients would notice.
    let ctl = Command::new(CTL).arg("--version").stdout(Stdio::null()).status().expect("run tinykv-ctl");
    assert!(ctl.success(), "{ctl}");
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        if number > 0 {
            control(&cluster, "remove-peer", region, to.id).await;
        }
        wait_quiet(&cluster).await;
        rounds.push(round(&cluster, region, &to).await);
        cluster.assert_running();
    }
    report_rounds(report, bytes, disk, &rounds);
}

/// What one move took, and what clients saw.
struct RoundOutcome {
    seconds: f64,
    /// The part of that time in which bytes moved between the stores.
    transfer: f64,
    before: Histogram<u64>,
    during: Histogram<u64>,
    errors: u64,
}

async fn round(cluster: &Cluster, region: u64, to: &EmptyStore) -> RoundOutcome {
    let transfers = || metric(cluster, to.number, "tinykv_snapshot_duration_seconds_sum{direction=\"received\"}");
    let transfers_before = transfers().await.unwrap_or_default();
    let clients = Clients::start(cluster).await;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    tokio::time::sleep(BEFORE).await;
    let ordered = Instant::now();
    add_peer(cluster, region, to).await;
    let ended = Instant::now();
    let (puts, errors) = clients.stop(ended).await;
    RoundOutcome {
        seconds: (ended - ordered).as_secs_f64(),
        transfer: transfers().await.expect("a snapshot was received") - transfers_before,
        before: histogram(&puts, began, ordered),
        during: histogram(&puts, ordered, ended),
        errors,
    }
}

fn report_rounds(report: &mut Report, bytes: u64, disk: f64, rounds: &[RoundOutcome]) {
    let seconds = sorted(rounds, |round| round.seconds);
    let transfer = rounds.iter().map(|round| round.transfer).sum::<f64>() / rounds.len() as f64;
    report.push("from the order until the new peer has the region, median", middle(&seconds), "s", Goal::None);
    report.push(
        "from the order until the new peer has the region, slowest",
        seconds[seconds.len() - 1],
        "s",
        Goal::None,
    );
    report.push("of that time, on the way between the stores, mean", transfer, "s", Goal::None);
    let speed = megabytes(bytes) / middle(&seconds);
    report.push("a snapshot moves at, median", speed, "MB/s", Goal::AtLeast(disk.min(100.0)));
    let millis = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    for (number, RoundOutcome { before, during, .. }) in rounds.iter().enumerate() {
        let mut push =
            |what: &str, value| report.push(&format!("round {}: {what}", number + 1), value, "ms", Goal::None);
        push(&format!("put before, p50 of {}", before.len()), millis(before, 0.5));
        push(&format!("put meanwhile, p50 of {}", during.len()), millis(during, 0.5));
        push("put before, p99", millis(before, 0.99));
        push("put meanwhile, p99", millis(during, 0.99));
        push("put meanwhile, longest", millis(during, 1.0));
    }
    let ratios = sorted(rounds, |round| millis(&round.during, 0.99) / millis(&round.before, 0.99));
    report.push("p99 meanwhile to p99 before, median", middle(&ratios), "", Goal::AtMost(2.0));
    report.push("p99 meanwhile to p99 before, highest", ratios[ratios.len() - 1], "", Goal::None);
    let errors: u64 = rounds.iter().map(|round| round.errors).sum();
    report.push("client errors", errors as f64, "", Goal::AtMost(0.0));
}

fn sorted(rounds: &[RoundOutcome], figure: impl Fn(&RoundOutcome) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Writes a file of so many bytes and syncs it once.
fn disk_speed(folder: &Path, bytes: u64) -> f64 {
    let path = folder.join("disk-speed");
    let mut random = Random(1);
    let mut block = vec![0; 1 << 20];
    random.fill(&mut block);
    let mut file = File::create(&path).expect("make a file");
    let started = Instant::now();
    let mut written = 0;
    while written < bytes {
        file.write_all(&block).expect("write to the disk");
        written += block.len() as u64;
    }
    file.sync_all().expect("sync the file");
    let speed = megabytes(written) / started.elapsed().as_secs_f64();
    std::fs::remove_file(&path).expect("remove the file");
    speed
}

/// Cuts the raw keys in two regions.
async fn split(cluster: &Cluster) {
    wait_until("a split", BOUND, || async {
        let located = cluster.locate(BORDER.as_bytes()).await;
        if located.region.start_key.ends_with(BORDER.as_bytes()) {
            return Ok(());
        }
        let split_keys = vec![BORDER.into()];
        let request =
            SplitRegionRequest { context: Some(located.context()), split_keys, is_raw_kv: true, ..Default::default() };
        let mut store = rpc::store_client(&located.address).await?;
        let answer = store.split_region(request).await.map_err(|status| status.to_string())?.into_inner();
        answer.region_error.map_or(Ok(()), |error| Err(format!("{error:?}")))
    })
    .await;
}

/// Fills the large region; returns how many bytes its pairs have.
async fn fill(cluster: &Cluster, bytes: u64) -> u64 {
    let key = |number: u64| format!("bulk/{number:012}").into_bytes();
    let pair_bytes = (key(0).len() + VALUE_BYTES) as u64;
    let pairs = bytes / pair_bytes;
    let mut lanes = Vec::new();
    for lane in 0..FILLING {
        let client = cluster.raw_client().await;
        lanes.push(tokio::spawn(async move {
            let mut random = Random(lane as u64 + 1);
            let mut from = (lane * PAIRS_AT_ONCE) as u64;
            while from < pairs {
                let batch: Vec<(Vec<u8>, Vec<u8>)> = (from..pairs.min(from + PAIRS_AT_ONCE as u64))
                    .map(|number| {
                        let mut value = vec![0; VALUE_BYTES];
                        random.fill(&mut value);
                        (key(number), value)
                    })
                    .collect();
                client.batch_put(batch).await.expect("fill the region");
                from += (PAIRS_AT_ONCE * FILLING) as u64;
            }
        }));
    }
    for lane in lanes {
        lane.await.expect("a filling client");
    }
    pairs * pair_bytes
}

/// Waits until the stores write hardly anything.
async fn wait_quiet(cluster: &Cluster) {
    let written = || -> u64 { (0..cluster.len()).filter_map(|store| written_bytes(cluster.store_pid(store)?)).sum() };
    wait_until("the stores to be quiet", BOUND, || async {
        let before = written();
        tokio::time::sleep(QUIET).await;
        let bytes = written() - before;
        if bytes < QUIET_BYTES * QUIET.as_secs() { Ok(()) } else { Err(format!("{bytes} bytes in {QUIET:?}")) }
    })
    .await;
}

fn written_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// A store that has no peer of the large region.
struct EmptyStore {
    /// In the order of starting.
    number: usize,
    /// At the scheduler.
    id: u64,
}

async fn empty_store(cluster: &Cluster) -> EmptyStore {
    let region = cluster.locate(b"bulk/").await.region;
    for number in 0..cluster.len() {
        let body = status::http_get(cluster.status_addr(number), "/status").await.expect("the status of a store");
        let body: serde_json::Value = serde_json::from_str(&body).expect("a status is JSON");
        let id = body["store_id"].as_u64().expect("a store has an id");
        if region.peers.iter().all(|peer| peer.store_id != id) {
            return EmptyStore { number, id };
        }
    }
    panic!("four stores for three peers");
}

/// Orders a peer on the store that has none, and waits until it has everything.
async fn add_peer(cluster: &Cluster, region: u64, to: &EmptyStore) {
    let leader = cluster.leader_store(b"bulk/").await;
    let applied = |store: usize| async move {
        let positions = status::positions(cluster.status_addr(store)).await?;
        Ok::<_, String>(positions.get(&region).map_or(0, |position| position.applied))
    };
    let wanted = applied(leader).await.expect("the status of the leader");
    let has_it = wait_until("the new peer to have the region", BOUND, || async {
        let applied = applied(to.number).await?;
        if applied >= wanted { Ok(()) } else { Err(format!("{applied} of {wanted} applied")) }
    });
    tokio::join!(control(cluster, "add-peer", region, to.id), has_it);
}

/// Gives an order for a member of the region, and waits until it is done.
async fn control(cluster: &Cluster, order: &str, region: u64, store: u64) {
    let mut ctl = Command::new(CTL);
    ctl.args(["--scheduler", cluster.scheduler_addr(), "region", order]).args([region.to_string(), store.to_string()]);
    let mut ctl = ctl.stdout(Stdio::null()).spawn().expect("run tinykv-ctl");
    wait_until("the order to be done", BOUND, || {
        let ended = ctl.try_wait().expect("ask for a child's state");
        async move { ended.map(|status| assert!(status.success(), "{status}")).ok_or_else(|| "running".to_owned()) }
    })
    .await;
}

/// A figure of a store; `None` if there is none yet.
async fn metric(cluster: &Cluster, store: usize, name: &str) -> Option<f64> {
    let text = status::http_get(cluster.status_addr(store), "/metrics").await.expect("the metrics of a store");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// A put: when it was due, and when it was answered.
struct Put {
    due: Instant,
    answered: Instant,
}

/// Clients that put at a steady pace, whatever the answers take.
struct Clients {
    end: watch::Sender<Option<Instant>>,
    tasks: Vec<tokio::task::JoinHandle<(Vec<Put>, u64)>>,
}

impl Clients {
    /// Half of them write to the large region, half to the other one.
    async fn start(cluster: &Cluster) -> Self {
        let (end, ended) = watch::channel(None);
        let mut tasks = Vec::new();
        for number in 0..CLIENTS {
            let prefix = if number % 2 == 0 { "beside" } else { "other" };
            tasks.push(tokio::spawn(put_until(
                cluster.raw_client().await,
                format!("{prefix}/{number}"),
                ended.clone(),
            )));
        }
        Clients { end, tasks }
    }

    /// All puts that were due before `end`, late ones included, and the number of errors.
    async fn stop(self, end: Instant) -> (Vec<Put>, u64) {
        self.end.send_replace(Some(end));
        let (mut puts, mut errors) = (Vec::new(), 0);
        for task in self.tasks {
            let (of_client, errors_of_client) = task.await.expect("a client");
            puts.extend(of_client);
            errors += errors_of_client;
        }
        (puts, errors)
    }
}

async fn put_until(client: RawClient, prefix: String, end: watch::Receiver<Option<Instant>>) -> (Vec<Put>, u64) {
    let (mut puts, mut errors) = (Vec::new(), 0);
    let mut pace = tokio::time::interval(PACE);
    loop {
        let due = pace.tick().await.into_std();
        if end.borrow().is_some_and(|end| due >= end) {
            return (puts, errors);
        }
        match client.put(format!("{prefix}/{}", puts.len() % 1000).into_bytes(), vec![b'v'; 128]).await {
            Ok(()) => puts.push(Put { due, answered: Instant::now() }),
            Err(error) => {
                errors += 1;
                eprintln!("put: {error}");
            }
        }
    }
}

/// How long the puts took that were due in a time.
fn histogram(puts: &[Put], from: Instant, to: Instant) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("invariant: the bounds are valid");
    for put in puts.iter().filter(|put| put.due >= from && put.due < to) {
        histogram.saturating_record((put.answered - put.due).as_micros().max(1) as u64);
    }
    histogram
}

/// A small generator (xorshift) of bytes that do not compress.
struct Random(u64);

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}
