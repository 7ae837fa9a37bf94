//! Work that may take long, away from the raft and apply stages.
//!
//! Owner: the background threads; all of them take tasks from one queue. A task is a plain value, and what came of it goes back
//! to the region's mailbox as a message. The queue is bounded by its senders: a peer hands out one task of a kind at a time, and
//! waits for its result before the next.
//!
//! | task | file | what it does |
//! |---|---|---|
//! | [`Task::LogGc`] | `log_gc.rs` | deletes the log entries that were compacted |
//! | [`Task::SplitCheck`] | `split_check.rs` | walks over a region that may be too large |
//! | [`Task::Generate`] | `generate.rs` | writes the files of a snapshot |
//! | [`Task::CheckSnapshot`], [`Task::Restore`] | `restore.rs` | looks whether a received snapshot is whole; replaces a region's data by it |
//! | [`Task::CollectSnapshots`] | here | removes snapshot files that nobody needs |

mod generate;
mod log_gc;
mod restore;
mod split_check;

use crossbeam_channel::Receiver;
use proto::raft_serverpb::RaftMessage;
use slog::{Logger, warn};
use storage::Engine;

pub use generate::{GenerateTask, Ticket};
pub use log_gc::LogGcTask;
pub use restore::RestoreTask;
pub(crate) use restore::restore;
pub use split_check::SplitCheckTask;

use crate::{
    batch::Router,
    config::Config,
    env::Engines,
    error::Result,
    snapshot::{SnapshotId, SnapshotStore},
};

/// Tasks that are taken into one round, so that they can share a sync.
const TASKS_PER_ROUND: usize = 64;

/// Something to do in the background.
pub enum Task<S> {
    /// Delete compacted log entries.
    LogGc(LogGcTask),
    /// Find out how large a region is and where to cut it.
    SplitCheck(SplitCheckTask),
    /// Write the files of a snapshot.
    Generate(Box<GenerateTask<S>>),
    /// Look whether a received snapshot is whole.
    CheckSnapshot {
        /// The message that came with it; it goes on to the region if the snapshot is whole.
        message: Box<RaftMessage>,
        /// The snapshot.
        id: SnapshotId,
    },
    /// Replace the data of a region by that of a snapshot.
    Restore(RestoreTask),
    /// Remove snapshot files that nobody needs.
    CollectSnapshots,
}

/// See the module.
pub struct Worker<E: Engine> {
    engines: Engines<E>,
    router: Router<E>,
    snapshots: SnapshotStore,
    tasks: Receiver<Task<E::Snapshot>>,
    snapshot_gc_patience: u32,
    logger: Logger,
}

impl<E: Engine> Worker<E> {
    /// A worker that takes its tasks from `tasks`.
    pub fn new(
        config: &Config,
        engines: Engines<E>,
        router: Router<E>,
        snapshots: SnapshotStore,
        tasks: Receiver<Task<E::Snapshot>>,
        logger: Logger,
    ) -> Self {
        Worker { engines, router, snapshots, tasks, snapshot_gc_patience: config.snapshot_gc_patience, logger }
    }

    /// Where the worker's tasks come from, for the driver to wait on.
    pub fn tasks(&self) -> &Receiver<Task<E::Snapshot>> {
        &self.tasks
    }

    /// Does what waits. Returns how many tasks that were.
    ///
    /// # Errors
    /// The engines' errors; they are fatal for the store.
    pub fn round(&mut self) -> Result<usize> {
        match self.tasks.try_recv() {
            Ok(first) => self.round_from(first),
            Err(_) => Ok(0),
        }
    }

    /// A round that starts with a task the driver has already received.
    ///
    /// # Errors
    /// See [`Worker::round`].
    pub fn round_from(&mut self, first: Task<E::Snapshot>) -> Result<usize> {
        let mut tasks = vec![first];
        while tasks.len() < TASKS_PER_ROUND {
            let Ok(task) = self.tasks.try_recv() else { break };
            tasks.push(task);
        }
        let count = tasks.len();
        let mut compacted = Vec::new();
        for task in tasks {
            match task {
                Task::LogGc(task) => compacted.push(task),
                Task::SplitCheck(task) => self.check_split(&task)?,
                Task::Generate(task) => self.generate(*task),
                Task::CheckSnapshot { message, id } => self.check_snapshot(message, id),
                Task::Restore(task) => self.restore(task)?,
                Task::CollectSnapshots => self.collect_snapshots(),
            }
        }
        self.delete_logs(compacted)?;
        Ok(count)
    }

    fn collect_snapshots(&self) {
        if let Err(error) = self.snapshots.collect(self.snapshot_gc_patience) {
            warn!(self.logger, "cannot remove old snapshot files"; "error" => %error);
        }
    }
}
