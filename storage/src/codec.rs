//! E(x), the memcomparable encoding of byte strings: `x < y` exactly if `E(x) < E(y)`, and no encoding is a prefix of another, so
//! a key can be followed by a timestamp.
//!
//! The bytes are cut into groups of eight, the last one padded with zeros; each group is followed by the marker `0xFF - padding`. A
//! length that is a multiple of eight gets one more group of padding alone, so `E("")` is eight zeros and `0xF7`.

use crate::{Error, Result};

const GROUP: usize = 8;
const MARKER: u8 = 0xFF;
const ENCODED_GROUP: usize = GROUP + 1;

/// How long `E(x)` is for an `x` of `len` bytes.
pub const fn encoded_len(len: usize) -> usize {
    (len / GROUP + 1) * ENCODED_GROUP
}

/// E(key).
pub fn encode_bytes(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_len(key.len()));
    encode_bytes_into(key, &mut out);
    out
}

/// Appends E(key) to `out`.
pub fn encode_bytes_into(key: &[u8], out: &mut Vec<u8>) {
    let (groups, rest) = key.as_chunks::<GROUP>();
    for group in groups {
        out.extend_from_slice(group);
        out.push(MARKER);
    }
    let padding = GROUP - rest.len();
    out.extend_from_slice(rest);
    out.resize(out.len() + padding, 0);
    out.push(MARKER - padding as u8);
}

/// The `x` whose encoding `encoded` begins with, and what follows it. Anything that [`encode_bytes`] cannot have made is
/// [`Error::Corrupted`].
pub fn decode_bytes(encoded: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut key = Vec::with_capacity(encoded.len() / ENCODED_GROUP * GROUP);
    let mut rest = encoded;
    loop {
        let Some((chunk, tail)) = rest.split_first_chunk::<ENCODED_GROUP>() else {
            return Err(corrupted(encoded, "it ends in the middle of a group"));
        };
        rest = tail;
        let (group, marker) = (&chunk[..GROUP], chunk[GROUP]);
        let padding = usize::from(MARKER - marker);
        if padding > GROUP {
            return Err(corrupted(encoded, "a group's marker is out of range"));
        }
        let (bytes, pad) = group.split_at(GROUP - padding);
        if pad.iter().any(|byte| *byte != 0) {
            return Err(corrupted(encoded, "padding is not zero"));
        }
        key.extend_from_slice(bytes);
        if padding > 0 {
            return Ok((key, rest));
        }
    }
}

/// The inverse of [`encode_bytes`]: nothing may follow the encoding.
pub fn decode_bytes_exact(encoded: &[u8]) -> Result<Vec<u8>> {
    match decode_bytes(encoded)? {
        (key, []) => Ok(key),
        _ => Err(corrupted(encoded, "more bytes follow it")),
    }
}

/// Whether `encoded` is E(x) for some x.
pub fn is_encoded(encoded: &[u8]) -> bool {
    decode_bytes_exact(encoded).is_ok()
}

fn corrupted(encoded: &[u8], why: &str) -> Error {
    Error::Corrupted { message: format!("\"{}\" is not a memcomparable encoding: {why}", encoded.escape_ascii()) }
}
