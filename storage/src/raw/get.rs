//! Reading single keys: get, batch get, and the time a key has left.

use bytes::Bytes;
use proto::kvrpcpb;

use super::{Pair, RawStore, raw_cf, value};
use crate::{Reader, Result, Storage};

impl<S: Storage> RawStore<S> {
    /// The value of `key`, or `None` if there is none. Absence is not an error.
    pub async fn get(&self, ctx: &kvrpcpb::Context, cf: &str, key: &[u8]) -> Result<Option<Bytes>> {
        // lab:begin 1 raw::get  hint="check the request, take a reader, look the key up; an expired value is absent"
        let cf = raw_cf(cf)?;
        self.limits.check_key(key)?;
        let region = self.storage.reader(ctx).await?;
        region.check_key(ctx, key)?;
        match region.reader.get(cf, key)? {
            Some(stored) => value::live(&stored, self.now()),
            None => Ok(None),
        }
        // lab:end
    }

    /// The pairs of those `keys` that have a value, in the order of the request.
    pub async fn batch_get(&self, ctx: &kvrpcpb::Context, cf: &str, keys: &[Bytes]) -> Result<Vec<Pair>> {
        let cf = raw_cf(cf)?;
        keys.iter().try_for_each(|key| self.limits.check_key(key))?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let region = self.storage.reader(ctx).await?;
        keys.iter().try_for_each(|key| region.check_key(ctx, key))?;
        let now = self.now();
        let mut budget = self.limits.response_budget();
        let mut pairs = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(stored) = region.reader.get(cf, key)? else { continue };
            if let Some(value) = value::live(&stored, now)? {
                budget.take(key.len() + value.len())?;
                pairs.push((key.clone(), value));
            }
        }
        Ok(pairs)
    }

    /// Seconds until `key` expires: `Some(0)` if it never does, `None` if it is absent.
    pub async fn get_key_ttl(&self, ctx: &kvrpcpb::Context, cf: &str, key: &[u8]) -> Result<Option<u64>> {
        let cf = raw_cf(cf)?;
        self.limits.check_key(key)?;
        let region = self.storage.reader(ctx).await?;
        region.check_key(ctx, key)?;
        let Some(stored) = region.reader.get(cf, key)? else { return Ok(None) };
        let (_, expiry) = value::decode(&stored)?;
        let now = self.now();
        match expiry {
            value::NEVER => Ok(Some(0)),
            _ if value::is_expired(expiry, now) => Ok(None),
            _ => Ok(Some(expiry - now)),
        }
    }
}
