//! What clients of a test cluster are waiting for: an answer, given once, and a count of those that are still to come (S-CB-ONCE).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use raftstore::{Error, Result};

/// Where the answer of a command appears.
pub struct Answer<T>(Arc<Mutex<Option<Result<T>>>>);

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Answer(Arc::default())
    }
}

impl<T: Send + 'static> Answer<T> {
    pub fn callback(&self, open: OpenCallback) -> Box<dyn FnOnce(Result<T>) + Send> {
        let slot = self.0.clone();
        Box::new(move |result| {
            open.close();
            let before = slot.lock().unwrap().replace(result);
            assert!(before.is_none(), "S-CB-ONCE: a callback was called twice");
        })
    }

    pub fn take(&self) -> Option<Result<T>> {
        self.0.lock().unwrap().take()
    }

    pub fn error(&self) -> Error {
        self.take().expect("answered").err().expect("refused")
    }
}

/// Callbacks that were not called yet.
#[derive(Clone, Default)]
pub struct OpenCallbacks(Arc<Mutex<BTreeMap<u64, u64>>>);

impl OpenCallbacks {
    /// A callback of a store.
    pub fn add(&self, store_id: u64) -> OpenCallback {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.0.lock().unwrap().insert(number, store_id);
        OpenCallback { number, open: self.clone() }
    }

    /// A store is gone, and its clients see their connections break.
    pub fn forget(&self, store_id: u64) {
        self.0.lock().unwrap().retain(|_, store| *store != store_id);
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// The stores that have them.
    pub fn stores(&self) -> Vec<u64> {
        self.0.lock().unwrap().values().copied().collect()
    }
}

/// One of them.
pub struct OpenCallback {
    number: u64,
    open: OpenCallbacks,
}

impl OpenCallback {
    fn close(self) {
        self.open.0.lock().unwrap().remove(&self.number);
    }
}
