//! Clients of a cluster.
//!
//! Today this is the client of the scheduler (the placement driver), which every store uses: [`SchedulerClient`]. The region cache
//! and the key-value clients grow here when something needs them.
//!
//! Everything in this crate runs on tokio and may be used from any task; the handles are cheap to clone. Loggers are passed in.

mod backoff;
mod connection;
mod error;
mod region_heartbeats;
mod scheduler_client;
mod timestamps;

pub use error::{Error, Result};
pub use region_heartbeats::RegionHeartbeatSender;
pub use scheduler_client::SchedulerClient;
