//! The graded tests of raftstore. `test_raftstore::cluster` has the words they are written in, and the variables that choose what
//! they run on: `ENGINE=rocksdb make test-project2b`.

mod harness;
mod project2b;
mod project2c;
mod project3b;
