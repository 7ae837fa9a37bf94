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

mod log_gc;
mod split_check;

use crossbeam_channel::Receiver;
use storage::Engine;

pub use log_gc::LogGcTask;
pub use split_check::SplitCheckTask;

use crate::{batch::Router, env::Engines, error::Result};

/// Tasks that are taken into one round, so that they can share a sync.
const TASKS_PER_ROUND: usize = 64;

/// Something to do in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Delete compacted log entries.
    LogGc(LogGcTask),
    /// Find out how large a region is and where to cut it.
    SplitCheck(SplitCheckTask),
}

/// See the module.
pub struct Worker<E: Engine> {
    engines: Engines<E>,
    router: Router<E>,
    tasks: Receiver<Task>,
}

impl<E: Engine> Worker<E> {
    /// A worker that takes its tasks from `tasks`.
    pub fn new(engines: Engines<E>, router: Router<E>, tasks: Receiver<Task>) -> Self {
        Worker { engines, router, tasks }
    }

    /// Where the worker's tasks come from, for the driver to wait on.
    pub fn tasks(&self) -> &Receiver<Task> {
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
    pub fn round_from(&mut self, first: Task) -> Result<usize> {
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
            }
        }
        self.delete_logs(compacted)?;
        Ok(count)
    }
}
