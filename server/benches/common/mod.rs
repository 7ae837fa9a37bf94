//! What the benchmarks share: settings from the environment, and a closed-loop load with latencies.

// Each benchmark compiles this module for itself and uses another part of it.
#![allow(dead_code)]

pub mod load;
pub mod settings;
pub mod target;
