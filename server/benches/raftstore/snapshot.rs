//! A large region gets a peer on a store that has none: how fast its snapshot moves, and what clients notice of it.
//!
//! Four stores, three replicas, one region of `BYTES` bytes that do not compress. Time runs from the order at the scheduler until the new
//! peer has applied what the leader had applied when the order was given. All settings are the defaults (the rate of snapshots, too),
//! but for those that keep the region in one piece.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
    wait_quiet(&cluster).await;

    let clients = Clients::start(&cluster).await;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    tokio::time::sleep(BEFORE).await;
    let ordered = Instant::now();
    let to = move_peer(&cluster).await;
    let ended = Instant::now();
    let (puts, errors) = clients.stop(ended).await;
    cluster.assert_running();

    let seconds = (ended - ordered).as_secs_f64();
    let speed = megabytes(bytes) / seconds;
    report.push("from the order until the new peer has the region", seconds, "s", Goal::None);
    report.push("a snapshot moves at", speed, "MB/s", Goal::AtLeast(disk.min(100.0)));
    let transfer = metric(&cluster, to, "tinykv_snapshot_duration_seconds_sum{direction=\"received\"}").await;
    report.push("of that time, on the way between the stores", transfer, "s", Goal::None);
    let (before, during) = (histogram(&puts, began, ordered), histogram(&puts, ordered, ended));
    let millis = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    report.push(&format!("put before, p50 of {}", before.len()), millis(&before, 0.5), "ms", Goal::None);
    report.push(&format!("put meanwhile, p50 of {}", during.len()), millis(&during, 0.5), "ms", Goal::None);
    report.push("put before, p99", millis(&before, 0.99), "ms", Goal::None);
    report.push("put meanwhile, p99", millis(&during, 0.99), "ms", Goal::None);
    report.push("put meanwhile, longest", millis(&during, 1.0), "ms", Goal::None);
    report.push("p99 meanwhile to p99 before", millis(&during, 0.99) / millis(&before, 0.99), "", Goal::AtMost(2.0));
    report.push("client errors", errors as f64, "", Goal::AtMost(0.0));
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

/// Orders a peer on the store that has none of the large region, and waits until it has everything. Returns the store's number.
async fn move_peer(cluster: &Cluster) -> usize {
    let region = cluster.locate(b"bulk/").await.region;
    let mut ids = Vec::new();
    for number in 0..cluster.len() {
        let body = status::http_get(cluster.status_addr(number), "/status").await.expect("the status of a store");
        let body: serde_json::Value = serde_json::from_str(&body).expect("a status is JSON");
        ids.push(body["store_id"].as_u64().expect("a store has an id"));
    }
    let empty = |id: &u64| region.peers.iter().all(|peer| peer.store_id != *id);
    let to = ids.iter().position(empty).expect("four stores for three peers");
    let leader = cluster.leader_store(b"bulk/").await;
    let position = |store: usize| async move {
        let positions = status::positions(cluster.status_addr(store)).await?;
        Ok::<_, String>(positions.get(&region.id).map_or(0, |position| position.applied))
    };
    let wanted = position(leader).await.expect("the status of the leader");
    let mut order = add_peer(cluster, region.id, ids[to]);
    wait_until("the new peer to have the region", BOUND, || async {
        let applied = position(to).await?;
        if applied >= wanted { Ok(()) } else { Err(format!("{applied} of {wanted} applied")) }
    })
    .await;
    wait_until("the order to be done", BOUND, || {
        let ended = order.try_wait().expect("ask for a child's state");
        async move { ended.map(|status| assert!(status.success(), "{status}")).ok_or_else(|| "running".to_owned()) }
    })
    .await;
    to
}

fn add_peer(cluster: &Cluster, region: u64, store: u64) -> Child {
    let arguments = ["region", "add-peer", &region.to_string(), &store.to_string()];
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_tinykv-ctl"));
    ctl.args(["--scheduler", cluster.scheduler_addr()]).args(arguments).stdout(Stdio::null());
    ctl.spawn().expect("run tinykv-ctl")
}

async fn metric(cluster: &Cluster, store: usize, name: &str) -> f64 {
    let text = status::http_get(cluster.status_addr(store), "/metrics").await.expect("the metrics of a store");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
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
