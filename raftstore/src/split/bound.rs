//! Which byte strings may be the bound between two regions.
//!
//! Invariant: every bound is E(x), the memcomparable encoding of some x, so that transactional clients can decode it. No encoding is
//! a prefix of another; so a bound never comes between two versions of a transactional key, which share E(key) as their prefix.
//!
//! Raw keys are compared with bounds as they are. Between two raw keys there is a bound where they differ within their first eight
//! bytes: what follows a whole group of eight in an encoding is its marker, not the key.

use bytes::Bytes;
use proto::metapb::Region;
use storage::codec::{decode_bytes, encode_bytes};

use crate::error::{Error, Result};

/// Bytes of a group of the encoding.
const GROUP: usize = 8;
/// Bytes of the timestamp that follows E(key) in the column families of transactions.
const TIMESTAMP: usize = 8;

/// A bound `b` with `before < b <= key`, the shortest that is easy to find; `None` if no encoding comes between the two.
pub fn bound_between(before: &[u8], key: &[u8]) -> Option<Bytes> {
    // lab:begin 3B split::bound_between  hint="a transactional key brings its own bound; for raw keys try encodings of ever longer prefixes"
    let fits = |bound: &Vec<u8>| before < bound.as_slice() && bound.as_slice() <= key;
    let own = encoded_prefix(key).map(<[u8]>::to_vec);
    let of_prefixes = (1..=key.len().min(GROUP)).map(|len| encode_bytes(&key[..len]));
    let last = bound_for_raw(key).map(Vec::from);
    own.into_iter().chain(of_prefixes).chain(last).find(fits).map(Bytes::from)
    // lab:end
}

/// E(user key) of a key of a transactional column family.
fn encoded_prefix(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = decode_bytes(key).ok()?;
    matches!(rest.len(), 0 | TIMESTAMP).then(|| &key[..key.len() - rest.len()])
}

/// The bound for a cut before a transactional user key.
pub fn bound_for_transactional(key: &[u8]) -> Bytes {
    encode_bytes(key).into()
}

/// The bound for a cut before a raw key: of all encodings of up to eight bytes the last one at or before the key. The cut is exact
/// for keys of up to eight bytes; of longer ones all that share the first eight bytes stay together. `None` if nothing is before it.
pub fn bound_for_raw(key: &[u8]) -> Option<Bytes> {
    let mut group = [0; GROUP];
    let len = key.len().min(GROUP);
    group[..len].copy_from_slice(&key[..len]);
    let before = u64::from_be_bytes(group).checked_sub(1)?;
    Some(encode_bytes(&before.to_be_bytes()).into())
}

/// Checks that these keys cut the region into parts that are not empty: all strictly inside, each behind the one before
/// (invariant S-SPLIT-KEY), all valid bounds.
///
/// # Errors
/// [`Error::AdminRefused`] names the first key that is wrong.
pub fn check_split_keys<'a>(region: &Region, keys: impl IntoIterator<Item = &'a Bytes>) -> Result<()> {
    // lab:begin 3B split::check_split_keys  hint="what would make an empty part? an empty end key is unbounded"
    let refuse = |key: &Bytes, why: &str| {
        let reason = format!("key \"{}\" {why}", key.escape_ascii());
        Err(Error::AdminRefused { region_id: region.id, reason })
    };
    let mut before = &region.start_key;
    let mut count = 0;
    for key in keys {
        if key <= before {
            return refuse(key, "is not behind the start of the region and the key before it");
        }
        if !region.end_key.is_empty() && *key >= region.end_key {
            return refuse(key, "is not before the end of the region");
        }
        if !storage::codec::is_encoded(key) {
            return refuse(key, "is not a memcomparable encoding");
        }
        before = key;
        count += 1;
    }
    match count {
        0 => Err(Error::AdminRefused { region_id: region.id, reason: "there is no key to split at".to_owned() }),
        _ => Ok(()),
    }
    // lab:end
}
