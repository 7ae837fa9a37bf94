//! Writing pairs: put and batch put, with an optional time to live.

use bytes::Bytes;
use proto::kvrpcpb;

use super::{Pair, RawStore, raw_cf, value};
use crate::{Error, Modify, Result, Storage};

impl<S: Storage> RawStore<S> {
    /// Sets `key` to `value`; it expires after `ttl` seconds, or never if that is 0.
    pub async fn put(&self, ctx: &kvrpcpb::Context, cf: &str, key: Bytes, value: Bytes, ttl: u64) -> Result<()> {
        // lab:begin 1 raw::put  hint="check the request, encode the value with its expiry, write one Modify::Put"
        let cf = raw_cf(cf)?;
        self.limits.check_key(&key)?;
        self.limits.check_value(&value)?;
        let value = value::encode(&value, value::expiry(self.now(), ttl));
        self.storage.write(ctx, vec![Modify::Put { cf, key, value }]).await
        // lab:end
    }

    /// Sets all `pairs` in one atomic write; of equal keys the last wins. `ttls` is empty (no pair expires), holds one time to live
    /// for all pairs, or one for each.
    pub async fn batch_put(&self, ctx: &kvrpcpb::Context, cf: &str, pairs: Vec<Pair>, ttls: &[u64]) -> Result<()> {
        let cf = raw_cf(cf)?;
        for (key, value) in &pairs {
            self.limits.check_key(key)?;
            self.limits.check_value(value)?;
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let expiry_of = |index: usize| match ttls {
            [] => Ok(value::NEVER),
            [ttl] => Ok(value::expiry(now, *ttl)),
            ttls if ttls.len() == pairs.len() => Ok(value::expiry(now, ttls[index])),
            ttls => Err(Error::TtlCount { ttls: ttls.len(), pairs: pairs.len() }),
        };
        let modifies = pairs
            .iter()
            .enumerate()
            .map(|(index, (key, value))| {
                Ok(Modify::Put { cf, key: key.clone(), value: value::encode(value, expiry_of(index)?) })
            })
            .collect::<Result<Vec<_>>>()?;
        self.storage.write(ctx, modifies).await
    }
}
