//! What commands run on. The replicated storage of `raftstore` and [`Standalone`](crate::Standalone) both implement [`Storage`], so a
//! command is written once.

use std::future::Future;

use bytes::Bytes;
use proto::{errorpb, kvrpcpb};

use crate::{CasOutcome, CompareAndSwap, Error, Modify, Reader, Result};

/// A place to read from and write to. Clones are handles to the same storage.
pub trait Storage: Clone + Send + Sync + 'static {
    /// The snapshot type that reads see.
    type Reader: Reader + Send + Sync + 'static;

    /// A consistent view that contains every write acknowledged before the call, with the bounds of the region that `ctx` names.
    fn reader(&self, ctx: &kvrpcpb::Context) -> impl Future<Output = Result<RegionReader<Self::Reader>>> + Send;

    /// Writes `modifies` atomically and durably, in order.
    fn write(&self, ctx: &kvrpcpb::Context, modifies: Vec<Modify>) -> impl Future<Output = Result<()>> + Send;

    /// Decides and writes `cas` in one step: no other write comes between.
    fn compare_and_swap(
        &self,
        ctx: &kvrpcpb::Context,
        cas: CompareAndSwap,
    ) -> impl Future<Output = Result<CasOutcome>> + Send;
}

/// A snapshot and the key range for which it may be asked.
#[derive(Clone, Debug)]
pub struct RegionReader<R> {
    /// The snapshot.
    pub reader: R,
    /// The first key of the region, inclusive; "" is the beginning of all keys.
    pub start_key: Bytes,
    /// The end of the region, exclusive; "" is the end of all keys.
    pub end_key: Bytes,
}

impl<R: Reader> RegionReader<R> {
    /// A reader over all keys.
    pub fn unbounded(reader: R) -> Self {
        Self { reader, start_key: Bytes::new(), end_key: Bytes::new() }
    }

    /// Whether `key` lies in the region.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start_key.as_ref() && (self.end_key.is_empty() || key < self.end_key.as_ref())
    }

    /// Refuses a key that lies outside with `KeyNotInRegion`, as the client's region cache expects it.
    pub fn check_key(&self, ctx: &kvrpcpb::Context, key: &[u8]) -> Result<()> {
        if self.contains(key) {
            return Ok(());
        }
        Err(Error::Region(Box::new(errorpb::Error {
            message: format!("key \"{}\" is not in region {}", key.escape_ascii(), ctx.region_id),
            key_not_in_region: Some(errorpb::KeyNotInRegion {
                key: Bytes::copy_from_slice(key),
                region_id: ctx.region_id,
                start_key: self.start_key.clone(),
                end_key: self.end_key.clone(),
            }),
            ..Default::default()
        })))
    }

    /// The part of `[lower, upper)` ("" = unbounded) that lies in the region, or `None` if no key can lie in it.
    pub fn clamp<'a>(&'a self, lower: &'a [u8], upper: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let lower = lower.max(self.start_key.as_ref());
        let upper = match (upper.is_empty(), self.end_key.is_empty()) {
            (true, _) => self.end_key.as_ref(),
            (false, true) => upper,
            (false, false) => upper.min(self.end_key.as_ref()),
        };
        (upper.is_empty() || lower < upper).then_some((lower, upper))
    }
}
