//! The messages and services that go over the wire and onto the disk.
//!
//! One module per `.proto` file of the `proto/` folder; `cargo x proto` regenerates them, `cargo x proto --check` fails when they are
//! stale. Package names, field numbers and services are TiKV's, so that its official clients work unchanged; the few
//! extensions of our own have numbers from 100 on and travel between our own nodes only.
//!
//! Every `bytes` field is a [`bytes::Bytes`], so that cloning a message does not copy its payload. The services are behind the
//! feature `grpc`; without it the crate needs nothing but prost.
//!
//! Messages are plain data: they belong to no thread and uphold no invariant.

/// The chain of waiting transactions that a deadlock error carries.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/deadlock.rs"]
pub mod deadlock;
/// Raft messages, log entries and membership.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/eraftpb.rs"]
pub mod eraftpb;
/// Region errors.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/errorpb.rs"]
pub mod errorpb;
/// The few etcd calls that clients of the scheduler make.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/etcdserverpb.rs"]
pub mod etcdserverpb;
/// Requests and answers of the key-value commands.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/kvrpcpb.rs"]
pub mod kvrpcpb;
/// Stores, regions, peers and epochs.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/metapb.rs"]
pub mod metapb;
/// Orders of people for the scheduler.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/operatorpb.rs"]
pub mod operatorpb;
/// The scheduler's service.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/pdpb.rs"]
pub mod pdpb;
/// Commands that travel through the Raft log.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/raft_cmdpb.rs"]
pub mod raft_cmdpb;
/// What stores send each other around Raft, and what they keep on disk per region.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/raft_serverpb.rs"]
pub mod raft_serverpb;
/// The service of a store.
#[allow(clippy::all, rustdoc::all)]
#[path = "generated/tikvpb.rs"]
pub mod tikvpb;

#[cfg(test)]
mod tests;
