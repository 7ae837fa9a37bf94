//! The id allocator: stores, regions and peers draw from one sequence that never repeats.
//!
//! Invariant: every id handed out is below the window end on disk. A restart continues at that end, so at most a window of ids is
//! lost and none is used twice.

use storage::Engine;

use super::error::{Error, Result};
use super::records::{ID_WINDOW, Records};

/// Ids reserved ahead with one write.
const WINDOW: u64 = 1000;
/// More ids than one request may take.
pub const MAX_IDS_PER_REQUEST: u32 = 100_000;

/// Hands out ids from 1 on.
pub(crate) struct IdAllocator {
    /// The largest id handed out.
    last: u64,
    /// Ids up to and with this one may be handed out without a write.
    reserved: u64,
}

impl IdAllocator {
    pub(crate) fn load<E: Engine>(records: &Records<E>) -> Result<Self> {
        let reserved = records.load_u64(ID_WINDOW)?.unwrap_or(0);
        Ok(Self { last: reserved, reserved })
    }

    /// The largest of `count` consecutive new ids; 0 counts as 1, as older clients leave the field out.
    pub(crate) fn alloc<E: Engine>(&mut self, records: &Records<E>, count: u32) -> Result<u64> {
        if count > MAX_IDS_PER_REQUEST {
            return Err(Error::invalid(format!("{count} ids asked for, at most {MAX_IDS_PER_REQUEST} at once")));
        }
        let exhausted = || Error::invalid("the ids are used up");
        let largest = self.last.checked_add(u64::from(count.max(1))).ok_or_else(exhausted)?;
        if largest > self.reserved {
            let reserved = largest.checked_add(WINDOW).ok_or_else(exhausted)?;
            records.commit_u64(ID_WINDOW, reserved)?;
            self.reserved = reserved;
        }
        self.last = largest;
        Ok(largest)
    }
}
