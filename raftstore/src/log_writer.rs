//! Makes the raft log durable: one batch and one sync for the `Ready`s of all regions that wait.
//!
//! Owner: the log writer's thread, or a poller that writes at the end of its own round. Order inside a round (invariant
//! R-PERSIST-ORDER): the batch is synced, then the messages that promise its content leave, then the regions are told. The tasks
//! of a region are written in the order of its `Ready`s.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crossbeam_channel::Receiver;
use prost::Message;
use proto::{
    eraftpb::Entry,
    raft_serverpb::{RaftLocalState, RaftMessage},
};
use storage::{Cf, Durability, Engine, WriteBatch};

use crate::{
    batch::Router,
    env::{Engines, Transport},
    error::Result,
    keys,
    message::PeerMessage,
    metrics::Metrics,
    snapshot::recover::clear_log,
};

/// What one `Ready` of a region wants on disk.
#[derive(Debug)]
pub struct PersistTask {
    /// The region.
    pub region_id: u64,
    /// Number of the `Ready`.
    pub ready: u64,
    /// Entries to write; they replace those at the same indexes.
    pub entries: Vec<Entry>,
    /// The raft state after them. `None` if nothing has to be synced for this task: it only waits for its turn.
    pub raft_state: Option<RaftLocalState>,
    /// Indexes of entries past the new end of the log.
    pub stale: Range<u64>,
    /// A snapshot replaces the log: these records of the kv engine are synced first, then all older entries are removed.
    pub restore: Option<WriteBatch>,
    /// Messages that may leave once this task and all before it are durable.
    pub messages: Vec<RaftMessage>,
    /// Nothing of the region is to be left.
    pub clear: bool,
}

impl PersistTask {
    /// The last task of a peer: its log and its raft state go. Its tombstone is on disk (invariant WRITE-ORDER).
    pub fn clear(region_id: u64, ready: u64) -> Self {
        let (entries, messages) = (Vec::new(), Vec::new());
        PersistTask { region_id, ready, entries, raft_state: None, stale: 0..0, restore: None, messages, clear: true }
    }
}

/// Removes the log and the raft state of a region.
pub(crate) fn clear_region(batch: &mut WriteBatch, region_id: u64) {
    batch.delete(Cf::Default, keys::raft_state(region_id));
    clear_log(batch, region_id);
}

/// See the module.
pub struct LogWriter<E: Engine, T: Transport> {
    engines: Engines<E>,
    transport: T,
    router: Router<E>,
    tasks: Receiver<PersistTask>,
    max_batch_bytes: usize,
    metrics: Arc<Metrics>,
}

impl<E: Engine, T: Transport> LogWriter<E, T> {
    /// A writer to the raft engine that takes its tasks from `tasks`.
    pub fn new(
        engines: Engines<E>,
        transport: T,
        router: Router<E>,
        tasks: Receiver<PersistTask>,
        max_batch_bytes: usize,
    ) -> Self {
        let metrics = router.metrics().clone();
        LogWriter { engines, transport, router, tasks, max_batch_bytes, metrics }
    }

    /// Where the writer's tasks come from, for the driver to wait on.
    pub fn tasks(&self) -> &Receiver<PersistTask> {
        &self.tasks
    }

    /// Writes what waits, up to the batch limit. Returns how many tasks that were.
    ///
    /// # Errors
    /// The engine's errors. They are fatal: what was promised can no longer be kept.
    pub fn round(&mut self) -> Result<usize> {
        match self.tasks.try_recv() {
            Ok(first) => self.round_from(first),
            Err(_) => Ok(0),
        }
    }

    /// A round that starts with a task the driver has already received.
    pub fn round_from(&mut self, first: PersistTask) -> Result<usize> {
        let mut bytes = task_bytes(&first);
        let mut tasks = vec![first];
        while bytes < self.max_batch_bytes {
            let Ok(task) = self.tasks.try_recv() else { break };
            bytes += task_bytes(&task);
            tasks.push(task);
        }
        let count = tasks.len();
        self.write(tasks)?;
        Ok(count)
    }

    /// Writes these tasks in one batch, then sends their messages and tells their regions.
    ///
    /// # Errors
    /// See [`LogWriter::round`].
    pub fn write(&mut self, tasks: Vec<PersistTask>) -> Result<()> {
        let (mut batch, mut kv) = (WriteBatch::new(), WriteBatch::new());
        let mut raft_states = BTreeMap::new();
        let mut persisted = BTreeMap::new();
        let mut messages = Vec::new();
        for task in tasks {
            if let Some(restore) = task.restore {
                kv.append(restore);
                clear_log(&mut batch, task.region_id);
            }
            self.metrics.entries_written.add(task.entries.len() as u64);
            for entry in &task.entries {
                batch.put(Cf::Default, keys::raft_log(task.region_id, entry.index), entry.encode_to_vec());
            }
            for index in task.stale {
                batch.delete(Cf::Default, keys::raft_log(task.region_id, index));
            }
            if task.clear {
                raft_states.remove(&task.region_id);
                clear_region(&mut batch, task.region_id);
            }
            if let Some(state) = task.raft_state {
                raft_states.insert(task.region_id, state); // only the last one of a region counts
            }
            persisted.insert(task.region_id, task.ready);
            messages.extend(task.messages);
        }
        for (region_id, state) in raft_states {
            batch.put(Cf::Default, keys::raft_state(region_id), state.encode_to_vec());
        }
        if !kv.is_empty() {
            self.engines.kv.write(kv, Durability::Sync)?;
        }
        if !batch.is_empty() {
            self.engines.raft.write(batch, Durability::Sync)?;
            self.metrics.log_syncs.inc();
        }
        self.announce(messages, persisted);
        Ok(())
    }

    fn announce(&mut self, messages: Vec<RaftMessage>, persisted: BTreeMap<u64, u64>) {
        for message in messages {
            self.transport.send(message);
        }
        self.transport.flush();
        for (region_id, ready) in persisted {
            // A region that is gone meanwhile no longer cares.
            let _ = self.router.report(region_id, PeerMessage::Persisted { ready });
        }
    }
}

fn task_bytes(task: &PersistTask) -> usize {
    64 + task.entries.iter().map(|e| e.data.len() + 32).sum::<usize>()
}
