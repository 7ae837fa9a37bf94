//! Throughput and latency against etcd on the same machine: `cargo bench --profile dev -p server --bench etcd`.
//!
//! Three etcd members and a cluster of three stores run side by side, with their data on the same disk and real fsync; while
//! one is measured the other is idle (heartbeats only). The phases alternate (ours through the official client, etcd, ours
//! through a thin client, ours, ...), so that noise of the machine hits all of them, and the median of the repeats counts. The
//! load is closed-loop: N clients, each with one request at a time, values of 128 bytes, 100,000 keys (reads ask for 10,000
//! that exist). Every request goes to the leader, on either side. Both sides get the same number of HTTP/2 connections: one
//! for each ten clients, as etcd's documentation uses its own benchmark tool. Reads are linearizable on both sides.
//!
//! Environment: `SECONDS` of one phase (4), `REPEATS` (3), `CLIENTS` ("1,16,64,256"), `OUT` (folder for `etcd.json` and for the
//! data while it runs), `ETCD` (the binary). Without etcd it says so and ends with status 0.

#[path = "../../tests/processes/cluster/mod.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod members;
mod report;

use std::time::{Duration, Instant};

use cluster::{Cluster, Options, process};
use common::load::{self, Operation};
use common::settings;
use common::target::{Target, connect};
use members::Members;
use proto::etcdserverpb::kv_client::KvClient;
use proto::tikvpb::tikv_client::TikvClient;
use report::{Measured, Report, Row, Side};
use tikv_client::RawClient;

const WARM_UP: Duration = Duration::from_millis(700);
const CLIENTS_PER_CONNECTION: usize = 10;
/// The kernel counts processor time in hundredths of a second.
const MICROS_PER_TICK: f64 = 10_000.0;

struct Bench {
    cluster: Cluster,
    members: Members,
    phase: Duration,
}

#[tokio::main]
async fn main() {
    if !settings::is_benchmark_run() {
        println!("a benchmark: cargo bench --profile dev -p server --bench etcd");
        return;
    }
    let Some(binary) = members::find_binary() else {
        println!("etcd is not installed (Debian and Ubuntu: apt-get install etcd-server); the comparison is skipped");
        return;
    };
    let phase = Duration::from_secs_f64(settings::variable("SECONDS", 4.0));
    let repeats: usize = settings::variable("REPEATS", 3).max(1);
    let clients = settings::list("CLIENTS", &[1, 16, 64, 256]);
    let out = settings::out_folder();
    let data = settings::data_folder(out.as_deref());
    println!("{}; load average {}", members::version(&binary), settings::load_average());

    let started = Instant::now();
    let members = Members::start(&binary, &data).await;
    println!("etcd leads after {:.1?}", started.elapsed());
    let started = Instant::now();
    let cluster = Cluster::start_with(Options { parent: Some(data), ..Options::default() }).await;
    println!("tinykv serves after {:.1?}", started.elapsed());
    let bench = Bench { cluster, members, phase };
    for side in [Side::Thin, Side::Etcd] {
        load::preload(&bench.targets(side, 32).await).await;
    }
    let mut report = Report::default();
    for operation in [Operation::Put, Operation::Get] {
        for &clients in &clients {
            report.push(operation, clients, bench.row(operation, clients, repeats).await);
        }
    }
    println!("{}", report.table());
    println!("load average {}", settings::load_average());
    if let Some(out) = out {
        report.write_json(&out);
    }
}

impl Bench {
    async fn row(&self, operation: Operation, clients: usize, repeats: usize) -> Row {
        let mut row = Row::default();
        for _ in 0..repeats {
            for side in Side::ALL {
                let measured = self.measure(side, operation, clients).await;
                eprintln!(
                    "{} {clients:>3} clients {side:?}: {:.0} ops/s",
                    operation.name(),
                    measured.phase.operations_per_second
                );
                if let Some(error) = &measured.phase.first_error {
                    eprintln!("  {} errors, the first: {error}", measured.phase.errors);
                }
                row.push(side, measured);
            }
        }
        row
    }

    async fn measure(&self, side: Side, operation: Operation, clients: usize) -> Measured {
        let targets = self.targets(side, clients).await;
        let (before, started) = (self.server_ticks(side), Instant::now());
        let phase = load::run(&targets, operation, clients, WARM_UP, self.phase).await;
        let ticks = self.server_ticks(side).saturating_sub(before) as f64;
        // The ticks cover the warm-up as well, so the operations must too.
        let operations = phase.operations_per_second * started.elapsed().as_secs_f64();
        Measured { phase, server_micros: ticks * MICROS_PER_TICK / operations.max(1.0) }
    }

    /// Fresh connections for `clients` clients, all of them to the leader.
    async fn targets(&self, side: Side, clients: usize) -> Vec<Target> {
        let located = self.cluster.locate(&load::key(0)).await;
        let mut targets = Vec::new();
        for _ in 0..clients.div_ceil(CLIENTS_PER_CONNECTION) {
            targets.push(match side {
                Side::Official => {
                    let endpoints = vec![self.cluster.scheduler_addr().to_owned()];
                    Target::Official(RawClient::new(endpoints).await.expect("connect the official client"))
                }
                Side::Thin => {
                    let client = TikvClient::new(connect(&located.address).await);
                    Target::Thin { client, context: Box::new(located.context()) }
                }
                Side::Etcd => Target::Etcd(KvClient::new(connect(&self.members.leader().await).await)),
            });
        }
        targets
    }

    fn server_ticks(&self, side: Side) -> u64 {
        let pids = match side {
            Side::Etcd => self.members.pids(),
            Side::Official | Side::Thin => {
                (0..self.cluster.len()).filter_map(|store| self.cluster.store_pid(store)).collect()
            }
        };
        pids.into_iter().filter_map(process::cpu_ticks).sum()
    }
}
