//! The timestamp oracle: strictly increasing timestamps of milliseconds since 1970 and a logical counter.
//!
//! Invariants: a timestamp is larger than every one handed out before, over all streams, restarts and jumps of the clock; its
//! physical part is below the window end on disk; its logical part is below 2^18.
//!
//! The window is saved [`WINDOW_MS`] ahead, so there is one write every three seconds and none for a single request. After a restart
//! the physical part starts at the saved end: nothing at or above it was ever handed out. A clock that went back therefore costs
//! nothing but a physical part that is ahead of the clock for a while. (Percolator §3.2 reserves ranges the same way.)

use proto::pdpb::Timestamp;
use storage::Engine;

use super::error::{Error, Result};
use super::records::{Records, TSO_WINDOW};

/// How far ahead the window is saved, in milliseconds.
pub const WINDOW_MS: u64 = 3000;
/// The logical part has 18 bits.
pub const MAX_LOGICAL: u64 = (1 << 18) - 1;
/// The physical part has 46.
const MAX_PHYSICAL: u64 = (1 << 46) - 1;

/// Hands out timestamps. It has the engine for itself under one key, so that timestamps need not wait for other state.
pub struct TimestampOracle<E> {
    records: Records<E>,
    /// Of the last timestamp handed out.
    physical: u64,
    logical: u64,
    /// Timestamps with a physical part below this one may be handed out without a write.
    saved_until: u64,
}

impl<E: Engine> TimestampOracle<E> {
    /// Continues behind everything handed out before.
    pub fn load(engine: E) -> Result<Self> {
        let records = Records::new(engine);
        let saved_until = records.load_u64(TSO_WINDOW)?.unwrap_or(0);
        Ok(Self { records, physical: saved_until, logical: 0, saved_until })
    }

    /// The largest of `count` new timestamps that share their physical part: the caller owns `logical - count + 1 ..= logical`.
    /// `now_ms` is the wall clock in milliseconds since 1970; it may jump.
    ///
    /// # Errors
    /// A count of 0 or above 2^18 - 1; a clock beyond 46 bits; a disk that fails. A failed call hands out nothing.
    pub fn generate(&mut self, count: u32, now_ms: u64) -> Result<Timestamp> {
        let count = u64::from(count);
        if count == 0 || count > MAX_LOGICAL {
            return Err(Error::invalid(format!("{count} timestamps asked for, allowed are 1 to {MAX_LOGICAL}")));
        }
        let (mut physical, mut logical) = (self.physical, self.logical);
        if now_ms > physical {
            (physical, logical) = (now_ms, 0);
        }
        if logical + count > MAX_LOGICAL {
            // This millisecond is used up. Going one ahead of the clock is harmless; waiting for it would need a clock.
            (physical, logical) = (physical + 1, 0);
        }
        logical += count;
        if physical > MAX_PHYSICAL - WINDOW_MS {
            return Err(Error::ClockOutOfRange { now_ms });
        }
        if physical >= self.saved_until {
            let saved_until = physical + WINDOW_MS;
            self.records.commit_u64(TSO_WINDOW, saved_until)?;
            self.saved_until = saved_until;
        }
        (self.physical, self.logical) = (physical, logical);
        Ok(Timestamp { physical: physical as i64, logical: logical as i64, suffix_bits: 0 })
    }
}
