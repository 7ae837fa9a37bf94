//! What a store says about itself on its status port.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Cluster;
use super::wait::wait_until;

/// Raft positions of one region on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub term: u64,
    pub commit: u64,
    pub applied: u64,
}

/// GET `path` from a local HTTP server; the body as text when the answer is 200.
pub async fn http_get(addr: &str, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(addr).await.map_err(|error| format!("connect to {addr}: {error}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a blank line")?;
    let first = head.lines().next().unwrap_or_default();
    if first.split_whitespace().nth(1) != Some("200") {
        return Err(format!("{path}: {first}"));
    }
    Ok(body.to_owned())
}

/// The raft positions of every region on the store with this status port.
pub async fn positions(status_addr: &str) -> Result<BTreeMap<u64, Position>, String> {
    let body = http_get(status_addr, "/status").await?;
    let status: Value = serde_json::from_str(&body).map_err(|error| format!("{error} in {body}"))?;
    let regions = status["regions"].as_array().ok_or_else(|| format!("no regions in {body}"))?;
    let number = |region: &Value, name: &str| {
        region[name].as_u64().ok_or_else(|| format!("a region without a number `{name}` in {body}"))
    };
    let mut positions = BTreeMap::new();
    for region in regions {
        let position = Position {
            term: number(region, "term")?,
            commit: number(region, "commit")?,
            applied: number(region, "applied")?,
        };
        positions.insert(number(region, "id")?, position);
    }
    Ok(positions)
}

impl Cluster {
    /// Waits until every store has applied the same index of every region and nothing is left to apply.
    ///
    /// Callers stop all writers first, or this may never come true.
    pub async fn wait_equal_applied(&self, bound: Duration) {
        let addresses: Vec<&str> = (0..self.len()).map(|number| self.status_addr(number)).collect();
        wait_until("all stores to have applied the same entries", bound, || {
            let addresses = addresses.clone();
            async move {
                let mut all = Vec::new();
                for address in addresses {
                    let positions = positions(address).await?;
                    if positions.is_empty() || positions.values().any(|at| at.applied != at.commit) {
                        return Err(format!("{address} is still applying: {positions:?}"));
                    }
                    all.push(positions);
                }
                if all.windows(2).any(|pair| pair[0] != pair[1]) {
                    return Err(format!("positions differ: {all:?}"));
                }
                Ok(())
            }
        })
        .await;
    }
}
