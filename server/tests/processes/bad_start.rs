//! Starts that must fail: with one clear line, the right exit code, and nothing changed in the data folder.
//!
//! Exit codes: 1 for an error, 2 for wrong usage of the command line.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::process::{Process, scheduler_binary, server_binary};
use crate::cluster::status::http_get;
use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, START_BOUND, ports};
use tempfile::TempDir;

/// How long a process may take to find out that it cannot start.
const REFUSAL_BOUND: Duration = Duration::from_secs(30);

/// How a start that should fail has ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    output: String,
}

impl Ended {
    fn assert(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.output.contains(word), "the output must name {word:?}: {self:?}");
        }
        assert!(!self.output.contains("panicked"), "{self:?}");
    }
}

fn folder() -> TempDir {
    let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new().prefix("start-").tempdir_in(parent).expect("make a folder")
}

async fn run_to_end(binary: PathBuf, args: &[&str], folder: &TempDir) -> Ended {
    let log = folder.path().join("output");
    std::fs::remove_file(&log).ok();
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let mut process = Process::spawn("a start that must fail", &binary, &args, &log);
    let status = process.wait_end(REFUSAL_BOUND).await;
    Ended { code: status.code(), output: std::fs::read_to_string(&log).expect("read the output") }
}

/// Every file below `path` with its contents, except the lock file, which may be touched.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("list a folder") {
            let path = entry.expect("list a folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                let bytes = std::fs::read(&path).expect("read a file");
                found.insert(path, bytes);
            }
        }
    }
    found
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_flags_are_wrong_usage() {
    let tmp = folder();
    for binary in [server_binary(), scheduler_binary()] {
        run_to_end(binary.clone(), &["--no-such-flag"], &tmp).await.assert(2, &["--no-such-flag"]);
        let ended = run_to_end(binary.clone(), &["--help"], &tmp).await;
        ended.assert(0, &["--addr", "--data-dir"]);
        run_to_end(binary, &["--print-config"], &tmp).await.assert(0, &["addr"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations_are_refused() {
    let tmp = folder();
    let data = tmp.path().join("data");
    let wrong = [
        ("no-such-key = 1", "no-such-key"),
        ("[raftstore]\nheartbeat-tiks = 3", "heartbeat-tiks"),
        ("[raftstore]\nheartbeat-ticks = 20\nelection-ticks = 10", "election-ticks"),
        ("[raftstore]\nheartbeat-ticks = \"often\"", "heartbeat-ticks"),
        ("[server]\naddr = \"nowhere\"", "addr"),
        ("[log]\nlevel = \"loud\"", "level"),
        ("this is not TOML", "line 1"),
    ];
    for (config, word) in wrong {
        let file = tmp.path().join("wrong.toml");
        std::fs::write(&file, config).expect("write a configuration");
        let args = ["--standalone", "--config", &text(&file), "--data-dir", &text(&data)];
        let ended = run_to_end(server_binary(), &args, &tmp).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{config}: {ended:?}");
        assert!(ended.output.contains(word), "{config}: the output must name {word:?}: {ended:?}");
        assert!(!data.exists(), "{config}: nothing may be made before the configuration is right");
    }
    let missing = tmp.path().join("missing.toml");
    let args = ["--standalone", "--config", &text(&missing), "--data-dir", &text(&data)];
    let ended = run_to_end(server_binary(), &args, &tmp).await;
    assert!(matches!(ended.code, Some(1 | 2)) && ended.output.contains("missing.toml"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_named() {
    let tmp = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("take a port");
    let busy = taken.local_addr().expect("its address").to_string();
    let (free, status) = (ports::free_address(), ports::free_address());
    let data = text(&tmp.path().join("data"));
    let args = ["--standalone", "--addr", &busy, "--status-addr", &status, "--data-dir", &data];
    run_to_end(server_binary(), &args, &tmp).await.assert(1, &[&busy]);
    let args = ["--standalone", "--addr", &free, "--status-addr", &busy, "--data-dir", &data];
    run_to_end(server_binary(), &args, &tmp).await.assert(1, &[&busy]);
    let data = text(&tmp.path().join("scheduler"));
    run_to_end(scheduler_binary(), &["--addr", &busy, "--data-dir", &data], &tmp).await.assert(1, &[&busy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_user() {
    let tmp = folder();
    let data = tmp.path().join("data");
    let addresses: Vec<String> = (0..4).map(|_| ports::free_address()).collect();
    let args = |addr: &str, status: &str| {
        let words = ["--standalone", "--addr", addr, "--status-addr", status, "--data-dir"];
        words.into_iter().map(str::to_owned).chain([text(&data)]).collect::<Vec<String>>()
    };
    let log = tmp.path().join("first.log");
    let mut first = Process::spawn("a standalone store", &server_binary(), &args(&addresses[0], &addresses[1]), &log);
    wait_until("the store to serve", START_BOUND, || http_get(&addresses[1], "/status")).await;
    let second = args(&addresses[2], &addresses[3]);
    let second: Vec<&str> = second.iter().map(String::as_str).collect();
    run_to_end(server_binary(), &second, &tmp).await.assert(1, &["in use", &text(&data)]);
    http_get(&addresses[1], "/status").await.expect("the first store keeps serving");
    assert!(first.terminate(START_BOUND).await.success());

    // The folder now belongs to a standalone store.
    let before = contents(&data);
    let replicated = [&["--scheduler", "127.0.0.1:1"], &second[1..]].concat();
    run_to_end(server_binary(), &replicated, &tmp).await.assert(1, &["standalone", &text(&data)]);
    assert_eq!(contents(&data), before, "a refused start changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedulers_data_folder_has_one_user() {
    let mut cluster = Cluster::prepare(Options { stores: 0, ..Options::default() });
    cluster.start_scheduler().await;
    let tmp = folder();
    let data = text(&cluster.folder().join("scheduler"));
    let args = ["--addr", &ports::free_address(), "--data-dir", &data];
    run_to_end(scheduler_binary(), &args, &tmp).await.assert(1, &["in use", &data]);
    cluster.assert_running();
    let foreign = tmp.path().join("foreign");
    std::fs::create_dir(&foreign).expect("make a folder");
    std::fs::write(foreign.join("thesis.tex"), "x").expect("write a file");
    let args = ["--addr", &ports::free_address(), "--data-dir", &text(&foreign)];
    run_to_end(scheduler_binary(), &args, &tmp).await.assert(1, &[&text(&foreign)]);
    assert_eq!(contents(&foreign).len(), 1, "a refused start changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_other_clusters_and_stores_and_half_folders_are_refused() {
    let mut one = Cluster::start().await;
    let mut other = Cluster::prepare(Options { stores: 1, ..Options::default() });
    other.start_scheduler().await;
    let client = one.raw_client().await;
    client.put(b"folder".to_vec(), b"1".to_vec()).await.expect("put");
    for store in 0..one.len() {
        assert!(one.stop_store(store).await.success());
    }
    let tmp = folder();

    // The right folder, the wrong cluster.
    let mut args = one.store_args(0);
    let scheduler = args.iter().position(|arg| arg == one.scheduler_addr()).expect("the scheduler's address");
    args[scheduler] = other.scheduler_addr().to_owned();
    refused(&args, &tmp, "cluster").await;

    // Half of another store's folder.
    let (mine, theirs) = (one.data_dir(0).to_path_buf(), one.data_dir(1).to_path_buf());
    let aside = tmp.path().join("aside");
    std::fs::rename(mine.join("raft"), &aside).expect("move a folder");
    let before = contents(&mine);
    refused(&one.store_args(0), &tmp, "raft").await;
    assert_eq!(contents(&mine), before, "a refused start changes nothing");
    std::fs::rename(theirs.join("raft"), mine.join("raft")).expect("move a folder");
    refused(&one.store_args(0), &tmp, "store").await;
    std::fs::rename(mine.join("raft"), theirs.join("raft")).expect("move a folder");
    std::fs::rename(&aside, mine.join("raft")).expect("move a folder");

    // A record that was cut short.
    let kind = std::fs::read(mine.join("KIND")).expect("read KIND");
    let inside_a_word = kind.len().min(20);
    std::fs::write(mine.join("KIND"), &kind[..inside_a_word]).expect("cut KIND");
    refused(&one.store_args(0), &tmp, "KIND").await;
    std::fs::write(mine.join("KIND"), &kind).expect("mend KIND");

    // After all that, everything is still there.
    for store in 0..one.len() {
        one.start_store(store);
    }
    one.wait_serving(START_BOUND).await;
    assert_eq!(one.raw_client().await.get(b"folder".to_vec()).await.expect("get"), Some(b"1".to_vec()));
}

async fn refused(args: &[String], tmp: &TempDir, word: &str) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_to_end(server_binary(), &args, tmp).await.assert(1, &[word]);
}
