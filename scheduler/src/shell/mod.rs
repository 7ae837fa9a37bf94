//! The process around the state machine: the gRPC service, configuration, logging, the data folder.
//!
//! Threads: tokio's. The state machine stands behind one mutex and the timestamp oracle behind another, so that timestamps do not
//! wait for heartbeats; both are held for one call each, across a disk write at most, and never across an await.

pub mod clock;
pub mod config;
#[cfg(feature = "rocksdb")]
pub mod data_dir;
mod error;
mod etcd;
pub mod logging;
mod node;
mod operators;
mod pd;
mod reply;
mod server;
mod streams;

pub use error::{Error, Result};
pub use node::Identity;
pub use server::{ServeOptions, bind, serve};
