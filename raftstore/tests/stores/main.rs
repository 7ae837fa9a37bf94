//! Whole stores, driven step by step or by threads, over engines in memory.

mod add_peer;
mod answer;
mod bootstrap;
mod callbacks;
mod common;
mod conf_change;
mod created_by_message;
mod destroy;
mod interleavings;
mod log_gc;
mod one_region;
mod snapshots;
mod split;
mod split_by_size;
mod threads;
mod transfer;
