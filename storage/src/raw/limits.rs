//! What a raw request may ask for. Checked before anything is read or proposed.

use crate::{Error, Result};

/// Limits of raw requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key in bytes.
    pub max_key_len: usize,
    /// Longest value in bytes. A backstop: a replicated storage refuses what exceeds its log entry limit (`RaftEntryTooLarge`),
    /// usually far below this.
    pub max_value_len: usize,
    /// Most pairs that one scan (or one range of a batch scan) may ask for.
    pub max_scan_limit: usize,
    /// Most bytes of keys and values in one response. A response that would exceed it is an error, never cut short: clients take a
    /// short scan for the end of the region. Note that the official Rust client refuses to decode more than 4 MiB by default,
    /// while the Go client takes any size, so the default is above 4 MiB.
    pub max_response_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_key_len: 8 << 10, max_value_len: 64 << 20, max_scan_limit: 10240, max_response_bytes: 32 << 20 }
    }
}

impl Limits {
    /// Refuses empty and oversized keys.
    pub fn check_key(&self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::KeyEmpty);
        }
        if key.len() > self.max_key_len {
            return Err(Error::KeyTooLarge { len: key.len(), limit: self.max_key_len });
        }
        Ok(())
    }

    /// Refuses oversized values; empty ones are fine.
    pub fn check_value(&self, value: &[u8]) -> Result<()> {
        if value.len() > self.max_value_len {
            return Err(Error::ValueTooLarge { len: value.len(), limit: self.max_value_len });
        }
        Ok(())
    }

    /// Refuses scans for too many pairs.
    pub fn check_scan_limit(&self, limit: usize) -> Result<()> {
        if limit > self.max_scan_limit {
            return Err(Error::ScanLimit { limit, max: self.max_scan_limit });
        }
        Ok(())
    }

    /// An empty budget for one response.
    pub(super) fn response_budget(&self) -> ResponseBudget {
        ResponseBudget { max: self.max_response_bytes, used: 0 }
    }
}

/// Refuses a range that runs backwards. Equal bounds are an empty range, an empty upper bound is unbounded.
pub(super) fn check_range(lower: &[u8], upper: &[u8]) -> Result<()> {
    if !upper.is_empty() && lower > upper {
        return Err(Error::ReversedRange { lower: lower.to_vec(), upper: upper.to_vec() });
    }
    Ok(())
}

/// Counts the bytes of a response while it is put together.
pub(super) struct ResponseBudget {
    max: usize,
    used: usize,
}

impl ResponseBudget {
    /// Takes `bytes` from what is left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.max { Err(Error::ResponseTooLarge { max: self.max }) } else { Ok(()) }
    }
}
