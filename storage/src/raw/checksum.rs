//! The checksum of ranges, independent of the order of the pairs and of how they are cut into regions: the XOR over all live pairs
//! of CRC-64/XZ (the reflected ECMA-182 polynomial) over key and user value, one after the other. It is what TiKV calls
//! `Crc64_Xor`, so sums of several regions can be joined by XOR.

use bytes::Bytes;
use proto::kvrpcpb;

use super::limits::check_range;
use super::{RawStore, raw_cf, value};
use crate::{Cursor, Reader, Result, Storage};

/// Checksum and size of the live pairs of some ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// XOR of the pairs' CRC-64s; 0 if there are none.
    pub crc64_xor: u64,
    /// Number of pairs.
    pub total_kvs: u64,
    /// Bytes of their keys and user values.
    pub total_bytes: u64,
}

impl Checksum {
    /// Adds a pair.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut digest = crc64fast::Digest::new();
        digest.write(key);
        digest.write(value);
        self.crc64_xor ^= digest.sum64();
        self.total_kvs += 1;
        self.total_bytes += (key.len() + value.len()) as u64;
    }
}

impl<S: Storage> RawStore<S> {
    /// The checksum over the ranges `[start, end)` ("" = unbounded), each cut to the region.
    pub async fn checksum(&self, ctx: &kvrpcpb::Context, cf: &str, ranges: &[(Bytes, Bytes)]) -> Result<Checksum> {
        let cf = raw_cf(cf)?;
        ranges.iter().try_for_each(|(start, end)| check_range(start, end))?;
        let region = self.storage.reader(ctx).await?;
        let now = self.now();
        let mut checksum = Checksum::default();
        for (start, end) in ranges {
            let Some((lower, upper)) = region.clamp(start, end) else { continue };
            let mut cursor = region.reader.cursor(cf, Some(lower), (!upper.is_empty()).then_some(upper))?;
            cursor.seek_to_first();
            while cursor.valid() {
                let (value, expiry) = value::decode(cursor.value())?;
                if !value::is_expired(expiry, now) {
                    checksum.add(cursor.key(), value);
                }
                cursor.next();
            }
            cursor.status()?;
        }
        Ok(checksum)
    }
}
