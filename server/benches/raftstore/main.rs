//! Many regions in numbers: `make bench-raftstore`.
//!
//! | part | what it measures |
//! |---|---|
//! | `simulated` | how fast the simulator goes through seeds, and how long the graded tests take |
//! | `regions` | a thousand regions on three stores: idle processor time, memory, start-up |
//! | `splits` | what clients notice of a split |
//! | `snapshot` | how fast a large region gets to another store, and what clients notice of it |
//!
//! Environment: `PARTS` (a list of the names above; all of them), `REGIONS` (1000), `SPLITS` (50), `BYTES` (of the large region; 1 GiB), `OUT` (folder for `raftstore.json`, and for
//! the data while it runs).

#[path = "../../tests/processes/cluster/mod.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod regions;
mod report;
mod simulated;
mod snapshot;
mod splits;

use common::settings;
use report::Report;

#[tokio::main]
async fn main() {
    if !settings::is_benchmark_run() {
        println!("a benchmark: make bench-raftstore");
        return;
    }
    const PARTS: [&str; 4] = ["simulated", "regions", "splits", "snapshot"];
    let wanted = std::env::var("PARTS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    if let Some(unknown) = wanted.iter().find(|part| !PARTS.contains(part)) {
        eprintln!("PARTS: there is no part {unknown}; there are {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let is_wanted = |part: &str| wanted.is_empty() || wanted.contains(&part);
    let out = settings::out_folder();
    let data = settings::data_folder(out.as_deref());
    println!("load average {}", settings::load_average());
    let mut report = Report::default();
    if is_wanted("simulated") {
        simulated::run(&mut report);
    }
    if is_wanted("regions") {
        regions::run(&mut report, &data, settings::variable("REGIONS", 1000)).await;
    }
    if is_wanted("splits") {
        splits::run(&mut report, &data, settings::variable("SPLITS", 50)).await;
    }
    if is_wanted("snapshot") {
        snapshot::run(&mut report, &data, settings::variable("BYTES", 1 << 30)).await;
    }
    println!("{}", report.table());
    if let Some(out) = out {
        report.write_json(&out);
    }
}
