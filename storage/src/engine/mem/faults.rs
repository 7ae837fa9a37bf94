//! Faults of the modelled disk, set by a test or by the simulator while the engine is in use.
//!
//! A write that fails leaves nothing behind: batches are atomic. Faults are set, never added up: setting one replaces what was set
//! before.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Error, Result};

/// What an injected failure looks like to the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemFault {
    /// [`Error::Io`].
    Io,
    /// [`Error::DiskFull`].
    DiskFull,
}

/// The handle to a disk's faults. Clones share the same settings.
#[derive(Clone, Default)]
pub struct MemFaults {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    failing: Option<(MemFault, u64)>,
    free_bytes: Option<u64>,
    injected: u64,
}

impl MemFaults {
    /// The next `count` writes and syncs fail with `fault`.
    pub fn fail_next(&self, fault: MemFault, count: u64) {
        self.state().failing = (count > 0).then_some((fault, count));
    }

    /// Leaves room for `bytes` more bytes of keys and values: a write that does not fit fails with [`Error::DiskFull`] and takes
    /// nothing from the rest. `None` lifts the limit.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// Lifts every fault.
    pub fn clear(&self) {
        let mut state = self.state();
        state.failing = None;
        state.free_bytes = None;
    }

    /// How many writes and syncs failed by these faults so far.
    pub fn injected(&self) -> u64 {
        self.state().injected
    }

    /// Decides over a write of `bytes` bytes.
    pub(super) fn admit(&self, bytes: usize) -> Result<()> {
        let mut state = self.state();
        if let Some((fault, count)) = state.failing {
            state.failing = (count > 1).then_some((fault, count - 1));
            state.injected += 1;
            return Err(match fault {
                MemFault::Io => Error::Io { message: "injected fault".into() },
                MemFault::DiskFull => Error::DiskFull { message: "injected fault".into() },
            });
        }
        if let Some(free) = state.free_bytes {
            let Some(rest) = free.checked_sub(bytes as u64) else {
                state.injected += 1;
                return Err(Error::DiskFull { message: format!("{bytes} bytes do not fit, {free} are free") });
            };
            state.free_bytes = Some(rest);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no thread panics while it holds the lock of the faults")
    }
}
