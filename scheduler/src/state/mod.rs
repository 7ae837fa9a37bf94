//! The scheduler's state machine, free of sockets and clocks.
//!
//! Owner: whoever holds the value; the shell keeps it behind a mutex. Each call either succeeds, with its effect durable as the
//! method says, or fails and changes nothing in memory. What is on disk is written before memory changes.

mod bootstrap;
mod cluster;
mod error;
mod gc;
mod ids;
mod operators;
mod records;
mod region;
mod region_tree;
mod stores;
mod tso;

pub use cluster::{Cluster, Options};
pub use error::{Error, Result};
pub use gc::{GcState, ServiceSafePoint};
pub use ids::MAX_IDS_PER_REQUEST;
pub use operators::{Operator, OperatorKind, Step};
pub use region::RegionInfo;
pub use region_tree::{Admission, RegionTree, StoreLoad};
pub use stores::{StoreInfo, StoreRegistry};
pub use tso::{MAX_LOGICAL, TimestampOracle, WINDOW_MS};

#[cfg(test)]
mod tests;
