//! How a raw value lies in the engine: the user's bytes, then the second at which it expires as eight big-endian bytes, 0 for never.
//!
//! The expiry is absolute and fixed before the write is proposed, so every replica stores the same bytes and whether a value has
//! expired depends on nothing but the value and a time.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Result};

/// Bytes that the encoding adds to a value.
pub const EXPIRY_LEN: usize = 8;

/// The expiry of a value that never expires.
pub const NEVER: u64 = 0;

/// The expiry of a value written at `now` with `ttl` seconds to live; a `ttl` of 0 means for ever.
pub fn expiry(now: u64, ttl: u64) -> u64 {
    if ttl == 0 { NEVER } else { now.saturating_add(ttl) }
}

/// Whether a value with this expiry is gone at `now`.
pub fn is_expired(expiry: u64, now: u64) -> bool {
    expiry != NEVER && expiry <= now
}

/// The stored form of `value`.
pub fn encode(value: &[u8], expiry: u64) -> Bytes {
    let mut stored = BytesMut::with_capacity(value.len() + EXPIRY_LEN);
    stored.put_slice(value);
    stored.put_u64(expiry);
    stored.freeze()
}

/// Splits a stored value into the user's bytes and the expiry.
pub fn decode(stored: &[u8]) -> Result<(&[u8], u64)> {
    let Some((value, expiry)) = stored.split_last_chunk::<EXPIRY_LEN>() else {
        return Err(Error::Corrupted { message: format!("a raw value of {} bytes holds no expiry", stored.len()) });
    };
    Ok((value, u64::from_be_bytes(*expiry)))
}

/// The user's bytes of a stored value, or `None` if it has expired at `now`. Copies nothing.
pub fn live(stored: &Bytes, now: u64) -> Result<Option<Bytes>> {
    let (value, expiry) = decode(stored)?;
    Ok((!is_expired(expiry, now)).then(|| stored.slice(..value.len())))
}
