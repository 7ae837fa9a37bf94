//! One node as its owner drives it, with its disk and its state machine.
//!
//! The disk is the storage inside the node: what is in there was written and reported. Readies that are handed out and not written
//! wait in `writes`. A crash forgets everything but the storage, a prefix of `writes`, and what the state machine has saved. A write
//! that need not be durable (only the commit index moved) may be forgotten as well, until the next one that must be.

use std::collections::VecDeque;

use proto::eraftpb::{Entry, HardState, Message, MessageType};
use raft_core::{Config, MemStorage, RawNode, Ready, Storage};
use slog::Logger;

use super::{Breakage, Machine, Marks, Seen};
use crate::invariants::Cause;

/// A node that runs, or what is left of it.
#[derive(Clone, Debug)]
pub enum Power {
    /// It runs.
    On(Box<RawNode<MemStorage>>),
    /// It is down; this is on its disk.
    Off(Box<MemStorage>),
}

/// One node with its disk and its state machine.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its settings.
    pub config: Config,
    /// Whether it runs.
    pub power: Power,
    /// How often it was started.
    pub life: u64,
    /// Readies that are handed out and not written.
    pub writes: VecDeque<Ready>,
    /// Committed entries that are handed out and not applied.
    pub to_apply: VecDeque<Entry>,
    /// The state machine.
    pub machine: Machine,
    /// The state machine as a crash leaves it.
    pub saved: Machine,
    /// The hard state as a crash leaves it at least.
    pub synced: HardState,
    /// Ticks since a leader of the current term was heard; very many if none was.
    pub quiet_ticks: usize,
    /// What it showed after the last action.
    pub seen: Seen,
}

impl Member {
    /// A node that starts for the first time: a founder with a state to start from, or an empty one.
    pub fn new(config: Config, founded_on: Option<&Machine>, logger: &Logger) -> Self {
        let mut storage = MemStorage::new();
        let machine = founded_on.cloned().unwrap_or_default();
        if founded_on.is_some() {
            storage.apply_snapshot(machine.to_snapshot()).expect("an empty storage takes any snapshot");
        }
        let synced = *storage.hard_state();
        let mut member = Member {
            id: config.id,
            config,
            power: Power::Off(Box::new(storage)),
            life: 0,
            writes: VecDeque::new(),
            to_apply: VecDeque::new(),
            saved: machine.clone(),
            machine,
            synced,
            quiet_ticks: usize::MAX,
            seen: Seen::default(),
        };
        member.start(logger);
        member
    }

    /// The node, if it runs.
    pub fn node(&self) -> Option<&RawNode<MemStorage>> {
        match &self.power {
            Power::On(node) => Some(node),
            Power::Off(_) => None,
        }
    }

    /// The node, if it runs.
    pub fn node_mut(&mut self) -> Option<&mut RawNode<MemStorage>> {
        match &mut self.power {
            Power::On(node) => Some(node),
            Power::Off(_) => None,
        }
    }

    /// What is on its disk.
    pub fn disk(&self) -> &MemStorage {
        match &self.power {
            Power::On(node) => node.store(),
            Power::Off(storage) => storage,
        }
    }

    /// True if the entry at `index` on its disk has this term, or is in a snapshot there.
    pub fn disk_holds(&self, index: u64, term: u64) -> bool {
        let disk = self.disk();
        index < disk.first_index().unwrap_or(1) || disk.term(index).is_ok_and(|found| found == term)
    }

    /// The marks it shows now; those of its last life if it is down.
    pub fn marks(&self) -> Marks {
        self.node().map_or(self.seen.marks, |node| Marks::of(self.life, &node.raft))
    }

    /// Starts the node on what is on its disk. Does nothing if it runs.
    ///
    /// # Panics
    /// If the node refuses what it has written itself.
    pub fn start(&mut self, logger: &Logger) {
        let Power::Off(storage) = &mut self.power else { return };
        let mut storage = std::mem::take(&mut **storage);
        storage.set_conf_state(self.saved.conf.clone());
        self.machine = self.saved.clone();
        self.life += 1;
        // Every life draws other timeouts.
        let seed = self.config.seed.wrapping_add(self.life << 32);
        let config = Config { applied: self.machine.applied, seed, ..self.config.clone() };
        let node = RawNode::new(&config, storage, logger).expect("R-RESTART violated: a node refuses its own disk");
        self.power = Power::On(Box::new(node));
    }

    /// Kills the node. `kept` of its unreported writes have reached the disk; a lazy commit index counts if `newest`.
    pub fn crash(&mut self, kept: usize, newest: bool, breakage: Option<Breakage>) {
        let Power::On(node) = &mut self.power else { return };
        let mut disk = std::mem::take(node.mut_store());
        for ready in self.writes.drain(..).take(kept) {
            write(&mut disk, &ready, &mut self.synced);
            take_over_snapshot(&ready, &mut self.saved);
        }
        let mut state = if newest { *disk.hard_state() } else { self.synced };
        // What the state machine has saved was committed.
        state.commit = state.commit.max(self.saved.applied);
        match breakage {
            Some(Breakage::ForgetVote) => state.vote = 0,
            Some(Breakage::ForgetBallot) if state.vote != 0 => {
                state.vote = 0;
                state.term = state.term.saturating_sub(1).max(disk.term(disk.last_index().unwrap_or(0)).unwrap_or(0));
            }
            _ => {}
        }
        disk.set_hard_state(state);
        self.synced = state;
        self.to_apply.clear();
        self.quiet_ticks = usize::MAX;
        self.power = Power::Off(Box::new(disk));
    }

    /// The disk finishes the next `count` writes. Returns what may be sent now; `true` if a snapshot was among the writes.
    pub fn finish_writes(&mut self, count: usize) -> (Vec<Message>, bool) {
        let Power::On(node) = &mut self.power else { return (Vec::new(), false) };
        let (mut messages, mut restored, mut number) = (Vec::new(), false, 0);
        for _ in 0..count {
            let Some(ready) = self.writes.pop_front() else { break };
            number = ready.number;
            write(node.mut_store(), &ready, &mut self.synced);
            if take_over_snapshot(&ready, &mut self.saved) {
                restored = true;
                self.machine = self.saved.clone();
                self.to_apply.clear();
            }
            messages.extend(ready.persisted_messages);
        }
        if number > 0 {
            node.on_persisted(number);
            node.advance_apply_to(self.machine.applied);
        }
        (messages, restored)
    }

    /// Notes whether a leader was heard.
    pub(super) fn hear(&mut self, cause: &Cause<'_>, now: &Marks, before: &Marks) {
        use MessageType::{MsgAppend, MsgHeartbeat, MsgSnapshot};
        if now.term != before.term {
            self.quiet_ticks = usize::MAX;
        }
        if let Cause::Message(message) = cause
            && matches!(message.msg_type(), MsgAppend | MsgHeartbeat | MsgSnapshot)
            && message.term == now.term
        {
            self.quiet_ticks = 0;
        }
    }

    /// Makes the state machine durable, unless it is ahead of the log on disk: with `apply_unpersisted_limit` it may be, but what a crash
    /// leaves of it may not. Has a snapshot of it ready: one that is older than a
    /// newcomer's arrival would be of no use to it. Returns false if nothing changed.
    pub fn save(&mut self) -> bool {
        let Power::On(node) = &mut self.power else { return false };
        if self.machine == self.saved || self.machine.applied > node.raft.persisted() {
            return false;
        }
        let store = node.mut_store();
        self.saved = self.machine.clone();
        store.set_conf_state(self.saved.conf.clone());
        store.create_snapshot(self.saved.applied, self.saved.data()).expect("a saved state stands in the log");
        true
    }

    /// Cuts the log `keep` entries before the saved state. Returns false if there is nothing to cut.
    pub fn compact(&mut self, keep: u64) -> bool {
        let Power::On(node) = &mut self.power else { return false };
        let (saved, store) = (&self.saved, node.mut_store());
        let first = store.first_index().unwrap_or(1);
        let busy = self.writes.iter().any(|ready| ready.snapshot.is_some());
        if busy || saved.applied < first + keep + 1 {
            return false;
        }
        store.compact(saved.applied - keep);
        true
    }
}

/// Writes what a Ready contains. What is lazy stays so until the next write that must be durable.
fn write(disk: &mut MemStorage, ready: &Ready, synced: &mut HardState) {
    if let Some(snapshot) = ready.snapshot.as_deref() {
        disk.apply_snapshot(snapshot.clone()).expect("R-MONO violated: a snapshot older than the disk");
    }
    disk.append(&ready.entries);
    if let Some(hard_state) = ready.hard_state {
        disk.set_hard_state(hard_state);
    }
    if ready.must_sync {
        *synced = *disk.hard_state();
    }
}

fn take_over_snapshot(ready: &Ready, saved: &mut Machine) -> bool {
    let Some(snapshot) = &ready.snapshot else { return false };
    *saved = Machine::from_snapshot(snapshot);
    true
}
