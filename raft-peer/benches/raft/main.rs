//! raft-core beside the `raft` crate, with the same work in one process: `make bench-raft`.
//!
//! Both libraries get the same driver ([`group`]), the same lean log for a storage ([`store`]), settings of the same values, and no
//! logging. Messages are handed over as structs: nothing is encoded, nothing waits for a disk, so what is measured is the consensus code
//! alone. A proposal is a fresh buffer on both sides, as it would come from a client. The `raft` crate is driven as its documentation
//! asks for the fastest form: appends are batched, entries are moved out of a Ready, and the light Ready is used.
//!
//! Every workload is measured by criterion in short phases that alternate between the two sides, so that the noise of the machine hits
//! both; what is measured is processor time, which other programs do not take part in. A side's figure is the median over its phases of
//! the phase's median sample, and the ratio is the median of the ratios of neighbouring phases. Allocations and messages are counted, not
//! sampled; the messages show whether both sides do the same work.
//!
//! Environment: `REPEATS` (phases of a side, 5), `SECONDS` (of one phase, 0.5), `OUT` (a folder for `raft.json`). A word as argument
//! runs only the workloads with this word in their names.

mod allocations;
mod group;
mod ours;
mod report;
mod store;
mod theirs;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use group::Node;
use ours::Ours;
use report::{Report, Row};
use theirs::Theirs;
use workload::{WORKLOADS, Workload};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Samples of a phase; criterion takes no fewer.
const SAMPLES: usize = 10;

fn main() {
    let repeats: usize = variable("REPEATS", 5);
    let seconds: f64 = variable("SECONDS", 0.5);
    let out = std::env::var_os("OUT").filter(|out| !out.is_empty()).map(PathBuf::from);
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_secs_f64(seconds / 4.0))
        .measurement_time(Duration::from_secs_f64(seconds))
        .output_directory(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("criterion"))
        .configure_from_args();

    let mut report = Report::default();
    for workload in WORKLOADS {
        let phases: Vec<(f64, f64)> = (0..repeats)
            .filter_map(|repeat| {
                let ours = phase::<Ours>(&mut criterion, workload, repeat)?;
                Some((ours, phase::<Theirs>(&mut criterion, workload, repeat)?))
            })
            .collect();
        report.extend(Row::of_rates(workload.name(), &phases));
    }
    if report.is_empty() {
        return; // Nothing was measured: `cargo test` only looks whether the workloads run.
    }
    for in_flight in workload::IN_FLIGHT {
        let name = format!("allocations per committed entry, 128 B, {in_flight} in flight");
        let ours = workload::allocations_per_entry::<Ours>(in_flight);
        report.push(Row::of_counts(name, ours, workload::allocations_per_entry::<Theirs>(in_flight)));
    }
    for in_flight in workload::IN_FLIGHT {
        let name = format!("messages per committed entry, 128 B, {in_flight} in flight");
        let ours = workload::messages_per_entry::<Ours>(in_flight);
        report.push(Row::of_counts(name, ours, workload::messages_per_entry::<Theirs>(in_flight)));
    }
    println!("\n{}", report.machine());
    println!("{}", report.table());
    if let Some(out) = out {
        report.write_json(&out);
    }
}

/// One phase of one side: the median of its samples in units of work a second. `None` if criterion was told not to measure it.
fn phase<N: Node>(criterion: &mut Criterion, workload: &Workload, repeat: usize) -> Option<f64> {
    let mut samples = Vec::new();
    let mut group = criterion.benchmark_group(workload.name());
    group.throughput(Throughput::Elements(workload.units())).sampling_mode(SamplingMode::Flat);
    group.bench_function(BenchmarkId::new(N::NAME, repeat + 1), |bencher| {
        let mut run = workload.prepare::<N>();
        bencher.iter_custom(|rounds| {
            let elapsed = run(rounds);
            samples.push(rounds as f64 * workload.units() as f64 / elapsed.as_secs_f64());
            elapsed
        });
    });
    group.finish();
    // What came before the samples was to warm up.
    let measured = samples.len().checked_sub(SAMPLES)?;
    Some(report::median(&mut samples[measured..]))
}

/// The variable's value, or `default` when it is unset or empty. Exits with status 2 when it cannot be read.
fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| {
            eprintln!("{name}={text} is not a valid value");
            std::process::exit(2);
        }),
        _ => default,
    }
}
