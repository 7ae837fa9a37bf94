//! Whole stores, driven step by step or by threads, over engines in memory.

mod common;
mod log_gc;
mod one_region;
mod split;
mod split_by_size;
mod threads;
