//! The raw key-value commands: a sorted map of bytes with a time to live for each pair, over any [`Storage`].
//!
//! One file a family of commands. All of them check their input first (column family, key, limits), so a bad request costs nothing
//! and changes nothing. Semantics that hold everywhere:
//!
//! - The column families `""` and `"default"` mean the raw data; those of transactions are closed.
//! - A pair whose time has come is absent for every command, whether or not the engine has dropped it already.
//! - Keys outside the region are `KeyNotInRegion`, but the ranges of scans are cut to the region.

mod cas;
mod checksum;
mod clock;
mod delete;
mod get;
mod limits;
mod put;
mod scan;
pub mod value;

use std::sync::Arc;

use crate::{Cf, Error, Result, Storage};

pub use cas::compare_and_swap;
pub use checksum::Checksum;
pub use clock::WallClock;
pub use limits::Limits;
pub use scan::Scan;

/// A key (or key and value) pair of bytes as commands return them.
pub type Pair = (bytes::Bytes, bytes::Bytes);

/// The raw commands over a storage. Clones share everything.
#[derive(Clone)]
pub struct RawStore<S> {
    storage: S,
    limits: Limits,
    clock: Arc<dyn WallClock>,
}

impl<S: Storage> RawStore<S> {
    /// Commands over `storage`; `clock` tells when pairs expire.
    pub fn new(storage: S, limits: Limits, clock: Arc<dyn WallClock>) -> Self {
        Self { storage, limits, clock }
    }

    /// The storage below.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The limits that requests are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn now(&self) -> u64 {
        self.clock.unix_seconds()
    }
}

/// The column family that a raw request means by `name`.
pub fn raw_cf(name: &str) -> Result<Cf> {
    match name {
        "" | "default" => Ok(Cf::Raw),
        "lock" | "write" => Err(Error::TransactionalCf { name: name.to_owned() }),
        _ => Err(Error::UnknownCf { name: name.to_owned() }),
    }
}
