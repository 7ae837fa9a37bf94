//! Whole stores, driven step by step or by threads, over engines in memory.

mod common;
mod created_by_message;
mod log_gc;
mod one_region;
mod snapshots;
mod split;
mod split_by_size;
mod threads;
