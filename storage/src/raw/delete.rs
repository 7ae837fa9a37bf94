//! Removing pairs: delete, batch delete, delete range. Removing what is absent succeeds.

use bytes::Bytes;
use proto::kvrpcpb;

use super::limits::check_range;
use super::{RawStore, raw_cf};
use crate::{Modify, Result, Storage};

impl<S: Storage> RawStore<S> {
    /// Removes `key`.
    pub async fn delete(&self, ctx: &kvrpcpb::Context, cf: &str, key: Bytes) -> Result<()> {
        // lab:begin 1 raw::delete  hint="check the request, write one Modify::Delete"
        let cf = raw_cf(cf)?;
        self.limits.check_key(&key)?;
        self.storage.write(ctx, vec![Modify::Delete { cf, key }]).await
        // lab:end
    }

    /// Removes all `keys` in one atomic write.
    pub async fn batch_delete(&self, ctx: &kvrpcpb::Context, cf: &str, keys: Vec<Bytes>) -> Result<()> {
        let cf = raw_cf(cf)?;
        keys.iter().try_for_each(|key| self.limits.check_key(key))?;
        if keys.is_empty() {
            return Ok(());
        }
        self.storage.write(ctx, keys.into_iter().map(|key| Modify::Delete { cf, key }).collect()).await
    }

    /// Removes every key in `[start, end)`; an empty `end` means unbounded. Clients cut the range to one region beforehand; the
    /// storage refuses one that leaves it. Equal bounds remove nothing, a reversed range is an error.
    pub async fn delete_range(&self, ctx: &kvrpcpb::Context, cf: &str, start: Bytes, end: Bytes) -> Result<()> {
        let cf = raw_cf(cf)?;
        check_range(&start, &end)?;
        if !end.is_empty() && start == end {
            return Ok(());
        }
        self.storage.write(ctx, vec![Modify::DeleteRange { cf, start, end }]).await
    }
}
