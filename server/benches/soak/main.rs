//! Memory of the stores, idle and under a long put load: `cargo bench --profile dev -p server --bench soak`.
//!
//! Environment: `SECONDS` of load (600), `SAMPLE` seconds between lines (15), `CLIENTS` (64), `OUT` (folder for `soak.json` and for
//! the data while it runs).

#[path = "../../tests/processes/cluster/mod.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{Cluster, Options, process};
use comfy_table::{Table, presets};
use common::load::{self, Operation};
use common::settings;
use common::target::Target;
use serde_json::json;
use tikv_client::RawClient;

const CLIENTS_PER_CONNECTION: usize = 10;
/// How long the cluster is left alone before its idle memory is read.
const IDLE: Duration = Duration::from_secs(5);
const NO_WARM_UP: Duration = Duration::ZERO;

struct Sample {
    seconds: u64,
    operations_per_second: f64,
    errors: u64,
    resident_kib: Vec<u64>,
}

#[tokio::main]
async fn main() {
    if !settings::is_benchmark_run() {
        println!("a benchmark: cargo bench --profile dev -p server --bench soak");
        return;
    }
    let seconds: u64 = settings::variable("SECONDS", 600);
    let sample: u64 = settings::variable("SAMPLE", 15).max(1);
    let clients = settings::list("CLIENTS", &[64])[0];
    let out = settings::out_folder();
    let data = settings::data_folder(out.as_deref());
    println!("load average {}", settings::load_average());
    let mut cluster = Cluster::start_with(Options { parent: Some(data), ..Options::default() }).await;
    tokio::time::sleep(IDLE).await;
    let mut samples =
        vec![Sample { seconds: 0, operations_per_second: 0.0, errors: 0, resident_kib: resident(&cluster) }];
    print_sample(&samples[0]);
    let targets = targets(&cluster, clients).await;
    let started = Instant::now();
    while started.elapsed().as_secs() < seconds {
        let left = seconds.saturating_sub(started.elapsed().as_secs()).min(sample);
        let phase = load::run(&targets, Operation::Put, clients, NO_WARM_UP, Duration::from_secs(left.max(1))).await;
        let line = Sample {
            seconds: started.elapsed().as_secs(),
            operations_per_second: phase.operations_per_second,
            errors: phase.errors,
            resident_kib: resident(&cluster),
        };
        print_sample(&line);
        samples.push(line);
        cluster.assert_running();
    }
    println!("{}", table(&samples));
    if let Some(out) = out {
        write_json(&out, &samples);
    }
}

async fn targets(cluster: &Cluster, clients: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for _ in 0..clients.div_ceil(CLIENTS_PER_CONNECTION) {
        let endpoints = vec![cluster.scheduler_addr().to_owned()];
        targets.push(Target::Official(RawClient::new(endpoints).await.expect("connect the official client")));
    }
    targets
}

/// Resident memory of every store and then of the scheduler, in KiB.
fn resident(cluster: &Cluster) -> Vec<u64> {
    let stores = (0..cluster.len()).map(|store| cluster.store_pid(store));
    let pids = stores.chain([cluster.scheduler_pid()]).flatten();
    pids.map(|pid| process::resident_kib(pid).unwrap_or_default()).collect()
}

fn print_sample(sample: &Sample) {
    let Sample { seconds, operations_per_second, errors, resident_kib } = sample;
    eprintln!("{seconds:>5} s: {operations_per_second:.0} puts/s, {errors} errors, resident {resident_kib:?} KiB");
}

fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let mut header = vec!["second".to_owned(), "puts/s".to_owned(), "errors".to_owned()];
    let stores = samples[0].resident_kib.len() - 1;
    header.extend((0..stores).map(|store| format!("store {store} MiB")));
    header.push("scheduler MiB".to_owned());
    table.set_header(header);
    for sample in samples {
        let mut row =
            vec![sample.seconds.to_string(), format!("{:.0}", sample.operations_per_second), sample.errors.to_string()];
        row.extend(sample.resident_kib.iter().map(|kib| format!("{:.0}", *kib as f64 / 1024.0)));
        table.add_row(row);
    }
    table
}

fn write_json(folder: &Path, samples: &[Sample]) {
    let list: Vec<_> = samples
        .iter()
        .map(|sample| {
            json!({
                "second": sample.seconds,
                "puts_per_second": sample.operations_per_second.round(),
                "errors": sample.errors,
                "resident_kib": sample.resident_kib,
            })
        })
        .collect();
    let path = folder.join("soak.json");
    let text = serde_json::to_string_pretty(&list).expect("invariant: a list of numbers is JSON");
    std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    println!("wrote {}", path.display());
}
