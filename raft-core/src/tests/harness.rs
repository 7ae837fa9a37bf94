//! Nodes in memory, without threads and without time, and what the tests build from in short.
//!
//! A [`Node`] writes what it has to write at once, so the tests see the simple, synchronous form of the contract. Nodes meet in a
//! [`Network`].

use bytes::Bytes;
use proto::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, HardState, Message,
    MessageType, Snapshot,
};

use crate::validate::is_local;
use crate::{Config, MemStorage, Raft, RawNode, Ready, Storage, decode_conf_change, is_conf_change};

pub use super::network::Network;

pub fn logger() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

pub fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, ..Entry::default() }
}

/// Entries from index 1 on with these terms.
pub fn entries(terms: &[u64]) -> Vec<Entry> {
    terms.iter().enumerate().map(|(i, term)| entry(i as u64 + 1, *term)).collect()
}

/// A message of another node to node `to`.
pub fn message(msg_type: MessageType, from: u64, to: u64, term: u64) -> Message {
    Message { msg_type: msg_type as i32, from, to, term, ..Message::default() }
}

/// A change of one member.
pub fn change(change_type: ConfChangeType, node_id: u64) -> ConfChange {
    ConfChange { change_type: change_type as i32, node_id, ..ConfChange::default() }
}

/// A change of several members at once.
pub fn changes(transition: ConfChangeTransition, changes: &[(ConfChangeType, u64)]) -> ConfChangeV2 {
    let single =
        |(kind, node_id): &(ConfChangeType, u64)| ConfChangeSingle { change_type: *kind as i32, node_id: *node_id };
    ConfChangeV2 {
        transition: transition as i32,
        changes: changes.iter().map(single).collect(),
        ..ConfChangeV2::default()
    }
}

/// The answer of a follower that takes over an append.
pub fn accept(append: &Message) -> Message {
    Message {
        index: append.index + append.entries.len() as u64,
        ..message(MessageType::MsgAppendResponse, append.to, append.from, append.term)
    }
}

/// What a storage of these voters with this log and this term looks like.
pub fn storage(voters: &[u64], terms: &[u64], term: u64) -> MemStorage {
    let mut storage = MemStorage::with_voters(voters.iter().copied());
    storage.append(&entries(terms));
    storage.set_hard_state(HardState { term, ..HardState::default() });
    storage
}

pub fn config(id: u64) -> Config {
    Config { id, seed: 42, ..Config::lab() }
}

/// Reads a whole storage as (index, term) pairs.
pub fn positions(storage: &MemStorage) -> Vec<(u64, u64)> {
    let (first, last) = (storage.first_index().expect("memory"), storage.last_index().expect("memory"));
    (first..=last).map(|i| (i, storage.term(i).expect("in range"))).collect()
}

/// Which part of the crate stands between a test and the algorithm: each lab step is tested without the code of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Terms, votes and heartbeats alone; logs stay as they were at the start.
    Elections,
    /// Elections and replication, without `RawNode`'s Readies.
    Replication,
    /// Everything.
    Readies,
}

/// A node whose disk is as fast as its memory.
pub struct Node {
    pub driver: Driver,
    pub raw: RawNode<MemStorage>,
    /// Everything that was handed over to be applied.
    pub applied: Vec<Entry>,
    pub snapshots: Vec<Snapshot>,
}

impl Node {
    /// A new node of a group with these voters.
    pub fn new(id: u64, voters: &[u64]) -> Self {
        Node::with_storage(&config(id), MemStorage::with_voters(voters.iter().copied()))
    }

    /// A node that starts with a log, in a term.
    pub fn with_log(id: u64, voters: &[u64], terms: &[u64], term: u64) -> Self {
        Node::with_storage(&config(id), storage(voters, terms, term))
    }

    pub fn with_storage(config: &Config, storage: MemStorage) -> Self {
        let raw = RawNode::new(config, storage, &logger()).expect("valid configuration");
        Node { driver: Driver::Readies, raw, applied: Vec::new(), snapshots: Vec::new() }
    }

    pub fn driven_by(self, driver: Driver) -> Self {
        Node { driver, ..self }
    }

    pub fn raft(&mut self) -> &mut Raft<MemStorage> {
        &mut self.raw.raft
    }

    /// Terms of the entries in the log, compacted ones left out.
    pub fn log_terms(&self) -> Vec<u64> {
        let raft = &self.raw.raft;
        (raft.first_index()..=raft.last_index()).map(|i| raft.log_term(i).expect("in the log")).collect()
    }

    /// Payloads of the entries in the log.
    pub fn log_data(&self) -> Vec<Bytes> {
        let raft = &self.raw.raft;
        raft.log.entries(raft.first_index(), u64::MAX).expect("in the log").into_iter().map(|e| e.data).collect()
    }

    /// Makes it a leader without asking anybody; what that sends is dropped.
    pub fn force_leader(&mut self) {
        self.raft().become_candidate();
        self.raft().become_leader();
        self.settle();
    }

    /// Makes it a leader whose first, empty entry is committed and known to all.
    pub fn force_leader_with_commit(&mut self) {
        self.raft().become_candidate();
        self.raft().become_leader();
        for append in self.settle() {
            self.step(accept(&append));
        }
        self.settle();
        assert_eq!(self.raw.raft.committed(), self.raw.raft.last_index());
    }

    pub fn propose(&mut self, data: &'static [u8]) {
        self.raw.propose(Bytes::new(), Bytes::from_static(data)).expect("a leader with room");
    }

    /// Hands in a message, local ones too.
    pub fn step(&mut self, message: Message) {
        let msg_type = message.msg_type();
        if self.driver != Driver::Elections || is_local(msg_type) {
            self.raft().step(message).expect("messages cause no errors");
        } else if self.raft().admit(msg_type, &message) {
            use MessageType::*;
            if matches!(msg_type, MsgRequestVote | MsgRequestVoteResponse | MsgHeartbeat) {
                self.raft().dispatch(msg_type, message);
            }
        }
    }

    /// Hands in a message and returns what that makes it send.
    pub fn exchange(&mut self, message: Message) -> Vec<Message> {
        self.step(message);
        self.settle()
    }

    pub fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.raw.tick();
        }
    }

    /// Ticks until the next election starts.
    pub fn tick_to_election(&mut self) {
        let term = self.raw.raft.term();
        for _ in 0..100 {
            self.raw.tick();
            if self.raw.raft.term() > term {
                return;
            }
        }
        panic!("no election within 100 ticks");
    }

    /// Writes what a Ready contains.
    pub fn write(&mut self, ready: &Ready) {
        let store = self.raw.mut_store();
        if let Some(snapshot) = ready.snapshot.as_deref() {
            store.apply_snapshot(snapshot.clone()).expect("a snapshot that raft has taken in");
            self.snapshots.push(snapshot.clone());
        }
        store.append(&ready.entries);
        if let Some(hard_state) = ready.hard_state {
            store.set_hard_state(hard_state);
        }
        self.applied.extend_from_slice(&ready.committed_entries);
    }

    /// Takes out the work there is, as the driver sees it.
    pub fn take_work(&mut self) -> Option<Ready> {
        if self.driver == Driver::Readies {
            return self.raw.has_ready().then(|| self.raw.ready());
        }
        let raft = &mut self.raw.raft;
        let mut work = Ready { hard_state: Some(raft.hard_state()), ..Ready::default() };
        if self.driver == Driver::Elections {
            raft.log.forget_unstable();
        } else {
            raft.flush();
            (work.snapshot, work.entries) = raft.log.hand_out_unstable(0);
            work.committed_entries = raft.log.next_committed(u64::MAX);
        }
        work.messages = std::mem::take(&mut raft.msgs);
        let something = work.hard_state != Some(*raft.store().hard_state())
            || work.snapshot.is_some()
            || [work.entries.len(), work.committed_entries.len(), work.messages.len()].iter().any(|count| *count > 0);
        something.then_some(work)
    }

    /// Puts the changes of membership among the entries into force.
    pub fn change_membership(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| is_conf_change(entry)) {
            if let Ok(state) = decode_conf_change(entry).and_then(|change| self.raw.apply_conf_change(change)) {
                self.raw.mut_store().set_conf_state(state);
            }
        }
    }

    /// Does what was taken out, and returns the messages to send.
    pub fn do_work(&mut self, mut work: Ready) -> Vec<Message> {
        self.write(&work);
        self.change_membership(&work.committed_entries);
        let mut messages = std::mem::take(&mut work.messages);
        messages.append(&mut work.persisted_messages);
        match self.driver {
            Driver::Readies => self.raw.advance(work),
            Driver::Elections => {}
            Driver::Replication => {
                self.raft().on_persisted(0);
                if let Some(last) = work.committed_entries.last() {
                    self.raw.advance_apply_to(last.index);
                }
            }
        }
        messages
    }

    /// Does all work there is, and returns the messages to send.
    pub fn settle(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(work) = self.take_work() {
            messages.append(&mut self.do_work(work));
        }
        messages
    }
}
