//! A stopped store's engine, opened offline, and the comparison of two such engines key by key.

use storage::{Cf, Cursor, Reader, RocksEngine, RocksOptions};

use super::Cluster;

/// The engine's folder inside a store's data folder.
const KV_FOLDER: &str = "kv";

/// Opens the key-value engine of a store that is not running.
pub fn open(cluster: &Cluster, number: usize) -> RocksEngine {
    assert!(!cluster.is_started(number), "store {number} must be stopped before its engine is opened");
    let path = cluster.data_dir(number).join(KV_FOLDER);
    RocksEngine::open(&path, RocksOptions::kv())
        .unwrap_or_else(|error| panic!("cannot open the engine of store {number}: {error}"))
}

/// Panics at the first key that two stores disagree about in any column family of region data; returns how many keys
/// were compared.
pub fn assert_equal_data(cluster: &Cluster) -> usize {
    let first = open(cluster, 0);
    let mut compared = 0;
    for number in 1..cluster.len() {
        let other = open(cluster, number);
        for cf in Cf::DATA {
            compared += assert_equal_cf(&first, &other, cf, number);
        }
    }
    compared
}

fn assert_equal_cf(first: &RocksEngine, other: &RocksEngine, cf: Cf, number: usize) -> usize {
    let mut left = first.cursor(cf, None, None).expect("open a cursor");
    let mut right = other.cursor(cf, None, None).expect("open a cursor");
    left.seek_to_first();
    right.seek_to_first();
    let mut compared = 0;
    while left.valid() && right.valid() {
        assert!(
            left.key() == right.key() && left.value() == right.value(),
            "{}: store 0 has {:?} = {:?}, store {number} has {:?} = {:?}",
            cf.name(),
            String::from_utf8_lossy(left.key()),
            String::from_utf8_lossy(left.value()),
            String::from_utf8_lossy(right.key()),
            String::from_utf8_lossy(right.value()),
        );
        compared += 1;
        left.next();
        right.next();
    }
    left.status().expect("read to the end");
    right.status().expect("read to the end");
    assert!(!left.valid(), "{}: store {number} lacks {:?}", cf.name(), String::from_utf8_lossy(left.key()));
    assert!(!right.valid(), "{}: store 0 lacks {:?}", cf.name(), String::from_utf8_lossy(right.key()));
    compared
}
