//! raft-core as a [`Member`].
//!
//! Its storage is the durable log alone: what is on its way to the disk it must remember by itself.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message, Snapshot};
use raft_core::{Config, Error, RaftState, RawNode, Ready, Result, Storage, limit_size};
use slog::Logger;

use crate::disk::{Disk, Gap, Hard, Image, Log, Stored, Write};
use crate::member::{Form, Kind, Member, Packet, Role, Setup, View, Work};

/// A node of raft-core.
pub struct Ours {
    node: RawNode<Disk>,
    form: Form,
    /// The Ready that is being dealt with, in the synchronous form.
    current: Option<Ready>,
}

impl Ours {
    /// A node that goes on where `disk` says it stopped.
    pub fn start(setup: &Setup, disk: Disk) -> Self {
        let config = Config {
            id: setup.id,
            election_tick: setup.election_tick,
            heartbeat_tick: setup.heartbeat_tick,
            applied: disk.machine().applied,
            max_size_per_msg: setup.max_size_per_msg,
            max_inflight_msgs: setup.max_inflight_msgs,
            max_committed_size_per_ready: setup.max_committed_size_per_ready,
            skip_commit_broadcast: setup.skip_commit_broadcast,
            pre_vote: setup.pre_vote,
            check_quorum: setup.check_quorum,
            seed: setup.seed,
            ..Config::default()
        };
        let logger = Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, disk, &logger).expect("raft-core starts on what it has written");
        Ours { node, form: setup.form, current: None }
    }
}

impl Member for Ours {
    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn view(&self) -> View {
        let raft = &self.node.raft;
        View {
            term: raft.term(),
            vote: raft.vote(),
            role: match raft.role() {
                raft_core::Role::Follower => Role::Follower,
                raft_core::Role::PreCandidate | raft_core::Role::Candidate => Role::Candidate,
                raft_core::Role::Leader => Role::Leader,
            },
            leader: raft.leader_id(),
            commit: raft.committed(),
            first: raft.first_index(),
            last: raft.last_index(),
            applied: raft.applied(),
        }
    }

    fn members(&self) -> ConfState {
        self.node.raft.tracker().conf_state()
    }

    fn log_term(&self, index: u64) -> Option<u64> {
        self.node.raft.log_term(index)
    }

    fn disk(&self) -> &Disk {
        self.node.store()
    }

    fn disk_mut(&mut self) -> &mut Disk {
        self.node.mut_store()
    }

    fn into_disk(mut self: Box<Self>) -> Disk {
        std::mem::replace(self.node.mut_store(), Disk::empty())
    }

    fn tick(&mut self) {
        self.node.tick();
    }

    fn step(&mut self, bytes: &Bytes) {
        let message = Message::decode(bytes.clone()).expect("raft-core reads what its peers write");
        match self.node.step(message) {
            // A request that a follower of the other kind has forwarded, or an answer of a node that has left.
            Ok(()) | Err(Error::StepLocalMessage | Error::StepPeerNotFound(_)) => {}
            Err(error) => panic!("n{}: step: {error}", self.node.raft.id()),
        }
    }

    fn campaign(&mut self) {
        self.node.campaign().expect("campaigning never fails");
    }

    fn propose(&mut self, data: Bytes) -> Option<(u64, u64)> {
        self.node.propose(Bytes::new(), data).ok()
    }

    fn propose_change(&mut self, change: &ConfChangeV2, single: bool) -> Option<(u64, u64)> {
        let old_form = change.changes.first().filter(|_| single && change.changes.len() == 1);
        match old_form {
            Some(one) => {
                let one = ConfChange { change_type: one.change_type, node_id: one.node_id, ..ConfChange::default() };
                self.node.propose_conf_change(Bytes::new(), one).ok()
            }
            None => self.node.propose_conf_change(Bytes::new(), change.clone()).ok(),
        }
    }

    fn read(&mut self, context: Bytes) -> bool {
        self.node.read_index(context).is_ok()
    }

    fn forward_read(&mut self, context: Bytes) {
        // A refusal is an answer.
        let _ = self.node.forward_read(context);
    }

    fn request_snapshot(&mut self) -> bool {
        self.node.request_snapshot().is_ok()
    }

    fn set_priority(&mut self, priority: i64) {
        self.node.set_priority(priority);
    }

    fn transfer(&mut self, to: u64) {
        // A refusal is an answer.
        let _ = self.node.transfer_leader(to);
    }

    fn report_unreachable(&mut self, id: u64) {
        self.node.report_unreachable(id);
    }

    fn report_snapshot(&mut self, id: u64, arrived: bool) {
        self.node.report_snapshot(id, arrived);
    }

    fn ready(&mut self) -> Option<Work> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let entries: Vec<Stored> = ready.entries.iter().map(stored).collect();
        let snapshot = ready.snapshot.as_deref().map(image);
        let hard = ready.hard_state.map(|hard| Hard { term: hard.term, vote: hard.vote, commit: hard.commit });
        self.node.mut_store().write(Write {
            number: ready.number,
            hard,
            entries: entries.clone(),
            snapshot: snapshot.clone(),
            must_sync: ready.must_sync,
        });
        let work = Work {
            number: ready.number,
            must_sync: ready.must_sync,
            entries,
            snapshot,
            committed: ready.committed_entries.iter().map(stored).collect(),
            now: std::mem::take(&mut ready.messages).iter().map(packet).collect(),
            later: std::mem::take(&mut ready.persisted_messages).iter().map(packet).collect(),
            reads: ready.read_states.iter().map(|read| (read.index, read.request_ctx.to_vec())).collect(),
        };
        self.current = Some(ready).filter(|_| self.form == Form::Sync);
        Some(work)
    }

    fn on_persisted(&mut self, number: u64) {
        self.node.on_persisted(number);
    }

    fn advance(&mut self) -> Option<Work> {
        self.node.advance(self.current.take().expect("a Ready is being dealt with"));
        None
    }

    fn waits_for_snapshots(&self) -> bool {
        false
    }

    fn applies_before_advance(&self) -> bool {
        true
    }

    fn apply_change(&mut self, entry: &Bytes) -> ConfState {
        let entry = Entry::decode(entry.clone()).expect("a stored entry decodes");
        let change = raft_core::decode_conf_change(&entry).expect("a committed change decodes");
        self.node.apply_conf_change(change).expect("a committed change applies")
    }

    fn on_applied(&mut self, index: u64) {
        self.node.advance_apply_to(index);
    }
}

fn packet(message: &Message) -> Packet {
    Packet::new(message.encode_to_vec().into())
}

fn stored(entry: &Entry) -> Stored {
    Stored { index: entry.index, term: entry.term, bytes: entry.encode_to_vec().into() }
}

fn image(snapshot: &Snapshot) -> Image {
    let (index, term) = snapshot.metadata.as_ref().map_or((0, 0), |m| (m.index, m.term));
    Image { index, term, bytes: snapshot.encode_to_vec().into() }
}

fn gap(log: &Log, index: u64) -> impl Fn(Gap) -> Error {
    let (first, last) = (log.truncated.0 + 1, log.last());
    move |gap| match gap {
        Gap::Compacted => Error::Compacted { index, first },
        Gap::Unavailable => Error::Unavailable { index, last },
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> Result<RaftState> {
        let hard = self.durable().hard;
        let hard_state = HardState { term: hard.term, vote: hard.vote, commit: hard.commit };
        Ok(RaftState { hard_state, conf_state: self.machine().members() })
    }

    fn entries(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>> {
        let log = self.durable();
        let range = log.range(low, high).map_err(gap(log, low))?;
        let mut entries: Vec<Entry> =
            range.map(|stored| Entry::decode(stored.bytes.clone()).expect("a stored entry decodes")).collect();
        entries.truncate(limit_size(entries.iter(), max_size));
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        self.durable().term(index).map_err(gap(self.durable(), index))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.durable().truncated.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.durable().last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        let image = self.fetch_image(request_index).ok_or(Error::SnapshotTemporarilyUnavailable)?;
        Ok(Snapshot::decode(image.bytes.clone()).expect("a stored snapshot decodes"))
    }
}
