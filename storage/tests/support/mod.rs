//! What the integration tests share: engines in folders of their own, and one test body for both engines.

#![allow(dead_code, unused_macros, unused_imports)] // each test binary uses its own part

use std::ops::Deref;

use storage::MemEngine;

/// An engine and, where it has one, the folder that goes away with it.
pub struct TestEngine<E> {
    engine: E,
    _folder: Option<tempfile::TempDir>,
}

impl<E> Deref for TestEngine<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.engine
    }
}

pub fn mem_engine() -> TestEngine<MemEngine> {
    TestEngine { engine: MemEngine::new(), _folder: None }
}

#[cfg(feature = "rocksdb")]
pub fn rocks_engine() -> TestEngine<storage::RocksEngine> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine =
        storage::RocksEngine::open(folder.path(), storage::RocksOptions::kv()).expect("a fresh database opens");
    TestEngine { engine, _folder: Some(folder) }
}

/// Makes each named generic function, which takes `&impl Engine`, a test over the in-memory engine (`mem::name`) and one over RocksDB
/// (`rocks::name`, with the feature `rocksdb`).
macro_rules! over_both_engines {
    ($($name:ident),* $(,)?) => {
        mod mem {
            $(#[test]
            fn $name() {
                super::$name(&*crate::support::mem_engine());
            })*
        }

        #[cfg(feature = "rocksdb")]
        mod rocks {
            $(#[test]
            fn $name() {
                super::$name(&*crate::support::rocks_engine());
            })*
        }
    };
}
pub(crate) use over_both_engines;
