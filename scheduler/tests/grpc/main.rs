//! The scheduler over gRPC, inside the test process and over an engine in memory.
//!
//! One test program for all of it: each one links and optimises tonic again.

mod client_calls;
mod common;
mod service;
mod streams;
