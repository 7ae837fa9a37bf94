//! Where data lives on one node: the engines, the interface that replicated and standalone stores share, and the raw commands.
//!
//! Layers, lowest first:
//!
//! - [`engine`]: column families, atomic batches, snapshots and cursors, with an explicit durability per write. `RocksEngine` is the
//!   production engine (feature `rocksdb`), [`MemEngine`] the one of the simulator, which also models what a crash loses.
//! - [`Storage`]: what commands run on. A replicated store sends writes through a log; [`Standalone`] (project 1) writes straight
//!   into an engine.
//! - [`raw`]: the raw key-value commands over any [`Storage`].
//!
//! Nothing here reads a clock, sleeps or draws unseeded random numbers: time comes in through [`raw::WallClock`] or a parameter, so
//! the simulator can replay every step.

pub mod cf;
pub mod codec;
pub mod engine;
pub mod error;
pub mod modify;
pub mod raw;
pub mod standalone;
pub mod storage;

pub use cf::Cf;
pub use engine::batch::{WriteBatch, WriteOp};
pub use engine::mem::{MemEngine, MemFaults};
#[cfg(feature = "rocksdb")]
pub use engine::rocks::{RocksEngine, RocksOptions};
pub use engine::tables::TableWriter;
pub use engine::{Cursor, Durability, Engine, Reader};
pub use error::{Error, Result};
pub use modify::{CasOutcome, CompareAndSwap, Modify};
pub use standalone::Standalone;
pub use storage::{RegionReader, Storage};
