//! Prometheus metrics of the process.
//!
//! Handles are made once at start and held by those who count, so the hot path is an atomic addition: no lookup by label
//! and no lock. Names begin with `tinykv_`; the `process_` family (memory, CPU, open files) comes from the library.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Every command of the gRPC service that is counted. The name is the RPC's.
macro_rules! commands {
    ($($name:ident),+ $(,)?) => {
        /// A command of the gRPC service.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command { $($name),+ }

        impl Command {
            /// All of them, in the order of their discriminants.
            pub const ALL: &'static [Command] = &[$(Command::$name),+];

            /// The name of the RPC, which is the metric's label.
            pub fn name(self) -> &'static str {
                match self { $(Command::$name => stringify!($name)),+ }
            }
        }
    };
}

commands!(
    RawGet,
    RawBatchGet,
    RawPut,
    RawBatchPut,
    RawDelete,
    RawBatchDelete,
    RawDeleteRange,
    RawScan,
    RawBatchScan,
    RawCompareAndSwap,
    RawGetKeyTtl,
    RawChecksum,
);

impl Command {
    /// Whether the command changes something.
    pub fn is_write(self) -> bool {
        match self {
            Self::RawPut
            | Self::RawBatchPut
            | Self::RawDelete
            | Self::RawBatchDelete
            | Self::RawDeleteRange
            | Self::RawCompareAndSwap => true,
            Self::RawGet
            | Self::RawBatchGet
            | Self::RawScan
            | Self::RawBatchScan
            | Self::RawGetKeyTtl
            | Self::RawChecksum => false,
        }
    }
}

/// Seconds; from a cached read to an election.
const LATENCY_BUCKETS: [f64; 16] =
    [0.00005, 0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Seconds; from an empty region to a large one over a slow network.
const TRANSFER_BUCKETS: [f64; 12] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// Counters of one command.
#[derive(Clone)]
struct CommandMetrics {
    latency: Histogram,
    errors: IntCounter,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    commands: Vec<CommandMetrics>,
    /// Streams of `BatchCommands` that are open.
    pub batch_streams: IntGauge,
    /// Commands that came in through `BatchCommands`.
    pub batch_commands: IntCounter,
    /// Raft messages handed to the transport.
    pub raft_sent: IntCounter,
    /// Frames (`BatchRaftMessage`) written to other stores.
    pub raft_frames: IntCounter,
    /// Raft messages taken from other stores.
    pub raft_received: IntCounter,
    /// Raft messages that were dropped, by reason.
    pub raft_dropped: IntCounterVec,
    /// Connections to other stores that broke.
    pub raft_disconnects: IntCounter,
    /// Snapshots that were sent or received, by how that went.
    pub snapshots: IntCounterVec,
    /// Bytes of snapshots.
    pub snapshot_bytes: IntCounterVec,
    /// How long the transfer of a snapshot takes that arrives.
    pub snapshot_seconds: HistogramVec,
    /// Regions with a peer on this store.
    pub regions: IntGauge,
    /// Regions that this store leads.
    pub leaders: IntGauge,
    /// Bytes of memory by part of the engine.
    pub engine_memory: prometheus::IntGaugeVec,
    /// Counters of the raftstore, which counts by itself; copied before they are printed.
    raftstore: Mutex<BTreeMap<&'static str, IntCounter>>,
}

impl Metrics {
    /// Makes and registers everything.
    pub fn new() -> Self {
        let registry = Registry::new();
        let latency = HistogramVec::new(
            HistogramOpts::new("tinykv_command_duration_seconds", "Time from a command's arrival to its answer")
                .buckets(LATENCY_BUCKETS.to_vec()),
            &["command"],
        );
        let latency = registered(&registry, latency);
        let errors = registered(
            &registry,
            IntCounterVec::new(
                Opts::new("tinykv_command_errors_total", "Commands answered with an error of any kind"),
                &["command"],
            ),
        );
        let commands = Command::ALL
            .iter()
            .map(|command| CommandMetrics {
                latency: latency.with_label_values(&[command.name()]),
                errors: errors.with_label_values(&[command.name()]),
            })
            .collect();
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let metrics = Self {
            commands,
            batch_streams: gauge("tinykv_batch_streams", "BatchCommands streams that are open"),
            batch_commands: counter("tinykv_batch_commands_total", "Commands that came in through BatchCommands"),
            raft_sent: counter("tinykv_raft_messages_sent_total", "Raft messages handed to the transport"),
            raft_frames: counter("tinykv_raft_frames_sent_total", "Batches of raft messages written to other stores"),
            raft_received: counter("tinykv_raft_messages_received_total", "Raft messages taken from other stores"),
            raft_dropped: registered(
                &registry,
                IntCounterVec::new(
                    Opts::new("tinykv_raft_messages_dropped_total", "Raft messages that were dropped"),
                    &["reason"],
                ),
            ),
            raft_disconnects: counter("tinykv_raft_disconnects_total", "Connections to other stores that broke"),
            snapshots: registered(
                &registry,
                IntCounterVec::new(
                    Opts::new("tinykv_snapshots_total", "Snapshots sent to other stores or received from them"),
                    &["direction", "outcome"],
                ),
            ),
            snapshot_bytes: registered(
                &registry,
                IntCounterVec::new(Opts::new("tinykv_snapshot_bytes_total", "Bytes of snapshots"), &["direction"]),
            ),
            snapshot_seconds: registered(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("tinykv_snapshot_duration_seconds", "Time that a snapshot's transfer takes")
                        .buckets(TRANSFER_BUCKETS.to_vec()),
                    &["direction"],
                ),
            ),
            regions: gauge("tinykv_regions", "Regions with a peer on this store"),
            leaders: gauge("tinykv_leaders", "Regions that this store leads"),
            engine_memory: registered(
                &registry,
                prometheus::IntGaugeVec::new(
                    Opts::new("tinykv_engine_memory_bytes", "Memory of the engines"),
                    &["engine", "part"],
                ),
            ),
            raftstore: Mutex::default(),
            registry,
        };
        let process = prometheus::process_collector::ProcessCollector::for_self();
        metrics.registry.register(Box::new(process)).expect("invariant: the process collector is registered once");
        metrics
    }

    /// Records one command that began at `start`.
    pub fn observe(&self, command: Command, start: Instant, failed: bool) {
        let metrics = &self.commands[command as usize];
        metrics.latency.observe(start.elapsed().as_secs_f64());
        if failed {
            metrics.errors.inc();
        }
    }

    /// Copies counters of the raftstore: name, help, count.
    pub fn copy_raftstore(&self, counts: &[(&'static str, &'static str, u64)]) {
        let mut counters = self.raftstore.lock().unwrap_or_else(PoisonError::into_inner);
        for &(name, help, count) in counts {
            let counter = counters.entry(name).or_insert_with(|| {
                registered(&self.registry, IntCounter::new(format!("tinykv_raftstore_{name}_total"), help.trim()))
            });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// Everything in the Prometheus text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let families = self.registry.gather();
        TextEncoder::new().encode_utf8(&families, &mut text).expect("invariant: writing into a string cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn registered<C>(registry: &Registry, collector: prometheus::Result<C>) -> C
where
    C: prometheus::core::Collector + Clone + 'static,
{
    let collector = collector.expect("invariant: metric names and labels are constants");
    registry.register(Box::new(collector.clone())).expect("invariant: every metric is registered once");
    collector
}
