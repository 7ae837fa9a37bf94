//! Configuration of a store: one TOML file, with command-line flags on top.
//!
//! Every field has a default, so an empty file is a valid configuration. Unknown fields are refused, because a misspelt
//! name that is silently ignored is found only when it hurts. [`Config::validate`] runs after the flags have been put on
//! top and names the key and the remedy in each message.

mod units;
mod validate;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use units::{ByteSize, Millis};

use crate::{Error, Result};

/// The whole configuration of a store process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Addresses, threads and limits of the gRPC edge.
    pub server: ServerConfig,
    /// Where log lines go, and which.
    pub log: LogConfig,
    /// Data folder, caches, limits of keys and values.
    pub storage: StorageConfig,
    /// Raft timing, queues and threads.
    pub raftstore: RaftstoreConfig,
    /// Where the scheduler is.
    pub scheduler: SchedulerConfig,
}

/// Addresses, threads and limits of the gRPC edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerConfig {
    /// `host:port` to listen on for clients and other stores.
    pub addr: String,
    /// `host:port` that others use to reach this store; empty = `addr`.
    pub advertise_addr: String,
    /// `host:port` of the status port (`/status`, `/metrics`); empty switches it off.
    pub status_addr: String,
    /// Threads of the async runtime that serves gRPC.
    pub grpc_threads: usize,
    /// Concurrent requests (HTTP/2 streams) that one connection may have.
    pub grpc_concurrent_streams: u32,
    /// Largest message that is accepted from a client or another store.
    pub grpc_max_message_size: ByteSize,
    /// HTTP/2 window of a stream: bytes in flight without an acknowledgement.
    pub grpc_stream_window: ByteSize,
    /// HTTP/2 window of a connection.
    pub grpc_connection_window: ByteSize,
    /// Commands of one `BatchCommands` stream that may run at a time; more wait in the stream.
    pub batch_concurrency: usize,
    /// How long an orderly stop waits for requests that are still running.
    pub stop_timeout: Millis,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            addr: "127.0.0.1:20160".to_owned(),
            advertise_addr: String::new(),
            status_addr: "127.0.0.1:20180".to_owned(),
            grpc_threads: 2,
            grpc_concurrent_streams: 4096,
            grpc_max_message_size: ByteSize::mib(16),
            grpc_stream_window: ByteSize::mib(2),
            grpc_connection_window: ByteSize::mib(8),
            batch_concurrency: 1024,
            stop_timeout: Millis(5_000),
        }
    }
}

impl ServerConfig {
    /// The address that others use to reach this store.
    pub fn public_addr(&self) -> &str {
        if self.advertise_addr.is_empty() { &self.addr } else { &self.advertise_addr }
    }
}

/// Where log lines go, and which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogConfig {
    /// `trace`, `debug`, `info`, `warning`, `error` or `critical`.
    pub level: String,
    /// File that lines are appended to; empty = standard error.
    pub file: PathBuf,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), file: PathBuf::new() }
    }
}

/// Data folder, caches, limits of keys and values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StorageConfig {
    /// Folder of everything this store keeps; created if missing, used by one process at a time.
    pub data_dir: PathBuf,
    /// RocksDB block cache of the key-value engine, shared by its column families.
    pub block_cache: ByteSize,
    /// Size at which a memtable of one column family is written out.
    pub write_buffer: ByteSize,
    /// Longest key of the raw API.
    pub max_key_size: ByteSize,
    /// Most pairs that one scan may ask for.
    pub max_scan_limit: u32,
    /// Most bytes of keys and values in one response; more is an error. The official Rust client takes 4 MiB.
    pub max_response_size: ByteSize,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("tinykv-data"),
            block_cache: ByteSize::mib(64),
            write_buffer: ByteSize::mib(16),
            max_key_size: ByteSize::kib(8),
            max_scan_limit: 10_240,
            max_response_size: ByteSize::kib(4032),
        }
    }
}

/// Raft timing, queues and threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RaftstoreConfig {
    /// Length of one raft tick.
    pub raft_tick: Millis,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Ticks without a leader before an election; drawn between this and twice this.
    pub election_ticks: usize,
    /// Largest command (a write of one request) that is proposed as one raft entry.
    pub max_entry_size: ByteSize,
    /// Messages that may wait for one region.
    pub mailbox_capacity: usize,
    /// Threads that write the raft log: 0 = the raft thread writes itself, 1 = a writer of its own.
    pub store_io_threads: usize,
    /// Raft messages that may wait for one other store; more are dropped and raft sends again.
    pub send_queue_capacity: usize,
    /// How often a leader looks whether its log can be compacted.
    pub log_gc_interval: Millis,
    /// Entries that make a compaction worth while; fewer wait for some more looks.
    pub log_gc_threshold: u64,
    /// Entries after which a log is compacted even if a member still needs some of them; that member gets a snapshot.
    pub log_gc_count_limit: u64,
    /// Size after which a log is compacted even if a member still needs some of it.
    pub log_gc_size_limit: ByteSize,
    /// Snapshots that are sent, and as many that are received, at a time.
    pub snapshot_concurrency: usize,
    /// Bytes a second that all snapshots together move in each direction; 0 = no limit.
    pub snapshot_rate: ByteSize,
    /// Threads for work in the background, such as deleting compacted log entries.
    pub background_threads: usize,
    /// How often a leader looks whether its region is too large.
    pub split_check_interval: Millis,
    /// A region with more bytes than this is split...
    pub region_max_size: ByteSize,
    /// ...into regions of about this many.
    pub region_split_size: ByteSize,
    /// A region with more keys than this is split...
    pub region_max_keys: u64,
    /// ...into regions of about this many.
    pub region_split_keys: u64,
    /// A peer that has heard of no leader for so long asks whether it is still a member.
    pub max_leader_missing: Millis,
    /// How often the store reports itself to the scheduler.
    pub store_heartbeat: Millis,
    /// How often a leader reports its region to the scheduler when nothing changes.
    pub region_heartbeat: Millis,
}

impl Default for RaftstoreConfig {
    fn default() -> Self {
        Self {
            raft_tick: Millis(50),
            heartbeat_ticks: 2,
            election_ticks: 12,
            max_entry_size: ByteSize::mib(8),
            mailbox_capacity: 4096,
            store_io_threads: 1,
            send_queue_capacity: 8192,
            log_gc_interval: Millis(3_000),
            log_gc_threshold: 50,
            log_gc_count_limit: 73_728,
            log_gc_size_limit: ByteSize::mib(72),
            snapshot_concurrency: 8,
            snapshot_rate: ByteSize::mib(144),
            background_threads: 2,
            split_check_interval: Millis(10_000),
            region_max_size: ByteSize::mib(144),
            region_split_size: ByteSize::mib(96),
            region_max_keys: 1_440_000,
            region_split_keys: 960_000,
            max_leader_missing: Millis(60_000),
            store_heartbeat: Millis(10_000),
            region_heartbeat: Millis(60_000),
        }
    }
}

/// Where the scheduler is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SchedulerConfig {
    /// `host:port` of each scheduler.
    pub endpoints: Vec<String>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { endpoints: vec!["127.0.0.1:2379".to_owned()] }
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file and what is wrong with it (missing, not TOML, unknown field, wrong type).
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::Config(format!("cannot read the configuration file {}: {e}", path.display())))?;
        Self::from_toml(&text).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
    }

    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] with the position of the first problem.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::Config(e.to_string().trim_end().to_owned()))
    }

    /// The configuration as TOML, every field included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("invariant: a configuration is plain tables, strings and numbers")
    }
}
