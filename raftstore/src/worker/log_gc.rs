//! Deletes log entries that were compacted.
//!
//! Compaction itself is an entry like any other: when it is applied, the truncated index moves in the apply state, and from then
//! on nobody on this store reads the entries before it. Their bytes may go any time later, but not before the apply state that
//! says so is on disk: the kv engine does not sync what is applied, and after a crash the store would look for entries that are
//! gone. Hence the order here (invariant WRITE-ORDER): the kv engine is synced, then the entries are deleted. The deletion itself
//! need not be synced; entries that come back after a crash lie behind the truncated index and do no harm.

use std::ops::Range;

use storage::{Cf, Durability, Engine, WriteBatch};

use super::Worker;
use crate::{error::Result, keys, message::PeerMessage};

/// Which entries of which region are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGcTask {
    /// The region.
    pub region_id: u64,
    /// Their indexes. All of them are applied, and compacted according to the apply state in the kv engine.
    pub entries: Range<u64>,
}

impl<E: Engine> Worker<E> {
    /// Deletes the entries of these tasks, after one sync for all of them.
    pub(super) fn delete_logs(&self, tasks: Vec<LogGcTask>) -> Result<()> {
        // lab:begin 2C worker::delete_logs  hint="what has to be durable before an entry may go?"
        if tasks.is_empty() {
            return Ok(());
        }
        self.engines.kv.sync()?;
        let mut batch = WriteBatch::new();
        for LogGcTask { region_id, entries } in &tasks {
            let (start, end) = (keys::raft_log(*region_id, entries.start), keys::raft_log(*region_id, entries.end));
            batch.delete_range(Cf::Default, start, end);
        }
        self.engines.raft.write(batch, Durability::Buffered)?;
        for LogGcTask { region_id, entries } in tasks {
            // A region that is gone meanwhile no longer cares.
            let _ = self.router.report(region_id, PeerMessage::LogDeleted { to: entries.end });
        }
        Ok(())
        // lab:end
    }
}
