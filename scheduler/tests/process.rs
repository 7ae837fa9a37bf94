//! The program itself: flags, exit codes, the data folder, signals.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use proto::metapb::Store;
use slog::{Discard, Logger, o};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tinykv-scheduler");

/// A running scheduler; killed when the test ends early.
struct Process {
    child: Child,
    address: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Process {
    /// Starts it on a free port and waits for the line that says where it serves.
    fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--addr", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, address: String::new(), stderr };
        let mut log = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(process.stderr.read_line(&mut line).unwrap(), 0, "the scheduler ended early: {log}");
            if line.contains("serving") {
                let address = line.split_once("address: ").expect("the line names the address").1;
                process.address = address.split([',', '\n']).next().unwrap_or_default().trim().to_owned();
                return process;
            }
            log.push_str(&line);
        }
    }

    async fn client(&self) -> client::SchedulerClient {
        client::SchedulerClient::connect(vec![self.address.clone()], Logger::root(Discard, o!())).await.unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks it to stop; returns the exit code and what it logged since it served.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut log = String::new();
        while self.stderr.read_line(&mut log).unwrap() > 0 {}
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone after an orderly stop; then both calls do nothing.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

fn fails(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?} does not say {word:?}: {stderr}");
    }
    if code == 1 {
        let complaint = stderr.lines().filter(|line| line.starts_with("tinykv-scheduler: ")).count();
        assert_eq!(complaint, 1, "one clear line: {stderr}");
    }
}

#[test]
fn wrong_flags_and_settings_have_their_exit_codes() {
    fails(&["--no-such-flag"], 2, &["--no-such-flag"]);
    fails(&["--max-replicas", "many"], 2, &["many"]);
    fails(&["--max-replicas", "0"], 1, &["max-replicas"]);
    fails(&["--log-level", "loud"], 1, &["loud"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, "adress = \"x\"\n").unwrap();
    fails(&["--config", file.to_str().unwrap()], 1, &["adress", "settings.toml"]);
    fails(&["--config", "/no/such/file"], 1, &["/no/such/file"]);
}

#[test]
fn printed_settings_are_what_flags_and_file_lead_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, "max-replicas = 5\n").unwrap();
    let output = run(&["--config", file.to_str().unwrap(), "--addr", "127.0.0.1:7777", "--print-config"]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("max-replicas = 5") && printed.contains("127.0.0.1:7777"), "{printed}");
}

#[tokio::test]
async fn state_survives_orderly_stops_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    let cluster_id = process.client().await.cluster_id();
    let mut last_id = 0;
    let mut last_timestamp = (0, 0);
    for (round, signal) in ["-TERM", "-KILL", "-INT", "-KILL"].into_iter().enumerate() {
        let client = process.client().await;
        assert_eq!(client.cluster_id(), cluster_id);
        assert_eq!(client.get_all_stores().await.unwrap().len(), round);
        let id = client.alloc_id().await.unwrap();
        assert!(id > last_id);
        last_id = id;
        let timestamp = client.tso(1).await.unwrap();
        assert!((timestamp.physical, timestamp.logical) > last_timestamp);
        last_timestamp = (timestamp.physical, timestamp.logical);
        let address = format!("127.0.0.1:{}", 20000 + id);
        client.put_store(Store { id, address, ..Default::default() }).await.unwrap();
        // An open stream must not hold up the stop.
        let (code, log) = process.stop(signal);
        if signal != "-KILL" {
            assert_eq!(code, Some(0), "{log}");
            assert!(log.contains("stopped"), "{log}");
        }
        process = Process::start(folder.path());
    }
}

#[test]
fn a_busy_port_is_named_and_no_data_is_touched() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    fails(&["--addr", &address, "--data-dir", data_dir.to_str().unwrap()], 1, &[&address, "in use", "--addr"]);
    assert!(!data_dir.exists());
}

fn fails_on_folder(folder: &Path, words: &[&str]) {
    let path = folder.to_str().unwrap();
    let words: Vec<&str> = words.iter().copied().chain([path]).collect();
    fails(&["--addr", "127.0.0.1:0", "--data-dir", path], 1, &words);
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    fails_on_folder(folder.path(), &["in use by another process"]);
    assert_eq!(process.stop("-TERM").0, Some(0));
}

#[test]
fn a_folder_of_another_kind_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("holiday.jpg"), "picture").unwrap();
    fails_on_folder(folder.path(), &["not a scheduler's", "--data-dir"]);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["holiday.jpg"]);
    let file = folder.path().join("holiday.jpg");
    fails_on_folder(&file, &[]);
}

#[test]
fn a_folder_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Process::start(folder.path()).stop("-TERM").0, Some(0));
    let label = folder.path().join("scheduler.toml");
    let text = fs::read_to_string(&label).unwrap();

    fs::write(&label, "not = [toml").unwrap();
    fails_on_folder(folder.path(), &["scheduler.toml is damaged"]);
    fs::write(&label, text.replace("tinykv-scheduler", "tinykv-server")).unwrap();
    fails_on_folder(folder.path(), &["tinykv-server"]);
    let cluster_id = text.lines().find(|line| line.starts_with("cluster-id")).unwrap();
    fs::write(&label, text.replace(cluster_id, "cluster-id = \"17\"")).unwrap();
    fails_on_folder(folder.path(), &["17", "do not belong together"]);
    fs::write(&label, &text).unwrap();

    let away = folder.path().join("elsewhere");
    fs::rename(folder.path().join("db"), &away).unwrap();
    fails_on_folder(folder.path(), &["database is missing"]);
    assert!(!folder.path().join("db").exists());
    fs::create_dir(folder.path().join("db")).unwrap();
    fails_on_folder(folder.path(), &["data is gone"]);
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    fs::rename(&away, folder.path().join("db")).unwrap();
    assert_eq!(Process::start(folder.path()).stop("-TERM").0, Some(0));
}

#[test]
fn an_interrupted_creation_is_simply_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let label = "kind = \"tinykv-scheduler\"\nformat = 1\nstate = \"creating\"\ncluster-id = \"\"\n";
    fs::write(folder.path().join("scheduler.toml"), label).unwrap();
    assert_eq!(Process::start(folder.path()).stop("-TERM").0, Some(0));
    assert!(fs::read_to_string(folder.path().join("scheduler.toml")).unwrap().contains("ready"));
}

#[tokio::test]
async fn garbage_on_the_port_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense"] {
        let mut stream = std::net::TcpStream::connect(&process.address).unwrap();
        stream.write_all(garbage).unwrap();
    }
    process.client().await.alloc_id().await.unwrap();
    assert_eq!(process.stop("-TERM").0, Some(0));
}
