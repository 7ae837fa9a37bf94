//! raft-core as the driver sees it.

use bytes::Bytes;
use proto::eraftpb::{ConfState, Entry, HardState, Message, Snapshot};
use raft_core::{Config, Error, RaftState, RawNode, Result, Storage};

use crate::group::{Group, Node, Settings};
use crate::store::{Log, LogEntry};

/// A node of raft-core.
pub struct Ours {
    node: RawNode<Log<Entry, HardState>>,
    applied: u64,
}

impl Node for Ours {
    const NAME: &'static str = "raft-core";
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
            ..Config::default()
        };
        let term = u64::from(entries > 0);
        let entry = |index| Entry { term, index, data: Bytes::from(vec![0; payload]), ..Entry::default() };
        let hard_state = HardState { term, vote: 0, commit: entries };
        let log = Log::new((1..=Group::<Self>::SIZE).collect(), (1..=entries).map(entry).collect(), hard_state);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Ours { node: RawNode::new(&config, log, &logger).expect("a valid configuration"), applied: entries }
    }

    fn campaign(&mut self) {
        self.node.campaign().expect("the node may lead");
    }

    fn tick(&mut self) {
        self.node.tick();
    }

    fn propose(&mut self, payload: &[u8]) {
        self.node.propose(Bytes::new(), Bytes::copy_from_slice(payload)).expect("the node leads");
    }

    fn step(&mut self, message: Message) {
        self.node.step(message).expect("the sender is a member");
    }

    fn work(&mut self, mail: &mut Vec<Message>) -> bool {
        if !self.node.has_ready() {
            return false;
        }
        let mut ready = self.node.ready();
        mail.append(&mut ready.messages);
        let log = self.node.mut_store();
        log.append(std::mem::take(&mut ready.entries));
        if let Some(hard_state) = ready.hard_state {
            log.hard_state = hard_state;
        }
        mail.append(&mut ready.persisted_messages);
        if let Some(last) = ready.committed_entries.last() {
            self.applied = last.index;
        }
        self.node.advance(ready);
        true
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn is_leader(&self) -> bool {
        self.node.raft.is_leader()
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
        Ok(RaftState { hard_state: self.hard_state, conf_state })
    }

    fn entries(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>> {
        Log::entries(self, low, high, max_size).ok_or(Error::Compacted { index: low, first: Log::first_index(self) })
    }

    fn term(&self, index: u64) -> Result<u64> {
        Log::term(self, index).ok_or(Error::Compacted { index, first: Log::first_index(self) })
    }

    fn first_index(&self) -> Result<u64> {
        Ok(Log::first_index(self))
    }

    fn last_index(&self) -> Result<u64> {
        Ok(Log::last_index(self))
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        Err(Error::SnapshotTemporarilyUnavailable)
    }
}
