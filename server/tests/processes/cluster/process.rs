//! One child process with its log file: spawn, SIGKILL, SIGTERM with a bound, the end of its log.
//!
//! Dropping a [`Process`] kills it, so a failing test leaves none behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::wait_until;

/// A running child process.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `program`; its output is appended to `log`.
    pub fn spawn(name: &str, program: &Path, args: &[String], log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("open a log file");
        let errors = output.try_clone().expect("share a log file");
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Process { name: name.to_owned(), child }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, or `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for a child's state")
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(&mut self) {
        if self.exit_status().is_none() {
            self.child.kill().expect("send SIGKILL to a child");
        }
        self.child.wait().expect("wait for a child");
    }

    /// SIGTERM, then waits for the end at most `bound`.
    pub async fn terminate(&mut self, bound: Duration) -> ExitStatus {
        if self.exit_status().is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("send SIGTERM to a child");
        }
        let what = format!("{} to stop after SIGTERM", self.name);
        wait_until(&what, bound, || {
            let status = self.exit_status();
            async move { status.ok_or_else(|| "it is still running".to_owned()) }
        })
        .await
    }

    /// Waits at most `bound` for the process to end by itself.
    pub async fn wait_end(&mut self, bound: Duration) -> ExitStatus {
        let what = format!("{} to end by itself", self.name);
        wait_until(&what, bound, || {
            let status = self.exit_status();
            async move { status.ok_or_else(|| "it is still running".to_owned()) }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // The process may end between the question and the signal; both errors then mean "gone".
            if self.child.kill().is_ok() {
                self.child.wait().ok();
            }
        }
    }
}

/// The store's binary, which cargo builds before these tests.
pub fn server_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tinykv-server"))
}

/// The scheduler's binary, of another package: beside the store's.
pub fn scheduler_binary() -> PathBuf {
    let path = server_binary().with_file_name("tinykv-scheduler");
    assert!(path.exists(), "{} is missing; build it with: cargo build -p scheduler", path.display());
    path
}

/// The last `lines` lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let Ok(bytes) = std::fs::read(path) else { return format!("(cannot read {})", path.display()) };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Resident memory of a process in KiB, as the kernel counts it.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time that a process has used so far, in clock ticks of 1/100 s.
pub fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The threads of a process, and how far each steps back behind others (`man 7 sched`, "The nice value").
#[cfg(target_os = "linux")]
pub fn niceness_of_threads(pid: u32) -> Vec<(String, i32)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let stats = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let parse = |stat: String| {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
    };
    stats.filter_map(parse).collect()
}
