//! Measures how long a synced 300-byte write takes in a Raft log database, with and without recycled and primed log files.
//!
//! `cargo run -p storage --features rocksdb --example wal_sync [folder] [writes]`; the folder decides which disk is measured.

#![allow(clippy::disallowed_methods)] // a measurement needs a clock

use std::path::Path;
use std::time::{Duration, Instant};

use storage::{Cf, Durability, Engine, RocksEngine, RocksOptions, WriteBatch};

const MIB: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let writes: usize = arguments.next().as_deref().unwrap_or("20000").parse()?;
    let with = |recycled, primed, buffer| RocksOptions {
        recycled_wal_files: recycled,
        primed_wal_files: primed,
        write_buffer_bytes: buffer,
        ..RocksOptions::raft_log()
    };
    let table = [
        ("growing files", with(0, 0, 16 * MIB)),
        ("recycled, 16 MiB", with(4, 0, 16 * MIB)),
        ("primed 1, 16 MiB", with(4, 1, 16 * MIB)),
        ("primed 2, 16 MiB", with(4, 2, 16 * MIB)),
        ("primed 2, 8 MiB", with(4, 2, 8 * MIB)),
        ("primed 3, 8 MiB", with(4, 3, 8 * MIB)),
        ("the preset", RocksOptions::raft_log()),
    ];
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "variant", "open ms", "p50 us", "p90 us", "p99 us", "p999 us", "max us"
    );
    for (name, options) in table {
        let folder = tempfile::tempdir_in(Path::new(&parent))?;
        let start = Instant::now();
        let engine = RocksEngine::open(folder.path(), options)?;
        let opened = start.elapsed();
        let mut times = measure(&engine, writes)?;
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
        println!(
            "{name:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            opened.as_millis(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
    Ok(())
}

fn measure(engine: &RocksEngine, writes: usize) -> storage::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(writes);
    for index in 0..writes as u64 {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, index.to_be_bytes().to_vec(), vec![index as u8; 300]);
        let start = Instant::now();
        engine.write(batch, Durability::Sync)?;
        times.push(start.elapsed());
    }
    Ok(times)
}
