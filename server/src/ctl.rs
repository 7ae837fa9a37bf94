//! What `tinykv-ctl` does: a thin client for people. It asks the scheduler where a key is, sends one request there, and asks again
//! when the region has moved. Programs use a real client library. It also looks into the data folder of a stopped store.

mod operators;
mod regions;
#[cfg(feature = "rocksdb")]
mod stopped;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use client::SchedulerClient;
use proto::kvrpcpb::{Context, KvPair, RawDeleteRequest, RawGetRequest, RawPutRequest, RawScanRequest};
use proto::metapb::Region;
use proto::tikvpb::tikv_client::TikvClient;
use proto::{errorpb, pdpb};
use tonic::transport::{Channel, Endpoint};

pub use operators::Order;
pub use regions::SplitAt;
#[cfg(feature = "rocksdb")]
pub use stopped::StoppedStore;

/// Result of a command of the tool.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command of the tool failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scheduler could not help.
    #[error("scheduler: {0}")]
    Scheduler(#[from] client::Error),
    /// A key or value on the command line is not written as it should be.
    #[error("`{0}`: a backslash must be followed by xNN (two hexadecimal digits) or another backslash")]
    Escape(String),
    /// The store refused the command.
    #[error("store: {0}")]
    Refused(String),
    /// The data folder of a stopped store could not be read.
    #[error(transparent)]
    Folder(#[from] crate::Error),
    /// The scheduler does not know the region.
    #[error("the scheduler knows no region {0}")]
    UnknownRegion(u64),
    /// What was ordered was not done.
    #[error("{what}: {how}")]
    NotDone {
        /// What was ordered.
        what: String,
        /// How it ended.
        how: &'static str,
    },
    /// Nobody could serve the key; the text says what the last try met.
    #[error("no store could serve the key within {tries} tries; the last one: {last}", tries = TRIES)]
    Unavailable {
        /// What the last try met.
        last: String,
    },
}

impl Error {
    /// Whether the same command may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Scheduler(error) => error.is_retryable(),
            Self::Unavailable { .. } | Self::NotDone { .. } => true,
            Self::Escape(_) | Self::Refused(_) | Self::UnknownRegion(_) | Self::Folder(_) => false,
        }
    }
}

/// Tries of one command; with the pauses below about five seconds.
const TRIES: u32 = 14;
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(5);

/// A connection to a cluster.
pub struct Ctl {
    scheduler: SchedulerClient,
}

/// How one try ended.
enum Outcome<T> {
    Done(T),
    Refused(String),
    /// The region has moved, or its store does not answer.
    Again(String),
}

impl<T> Outcome<T> {
    /// From the error fields that every response has.
    fn new(region_error: Option<errorpb::Error>, error: String, value: T) -> Self {
        match region_error {
            Some(e) if e.raft_entry_too_large.is_some() || e.disk_full.is_some() => Self::Refused(e.message),
            Some(e) => Self::Again(e.message),
            None if !error.is_empty() => Self::Refused(error),
            None => Self::Done(value),
        }
    }
}

impl Ctl {
    /// Connects to the scheduler.
    ///
    /// # Errors
    /// No scheduler answers at these addresses.
    pub async fn connect(endpoints: Vec<String>) -> Result<Self> {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        Ok(Self { scheduler: SchedulerClient::connect(endpoints, log).await? })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// As all commands on keys: the scheduler, a refusal, or nobody who can serve the key.
    pub async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        self.at_region(&key, |mut store, context, _| {
            let request = RawGetRequest { context: Some(context), key: key.clone(), ..Default::default() };
            async move {
                let response = store.raw_get(request).await?.into_inner();
                let value = (!response.not_found).then_some(response.value);
                Ok(Outcome::new(response.region_error, response.error, value))
            }
        })
        .await
    }

    /// Sets `key`; it expires after `ttl` seconds, or never if that is 0.
    ///
    /// # Errors
    /// See [`Ctl::get`].
    pub async fn put(&self, key: Bytes, value: Bytes, ttl: u64) -> Result<()> {
        self.at_region(&key, |mut store, context, _| {
            let (key, value) = (key.clone(), value.clone());
            let request = RawPutRequest { context: Some(context), key, value, ttl, ..Default::default() };
            async move {
                let response = store.raw_put(request).await?.into_inner();
                Ok(Outcome::new(response.region_error, response.error, ()))
            }
        })
        .await
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// See [`Ctl::get`].
    pub async fn delete(&self, key: Bytes) -> Result<()> {
        self.at_region(&key, |mut store, context, _| {
            let request = RawDeleteRequest { context: Some(context), key: key.clone(), ..Default::default() };
            async move {
                let response = store.raw_delete(request).await?.into_inner();
                Ok(Outcome::new(response.region_error, response.error, ()))
            }
        })
        .await
    }

    /// Up to `limit` pairs of `[start, end)` ("" = unbounded), region by region.
    ///
    /// # Errors
    /// See [`Ctl::get`].
    pub async fn scan(&self, start: Bytes, end: Bytes, limit: u32, key_only: bool) -> Result<Vec<KvPair>> {
        let mut pairs: Vec<KvPair> = Vec::new();
        let mut from = start;
        loop {
            let left = limit.saturating_sub(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
            let (found, region_end) = self
                .at_region(&from, |mut store, context, region| {
                    let (start_key, end_key) = (from.clone(), end.clone());
                    let context = Some(context);
                    let request =
                        RawScanRequest { context, start_key, end_key, limit: left, key_only, ..Default::default() };
                    let region_end = region.end_key.clone();
                    async move {
                        let response = store.raw_scan(request).await?.into_inner();
                        let error = response.kvs.iter().find_map(|pair| pair.error.clone()).unwrap_or_default().abort;
                        Ok(Outcome::new(response.region_error, error, (response.kvs, region_end)))
                    }
                })
                .await?;
            pairs.extend(found);
            let covered = region_end.is_empty() || (!end.is_empty() && region_end >= end);
            if covered || pairs.len() >= limit as usize {
                return Ok(pairs);
            }
            from = region_end;
        }
    }

    /// Cluster, stores and regions on one page.
    ///
    /// # Errors
    /// The scheduler.
    pub async fn status(&self) -> Result<String> {
        let bootstrapped = self.scheduler.is_bootstrapped().await?;
        let mut text = format!("cluster {}", self.scheduler.cluster_id());
        text.push_str(if bootstrapped { "\n\n" } else { ", not bootstrapped yet (too few stores)\n\n" });
        text += &self.stores().await?;
        if bootstrapped {
            text.push('\n');
            text += &self.regions().await?;
        }
        Ok(text)
    }

    /// Sends a request to the leader of the region of `key`, again with pauses while the region moves or its store is away.
    async fn at_region<T, F, R>(&self, key: &[u8], send: F) -> Result<T>
    where
        F: Fn(TikvClient<Channel>, Context, &Region) -> R,
        R: Future<Output = std::result::Result<Outcome<T>, tonic::Status>>,
    {
        let mut last = String::new();
        let mut pause = PAUSE;
        for attempt in 0..TRIES {
            match self.one_try(key, attempt as usize, &send).await? {
                Outcome::Done(value) => return Ok(value),
                Outcome::Refused(reason) => return Err(Error::Refused(reason)),
                Outcome::Again(reason) => last = reason,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(Error::Unavailable { last })
    }

    async fn one_try<T, F, R>(&self, key: &[u8], attempt: usize, send: &F) -> Result<Outcome<T>>
    where
        F: Fn(TikvClient<Channel>, Context, &Region) -> R,
        R: Future<Output = std::result::Result<Outcome<T>, tonic::Status>>,
    {
        let Some(pdpb::Region { region: Some(region), leader, .. }) = self.scheduler.get_region(key).await? else {
            return Ok(Outcome::Again("the scheduler knows no region for the key yet".to_owned()));
        };
        // Without a known leader the peers are asked in turn.
        let in_turn = || region.peers.get(attempt % region.peers.len().max(1)).cloned();
        let Some(peer) = leader.filter(|leader| leader.store_id != 0).or_else(in_turn) else {
            return Ok(Outcome::Again(format!("region {} has no peers", region.id)));
        };
        let address = self.scheduler.get_store(peer.store_id).await?.address;
        let endpoint = match Endpoint::from_shared(format!("http://{address}")) {
            Ok(endpoint) => endpoint.connect_timeout(DEADLINE).timeout(DEADLINE),
            Err(e) => return Ok(Outcome::Again(format!("address `{address}`: {e}"))),
        };
        let context = Context {
            region_id: region.id,
            region_epoch: region.region_epoch,
            peer: Some(peer),
            cluster_id: self.scheduler.cluster_id(),
            ..Default::default()
        };
        let client = TikvClient::new(endpoint.connect_lazy()).max_decoding_message_size(usize::MAX);
        match send(client, context, &region).await {
            Ok(outcome) => Ok(outcome),
            Err(status) => Ok(Outcome::Again(format!("{address}: {}", status.message()))),
        }
    }
}

/// Pairs as the tool prints them: one a line, key and value separated by a tabulator.
pub fn print_pairs(pairs: &[KvPair], keys_only: bool) -> String {
    let mut text = String::new();
    for pair in pairs {
        text += &escape(&pair.key);
        if !keys_only {
            text.push('\t');
            text += &escape(&pair.value);
        }
        text.push('\n');
    }
    text
}

/// Bytes as text: printable ASCII as it is, a backslash doubled, everything else as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("invariant: writing into a string cannot fail"),
        }
    }
    text
}

/// The reverse of [`escape`]; text beyond ASCII stands for its UTF-8 bytes.
///
/// # Errors
/// [`Error::Escape`] for a backslash that begins nothing.
pub fn unescape(text: &str) -> Result<Bytes> {
    let wrong = || Error::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => {
                let digit = |c: &u8| char::from(*c).to_digit(16).ok_or_else(wrong);
                let value = digit(high)? * 16 + digit(low)?;
                bytes.push(u8::try_from(value).map_err(|_| wrong())?);
                rest = after;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_string_can_be_written_on_a_command_line() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)).unwrap(), all);
        assert_eq!(unescape("ä").unwrap(), "ä".as_bytes());
        assert_eq!(escape(b"a\\\n"), "a\\\\\\x0a");
        for wrong in ["\\", "\\x1", "\\xzz", "\\n"] {
            assert!(matches!(unescape(wrong), Err(Error::Escape(_))), "{wrong}");
        }
    }
}
