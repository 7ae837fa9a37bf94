//! Three etcd members on this machine, with etcd's default configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::ports;
use crate::cluster::process::Process;
use crate::cluster::status::http_get;
use crate::cluster::wait::wait_until;

const START_BOUND: Duration = Duration::from_secs(30);
/// Room for the history of a long run; etcd's default stops writes at 2 GiB.
const QUOTA_BYTES: u64 = 8 << 30;
const MEMBERS: usize = 3;

/// Running members. Dropping it kills them; the folder goes as well.
pub struct Members {
    clients: Vec<String>,
    processes: Vec<Process>,
    _folder: tempfile::TempDir,
}

/// The etcd binary: `ETCD`, or `etcd` on the path.
pub fn find_binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ETCD").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|path| path.is_file())
}

impl Members {
    /// Starts three members with data folders below `parent` and waits for a leader.
    pub async fn start(binary: &Path, parent: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("etcd-").tempdir_in(parent).expect("make a folder for etcd");
        let clients: Vec<String> = (0..MEMBERS).map(|_| ports::free_address()).collect();
        let peers: Vec<String> = (0..MEMBERS).map(|_| ports::free_address()).collect();
        let all: Vec<String> =
            peers.iter().enumerate().map(|(number, peer)| format!("member{number}=http://{peer}")).collect();
        let mut processes = Vec::new();
        for number in 0..MEMBERS {
            let (client, peer) = (format!("http://{}", clients[number]), format!("http://{}", peers[number]));
            let args = [
                ("--name", format!("member{number}")),
                ("--data-dir", folder.path().join(format!("member{number}")).display().to_string()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", all.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
                ("--quota-backend-bytes", QUOTA_BYTES.to_string()),
                ("--log-level", "error".to_owned()),
            ];
            let args: Vec<String> = args.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
            let log = folder.path().join(format!("member{number}.log"));
            processes.push(Process::spawn(&format!("etcd member {number}"), binary, &args, &log));
        }
        let members = Members { clients, processes, _folder: folder };
        members.leader().await;
        members
    }

    /// `host:port` of the leader's client service.
    pub async fn leader(&self) -> String {
        wait_until("an etcd member to lead", START_BOUND, || async {
            for client in &self.clients {
                let metrics = http_get(client, "/metrics").await?;
                if metrics.lines().any(|line| line == "etcd_server_is_leader 1") {
                    return Ok(client.clone());
                }
            }
            Err("no member leads".to_owned())
        })
        .await
    }

    /// Process ids of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }
}

/// The version that the binary reports.
pub fn version(binary: &Path) -> String {
    let output = std::process::Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("etcd of an unknown version").to_owned()
}
