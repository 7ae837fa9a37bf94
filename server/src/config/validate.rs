//! Checks of a configuration. Each message names the key as it stands in the file, the value, and what to write instead.

use super::{ByteSize, Config, Millis};
use crate::logging::parse_level;
use crate::{Error, Result};

const MIB: u64 = 1 << 20;

impl Config {
    /// Checks every value; call it once the flags have been put on top of the file.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first wrong key and the remedy.
    pub fn validate(&self) -> Result<()> {
        self.validate_server()?;
        self.validate_log()?;
        self.validate_storage()?;
        self.validate_raftstore()?;
        self.validate_scheduler()
    }

    fn validate_server(&self) -> Result<()> {
        let server = &self.server;
        address("server.addr", &server.addr)?;
        if !server.advertise_addr.is_empty() {
            address("server.advertise-addr", &server.advertise_addr)?;
        }
        let public = server.public_addr();
        if public.starts_with("0.0.0.0:") || public.starts_with("[::]:") {
            return wrong(
                "server.advertise-addr",
                &format!("clients and other stores cannot connect to `{public}`; set it to an address they can reach"),
            );
        }
        if !server.status_addr.is_empty() {
            address("server.status-addr", &server.status_addr)?;
            if server.status_addr == server.addr && !server.addr.ends_with(":0") {
                return wrong("server.status-addr", "it is the same as server.addr; choose another port");
            }
        }
        range("server.grpc-threads", server.grpc_threads as u64, 1, 1024)?;
        range("server.grpc-concurrent-streams", u64::from(server.grpc_concurrent_streams), 1, 1 << 20)?;
        size("server.grpc-max-message-size", server.grpc_max_message_size, 64 << 10, 1 << 30)?;
        size("server.grpc-stream-window", server.grpc_stream_window, 64 << 10, (1 << 31) - 1)?;
        size("server.grpc-connection-window", server.grpc_connection_window, 64 << 10, (1 << 31) - 1)?;
        range("server.batch-concurrency", server.batch_concurrency as u64, 1, 1 << 20)
    }

    fn validate_log(&self) -> Result<()> {
        if parse_level(&self.log.level).is_none() {
            return wrong(
                "log.level",
                &format!("`{}` is not a level; use trace, debug, info, warning, error or critical", self.log.level),
            );
        }
        Ok(())
    }

    fn validate_storage(&self) -> Result<()> {
        let storage = &self.storage;
        if storage.data_dir.as_os_str().is_empty() {
            return wrong("storage.data-dir", "it is empty; name a folder (flag --data-dir)");
        }
        size("storage.block-cache", storage.block_cache, MIB, 1 << 40)?;
        size("storage.write-buffer", storage.write_buffer, MIB, 1 << 32)?;
        size("storage.max-key-size", storage.max_key_size, 1, 64 << 10)?;
        size("storage.max-response-size", storage.max_response_size, 64 << 10, 1 << 30)?;
        range("storage.max-scan-limit", u64::from(storage.max_scan_limit), 1, 1 << 20)
    }

    fn validate_raftstore(&self) -> Result<()> {
        let raft = &self.raftstore;
        millis("raftstore.raft-tick", raft.raft_tick, 1, 60_000)?;
        range("raftstore.heartbeat-ticks", raft.heartbeat_ticks as u64, 1, 1_000)?;
        if raft.election_ticks < raft.heartbeat_ticks.saturating_mul(3) || raft.election_ticks > 10_000 {
            return wrong(
                "raftstore.election-ticks",
                &format!(
                    "{} is outside {}..=10000; it must be at least three times raftstore.heartbeat-ticks ({}), so that \
                     one lost heartbeat does not cost an election",
                    raft.election_ticks,
                    raft.heartbeat_ticks.saturating_mul(3),
                    raft.heartbeat_ticks
                ),
            );
        }
        size("raftstore.max-entry-size", raft.max_entry_size, 1 << 10, 1 << 29)?;
        if raft.max_entry_size.0 >= self.server.grpc_max_message_size.0 {
            return wrong(
                "raftstore.max-entry-size",
                &format!(
                    "an entry of {} does not fit into a message of server.grpc-max-message-size ({}); raise that one or \
                     lower this one",
                    raft.max_entry_size, self.server.grpc_max_message_size
                ),
            );
        }
        if self.storage.max_key_size.0 >= raft.max_entry_size.0 {
            return wrong("storage.max-key-size", "it must be smaller than raftstore.max-entry-size");
        }
        range("raftstore.mailbox-capacity", raft.mailbox_capacity as u64, 16, 1 << 24)?;
        range("raftstore.store-io-threads", raft.store_io_threads as u64, 0, 1)?;
        range("raftstore.send-queue-capacity", raft.send_queue_capacity as u64, 16, 1 << 24)?;
        millis("raftstore.log-gc-interval", raft.log_gc_interval, 1, 3_600_000)?;
        range("raftstore.log-gc-threshold", raft.log_gc_threshold, 1, 1 << 32)?;
        range("raftstore.log-gc-count-limit", raft.log_gc_count_limit, raft.log_gc_threshold, 1 << 40)?;
        size("raftstore.log-gc-size-limit", raft.log_gc_size_limit, 1 << 10, 1 << 40)?;
        range("raftstore.snapshot-concurrency", raft.snapshot_concurrency as u64, 1, 1_024)?;
        if raft.snapshot_rate.0 != 0 {
            size("raftstore.snapshot-rate", raft.snapshot_rate, 64 << 10, 1 << 40)?;
        }
        range("raftstore.background-threads", raft.background_threads as u64, 1, 64)?;
        millis("raftstore.split-check-interval", raft.split_check_interval, 1, 3_600_000)?;
        size("raftstore.region-split-size", raft.region_split_size, 1 << 10, 1 << 40)?;
        size("raftstore.region-max-size", raft.region_max_size, raft.region_split_size.0, 1 << 40)?;
        range("raftstore.region-split-keys", raft.region_split_keys, 2, 1 << 40)?;
        range("raftstore.region-max-keys", raft.region_max_keys, raft.region_split_keys, 1 << 40)?;
        millis("raftstore.max-leader-missing", raft.max_leader_missing, 1_000, 86_400_000)?;
        millis("raftstore.store-heartbeat", raft.store_heartbeat, 100, 3_600_000)?;
        millis("raftstore.region-heartbeat", raft.region_heartbeat, 100, 3_600_000)
    }

    fn validate_scheduler(&self) -> Result<()> {
        if self.scheduler.endpoints.is_empty() {
            return wrong("scheduler.endpoints", "it is empty; name at least one host:port (flag --scheduler)");
        }
        self.scheduler.endpoints.iter().try_for_each(|endpoint| address("scheduler.endpoints", endpoint))
    }
}

fn wrong<T>(key: &str, what: &str) -> Result<T> {
    Err(Error::Config(format!("{key}: {what}")))
}

/// `host:port` with a host that is not empty and a port that fits.
fn address(key: &str, text: &str) -> Result<()> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && !host.contains('/') && (bracketed || !host.contains(':')) && port.parse::<u16>().is_ok()
    });
    if valid { Ok(()) } else { wrong(key, &format!("`{text}` is not an address; write host:port, as 127.0.0.1:20160")) }
}

fn range(key: &str, value: u64, low: u64, high: u64) -> Result<()> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        wrong(key, &format!("{value} is out of range; use {low} to {high}"))
    }
}

fn size(key: &str, value: ByteSize, low: u64, high: u64) -> Result<()> {
    if (low..=high).contains(&value.0) {
        Ok(())
    } else {
        wrong(key, &format!("{value} is out of range; use {} to {}", ByteSize(low), ByteSize(high)))
    }
}

fn millis(key: &str, value: Millis, low: u64, high: u64) -> Result<()> {
    if (low..=high).contains(&value.0) {
        Ok(())
    } else {
        wrong(key, &format!("{value} is out of range; use {} to {}", Millis(low), Millis(high)))
    }
}
