//! The `raft` crate as the driver sees it.

use raft::eraftpb::{ConfState, Entry, HardState, Message, Snapshot};
use raft::{Config, Error, GetEntriesContext, RaftState, RawNode, Result, StateRole, Storage, StorageError};

use crate::group::{Group, Node, Settings};
use crate::store::{Log, LogEntry};

/// A node of the `raft` crate.
pub struct Theirs {
    node: RawNode<Log<Entry, HardState>>,
    applied: u64,
}

impl Theirs {
    fn apply(&mut self, entries: Vec<Entry>) {
        if let Some(last) = entries.last() {
            self.applied = last.index;
        }
    }
}

impl Node for Theirs {
    const NAME: &'static str = "raft 0.7";
    type Message = Message;

    fn new(id: u64, settings: &Settings, entries: u64, payload: usize) -> Self {
        let config = Config {
            id,
            election_tick: settings.election_tick,
            heartbeat_tick: settings.heartbeat_tick,
            applied: entries,
            max_size_per_msg: settings.max_size_per_msg,
            max_inflight_msgs: settings.max_inflight_msgs,
            max_uncommitted_size: settings.max_uncommitted_size,
            max_committed_size_per_ready: settings.max_committed_size_per_ready,
            batch_append: true,
            ..Config::default()
        };
        let term = u64::from(entries > 0);
        let entry = |index| Entry { term, index, data: vec![0; payload], ..Entry::default() };
        let hard_state = HardState { term, vote: 0, commit: entries };
        let log = Log::new((1..=Group::<Self>::SIZE).collect(), (1..=entries).map(entry).collect(), hard_state);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Theirs { node: RawNode::new(&config, log, &logger).expect("a valid configuration"), applied: entries }
    }

    fn campaign(&mut self) {
        self.node.campaign().expect("the node may lead");
    }

    fn tick(&mut self) {
        self.node.tick();
    }

    fn propose(&mut self, payload: &[u8]) {
        self.node.propose(Vec::new(), payload.to_vec()).expect("the node leads");
    }

    fn step(&mut self, message: Message) {
        self.node.step(message).expect("the sender is a member");
    }

    fn work(&mut self, mail: &mut Vec<Message>) -> bool {
        if !self.node.has_ready() {
            return false;
        }
        let mut ready = self.node.ready();
        mail.append(&mut ready.take_messages());
        let log = self.node.mut_store();
        log.append(ready.take_entries());
        if let Some(hard_state) = ready.hs() {
            log.hard_state = hard_state.clone();
        }
        mail.append(&mut ready.take_persisted_messages());
        self.apply(ready.take_committed_entries());
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.node.mut_store().hard_state.commit = commit;
        }
        mail.append(&mut light.take_messages());
        self.apply(light.take_committed_entries());
        self.node.advance_apply();
        true
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn compact(&mut self, limit: usize) {
        if self.node.store().len() > limit {
            self.node.mut_store().compact(self.applied);
        }
    }

    fn receiver(message: &Message) -> u64 {
        message.to
    }
}

impl LogEntry for Entry {
    fn term(&self) -> u64 {
        self.term
    }

    fn index(&self) -> u64 {
        self.index
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

impl Storage for Log<Entry, HardState> {
    fn initial_state(&self) -> Result<RaftState> {
        let conf_state = ConfState { voters: self.voters.clone(), ..ConfState::default() };
        Ok(RaftState::new(self.hard_state.clone(), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        Log::entries(self, low, high, max_size.into().unwrap_or(u64::MAX)).ok_or(Error::Store(StorageError::Compacted))
    }

    fn term(&self, index: u64) -> Result<u64> {
        Log::term(self, index).ok_or(Error::Store(StorageError::Compacted))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(Log::first_index(self))
    }

    fn last_index(&self) -> Result<u64> {
        Ok(Log::last_index(self))
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
