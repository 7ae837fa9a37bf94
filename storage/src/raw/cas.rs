//! Compare and swap. The decision is a pure function of a reader and the request, so that the apply step of a replicated storage and
//! the standalone store decide alike, and every replica alike.

use bytes::Bytes;
use proto::kvrpcpb;

use super::{RawStore, raw_cf, value};
use crate::{CasOutcome, CompareAndSwap, Reader, Result, Storage, WriteOp};

/// Decides `cas` on what `reader` holds now and returns the write that carries it out, if it succeeds. The caller must let no other
/// write to the key come between this look and that write.
pub fn compare_and_swap(reader: &impl Reader, cas: CompareAndSwap) -> Result<(CasOutcome, Option<WriteOp>)> {
    let previous = match reader.get(cas.cf, &cas.key)? {
        Some(stored) => value::live(&stored, cas.now)?,
        None => None,
    };
    let succeeded = previous == cas.previous;
    let op = succeeded.then_some(WriteOp::Put { cf: cas.cf, key: cas.key, value: cas.value });
    Ok((CasOutcome { succeeded, previous }, op))
}

impl<S: Storage> RawStore<S> {
    /// Sets `key` to `value` (for `ttl` seconds, 0 = for ever) if its value is `previous`, `None` meaning absent.
    pub async fn compare_and_swap(
        &self,
        ctx: &kvrpcpb::Context,
        cf: &str,
        key: Bytes,
        value: Bytes,
        previous: Option<Bytes>,
        ttl: u64,
    ) -> Result<CasOutcome> {
        let cf = raw_cf(cf)?;
        self.limits.check_key(&key)?;
        self.limits.check_value(&value)?;
        let now = self.now();
        let value = value::encode(&value, value::expiry(now, ttl));
        self.storage.compare_and_swap(ctx, CompareAndSwap { cf, key, value, previous, now }).await
    }
}
