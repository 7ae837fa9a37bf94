//! Tests of reading, printing and checking a configuration.

use super::*;

fn message(result: Result<()>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn defaults_are_valid_and_print_as_they_read() {
    let config = Config::default();
    config.validate().unwrap();
    let printed = config.to_toml();
    assert!(printed.contains("max-key-size = \"8KiB\""), "{printed}");
    assert!(printed.contains("raft-tick = \"50ms\""), "{printed}");
    assert_eq!(Config::from_toml(&printed).unwrap(), config);
    assert_eq!(Config::from_toml("").unwrap(), config);
}

#[test]
fn sizes_and_durations_take_units_or_plain_numbers() {
    let config = Config::from_toml(
        "[storage]\nmax-key-size = 4096\nblock-cache = \"1GiB\"\n[raftstore]\nraft-tick = \"1s\"\nstore-heartbeat = 2500\n",
    )
    .unwrap();
    assert_eq!(config.storage.max_key_size, ByteSize::kib(4));
    assert_eq!(config.storage.block_cache, ByteSize::mib(1024));
    assert_eq!(config.raftstore.raft_tick.duration(), std::time::Duration::from_secs(1));
    assert_eq!(config.raftstore.store_heartbeat.to_string(), "2500ms");
    assert_eq!(ByteSize(0).to_string(), "0B");
    assert_eq!(ByteSize(1025).to_string(), "1025B");
}

#[test]
fn unknown_fields_and_wrong_types_are_refused() {
    for (text, word) in [
        ("[server]\nadress = \"a:1\"", "adress"),
        ("[raft]\nx = 1", "raft"),
        ("[storage]\nmax-key-size = \"8 apples\"", "8 apples"),
        ("[storage]\nmax-key-size = -1", "negative"),
        ("[server]\naddr = 5", "addr"),
        ("not toml", "not toml"),
    ] {
        let error = Config::from_toml(text).expect_err(text).to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::from_file(Path::new("/nonexistent/tinykv.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/tinykv.toml"), "{error}");
}

#[test]
fn every_wrong_value_names_its_key() {
    type Change = fn(&mut Config);
    let table: [(&str, Change); 33] = [
        ("server.addr", |c| c.server.addr = "nonsense".into()),
        ("server.addr", |c| c.server.addr = "host:99999".into()),
        ("server.addr", |c| c.server.addr = "http://127.0.0.1:1".into()),
        ("server.advertise-addr", |c| c.server.addr = "0.0.0.0:20160".into()),
        ("server.status-addr", |c| c.server.status_addr = c.server.addr.clone()),
        ("server.grpc-threads", |c| c.server.grpc_threads = 0),
        ("server.grpc-concurrent-streams", |c| c.server.grpc_concurrent_streams = 0),
        ("server.grpc-max-message-size", |c| c.server.grpc_max_message_size = ByteSize(1)),
        ("server.batch-concurrency", |c| c.server.batch_concurrency = 0),
        ("log.level", |c| c.log.level = "loud".into()),
        ("storage.data-dir", |c| c.storage.data_dir = PathBuf::new()),
        ("storage.max-key-size", |c| c.storage.max_key_size = ByteSize(0)),
        ("storage.max-scan-limit", |c| c.storage.max_scan_limit = 0),
        ("raftstore.raft-tick", |c| c.raftstore.raft_tick = Millis(0)),
        ("raftstore.heartbeat-ticks", |c| c.raftstore.heartbeat_ticks = 0),
        ("raftstore.election-ticks", |c| c.raftstore.election_ticks = 2),
        ("raftstore.max-entry-size", |c| c.raftstore.max_entry_size = ByteSize::mib(16)),
        ("raftstore.store-io-threads", |c| c.raftstore.store_io_threads = 7),
        ("raftstore.log-gc-interval", |c| c.raftstore.log_gc_interval = Millis(0)),
        ("raftstore.log-gc-threshold", |c| c.raftstore.log_gc_threshold = 0),
        ("raftstore.log-gc-count-limit", |c| c.raftstore.log_gc_count_limit = 1),
        ("raftstore.log-gc-size-limit", |c| c.raftstore.log_gc_size_limit = ByteSize(0)),
        ("raftstore.snapshot-concurrency", |c| c.raftstore.snapshot_concurrency = 0),
        ("raftstore.snapshot-rate", |c| c.raftstore.snapshot_rate = ByteSize(1)),
        ("raftstore.background-threads", |c| c.raftstore.background_threads = 0),
        ("raftstore.max-leader-missing", |c| c.raftstore.max_leader_missing = Millis(0)),
        ("raftstore.split-check-interval", |c| c.raftstore.split_check_interval = Millis(0)),
        ("raftstore.region-split-size", |c| c.raftstore.region_split_size = ByteSize(1)),
        ("raftstore.region-max-size", |c| c.raftstore.region_max_size = ByteSize::mib(95)),
        ("raftstore.region-split-keys", |c| c.raftstore.region_split_keys = 1),
        ("raftstore.region-max-keys", |c| c.raftstore.region_max_keys = 959_999),
        ("scheduler.endpoints", |c| c.scheduler.endpoints.clear()),
        ("scheduler.endpoints", |c| c.scheduler.endpoints = vec!["x".into()]),
    ];
    for (key, change) in table {
        let mut config = Config::default();
        change(&mut config);
        let message = message(config.validate());
        assert!(message.contains(key), "expected {key} in: {message}");
    }
}
