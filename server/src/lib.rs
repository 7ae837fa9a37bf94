//! A store process: everything that touches sockets, clocks, files and signals.
//!
//! | module | what it is for |
//! |---|---|
//! | [`config`] | TOML and its checks |
//! | [`logging`] | the process logger |
//! | [`data_dir`] | who may use a data folder, and whether it is whole |
//! | [`service`] | gRPC: `tikvpb.Tikv` |
//! | [`raft_storage`] | commands through raft |
//! | [`transport`] | raft messages to other stores |
//! | [`status`], [`metrics`] | the status port |
//! | [`ctl`] | what `tinykv-ctl` does |
//! | [`node`] | putting it all together, start and stop |
//!
//! The crate is the outer shell: the layers below it get their time, their network and their threads from here.

pub mod clock;
pub mod config;
pub mod ctl;
pub mod data_dir;
pub mod error;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod raft_storage;
pub mod service;
pub mod snapshot_folder;
pub mod snapshots;
pub mod status;
pub mod stop;
pub mod transport;

pub use error::{Error, Result};
