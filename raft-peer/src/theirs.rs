//! The `raft` crate as a [`Member`].
//!
//! What its contract leaves to the owner is done here as its users do it:
//!
//! - It draws election timeouts from the thread's random numbers. They are replaced by seeded ones after every call, before a tick can
//!   look at them, so that a seed is a run.
//! - It starts only if the commit index on disk is not behind what is applied, though it allows that index to be written lazily.
//! - `batch_append` stays off. With it, entries are joined to an append without entries that was made before them in the same round, even if
//!   that one speaks of another place in the log (a rejection came in between). A follower of its own kind takes such a message, and
//!   acknowledges entries that it does not have. raft-core refuses it.
//! - An election timeout while a snapshot is being written makes it fail, because it looks for entries that the snapshot has replaced. Its
//!   owner has to keep everything from it meanwhile.
//! - A leader that is removed goes on leading, and fails as soon as it commits something; its owner has to stop it. Here it steps down.

use bytes::Bytes;
use prost::Message as _;
use prost_011::Message as _;
use proto::eraftpb::{ConfChangeV2, ConfState};
use raft::eraftpb;
use raft::prelude::{Config, RawNode, Ready};
use raft::{GetEntriesContext, INVALID_ID, LightReady, RaftState, SnapshotStatus, StateRole, Storage, StorageError};
use slog::Logger;

use crate::dice::Dice;
use crate::disk::{Disk, Gap, Hard, Image, Stored, Write};
use crate::member::{Form, Kind, Member, Packet, Role, Setup, View, Work};

/// A node of the `raft` crate.
pub struct Theirs {
    node: RawNode<Disk>,
    form: Form,
    /// The Ready that is being dealt with, in the synchronous form.
    current: Option<Ready>,
    dice: Dice,
    /// The election timeout, and the term and role that it was drawn for.
    timeout: usize,
    drawn_for: (u64, StateRole),
    shortest: usize,
}

impl Theirs {
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
            skip_bcast_commit: setup.skip_commit_broadcast,
            pre_vote: setup.pre_vote,
            check_quorum: setup.check_quorum,
            ..Config::default()
        };
        let logger = Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, disk, &logger).expect("the raft crate starts on what is written");
        let mut member = Theirs {
            node,
            form: setup.form,
            current: None,
            dice: Dice::new(setup.seed ^ setup.id),
            timeout: 0,
            drawn_for: (u64::MAX, StateRole::Leader),
            shortest: setup.election_tick,
        };
        member.settle_timeout();
        member
    }

    /// Puts a seeded election timeout in place of what the last call may have drawn.
    fn settle_timeout(&mut self) {
        let now = (self.node.raft.term, self.node.raft.state);
        let again = now.1 == StateRole::PreCandidate && self.node.raft.election_elapsed == 0;
        if now != self.drawn_for || again {
            self.drawn_for = now;
            self.timeout = self.shortest + self.dice.below(self.shortest as u64) as usize;
        }
        self.node.raft.set_randomized_election_timeout(self.timeout);
    }

    fn write(&mut self, ready: &mut Ready) -> (Vec<Stored>, Option<Image>) {
        let entries: Vec<Stored> = ready.take_entries().iter().map(stored).collect();
        let snapshot = Some(ready.snapshot()).filter(|s| !s.is_empty()).map(image);
        let hard = ready.hs().map(|hard| Hard { term: hard.term, vote: hard.vote, commit: hard.commit });
        self.node.mut_store().write(Write {
            number: ready.number(),
            hard,
            entries: entries.clone(),
            snapshot: snapshot.clone(),
            must_sync: ready.must_sync(),
        });
        (entries, snapshot)
    }
}

impl Member for Theirs {
    fn kind(&self) -> Kind {
        Kind::Theirs
    }

    fn view(&self) -> View {
        let raft = &self.node.raft;
        View {
            term: raft.term,
            vote: raft.vote,
            role: match raft.state {
                StateRole::Follower => Role::Follower,
                StateRole::PreCandidate | StateRole::Candidate => Role::Candidate,
                StateRole::Leader => Role::Leader,
            },
            leader: raft.leader_id,
            commit: raft.raft_log.committed,
            first: raft.raft_log.first_index(),
            last: raft.raft_log.last_index(),
            applied: raft.raft_log.applied,
        }
    }

    fn members(&self) -> ConfState {
        to_ours(&self.node.raft.prs().conf().to_conf_state())
    }

    fn log_term(&self, index: u64) -> Option<u64> {
        // For an index outside of the log the crate answers 0.
        self.node.raft.raft_log.term(index).ok().filter(|term| *term > 0)
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
        self.settle_timeout();
    }

    fn step(&mut self, bytes: &Bytes) {
        let message = eraftpb::Message::decode(bytes.clone()).expect("the raft crate reads what its peers write");
        match self.node.step(message) {
            // Answers of nodes that have left, and forwarded proposals that come too late.
            Ok(()) | Err(raft::Error::StepPeerNotFound | raft::Error::ProposalDropped) => {}
            Err(error) => panic!("n{}: step: {error}", self.node.raft.id),
        }
        self.settle_timeout();
    }

    fn campaign(&mut self) {
        if self.node.raft.promotable() {
            self.node.campaign().expect("campaigning never fails");
            self.settle_timeout();
        }
    }

    fn propose(&mut self, data: Bytes) -> Option<(u64, u64)> {
        if self.node.raft.state != StateRole::Leader {
            return None; // It would forward the proposal, and the network could double it.
        }
        self.node.propose(Vec::new(), data.to_vec()).ok()?;
        Some((self.node.raft.raft_log.last_index(), self.node.raft.term))
    }

    fn propose_change(&mut self, change: &ConfChangeV2, single: bool) -> Option<(u64, u64)> {
        let raft = &self.node.raft;
        // A change that is not possible now is replaced by an empty entry; the owner has to look first.
        if raft.state != StateRole::Leader || raft.has_pending_conf() {
            return None;
        }
        let old_form = change.changes.first().filter(|_| single && change.changes.len() == 1);
        let done = match old_form {
            Some(one) => {
                let mut old = eraftpb::ConfChange { node_id: one.node_id, ..Default::default() };
                old.change_type = one.change_type;
                self.node.propose_conf_change(Vec::new(), old)
            }
            None => {
                let bytes = Bytes::from(change.encode_to_vec());
                let change = eraftpb::ConfChangeV2::decode(bytes).expect("both know the same changes");
                self.node.propose_conf_change(Vec::new(), change)
            }
        };
        done.ok().map(|()| (self.node.raft.raft_log.last_index(), self.node.raft.term))
    }

    fn read(&mut self, context: Bytes) -> bool {
        // Without an entry of its own term committed the crate drops a read without a word.
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader || !raft.commit_to_current_term() {
            return false;
        }
        self.node.read_index(context.to_vec());
        true
    }

    fn forward_read(&mut self, context: Bytes) {
        self.node.read_index(context.to_vec());
    }

    fn request_snapshot(&mut self) -> bool {
        self.node.request_snapshot().is_ok()
    }

    fn set_priority(&mut self, priority: i64) {
        self.node.set_priority(priority);
    }

    fn transfer(&mut self, to: u64) {
        self.node.transfer_leader(to);
    }

    fn report_unreachable(&mut self, id: u64) {
        self.node.report_unreachable(id);
    }

    fn report_snapshot(&mut self, id: u64, arrived: bool) {
        let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.node.report_snapshot(id, status);
    }

    fn ready(&mut self) -> Option<Work> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let (entries, snapshot) = self.write(&mut ready);
        let work = Work {
            number: ready.number(),
            must_sync: ready.must_sync(),
            entries,
            snapshot,
            committed: ready.take_committed_entries().iter().map(stored).collect(),
            now: ready.take_messages().iter().map(packet).collect(),
            later: ready.take_persisted_messages().iter().map(packet).collect(),
            reads: ready.take_read_states().into_iter().map(|read| (read.index, read.request_ctx)).collect(),
        };
        match self.form {
            Form::Sync => self.current = Some(ready),
            Form::Async => self.node.advance_append_async(ready),
        }
        Some(work)
    }

    fn on_persisted(&mut self, number: u64) {
        self.node.on_persist_ready(number);
    }

    fn advance(&mut self) -> Option<Work> {
        let ready = self.current.take().expect("a Ready is being dealt with");
        let light: LightReady = self.node.advance_append(ready);
        let (mut light, mut work) = (light, Work::default());
        work.committed = light.take_committed_entries().iter().map(stored).collect();
        work.now = light.take_messages().iter().map(packet).collect();
        Some(work)
    }

    fn waits_for_snapshots(&self) -> bool {
        true
    }

    fn applies_before_advance(&self) -> bool {
        false
    }

    fn apply_change(&mut self, entry: &Bytes) -> ConfState {
        let entry = eraftpb::Entry::decode(entry.clone()).expect("a stored entry decodes");
        let applied = if entry.entry_type() == eraftpb::EntryType::EntryConfChange {
            let change = eraftpb::ConfChange::decode(&entry.data[..]).expect("a committed change decodes");
            self.node.apply_conf_change(&change)
        } else {
            let change = eraftpb::ConfChangeV2::decode(&entry.data[..]).expect("a committed change decodes");
            self.node.apply_conf_change(&change)
        };
        let members = applied.expect("a committed change applies");
        let raft = &mut self.node.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            raft.become_follower(raft.term, INVALID_ID);
        }
        self.settle_timeout();
        to_ours(&members)
    }

    fn on_applied(&mut self, index: u64) {
        self.node.advance_apply_to(index);
        self.settle_timeout();
    }
}

fn packet(message: &eraftpb::Message) -> Packet {
    Packet::new(message.encode_to_vec().into())
}

fn stored(entry: &eraftpb::Entry) -> Stored {
    Stored { index: entry.index, term: entry.term, bytes: entry.encode_to_vec().into() }
}

fn image(snapshot: &eraftpb::Snapshot) -> Image {
    let metadata = snapshot.get_metadata();
    Image { index: metadata.index, term: metadata.term, bytes: snapshot.encode_to_vec().into() }
}

/// The members in the type that both sides of the harness share.
fn to_ours(members: &eraftpb::ConfState) -> ConfState {
    let mut members = ConfState::decode(Bytes::from(members.encode_to_vec())).expect("both know the same membership");
    for ids in [&mut members.voters, &mut members.learners, &mut members.voters_outgoing, &mut members.learners_next] {
        ids.sort_unstable();
    }
    members
}

fn gap(gap: Gap) -> raft::Error {
    raft::Error::Store(match gap {
        Gap::Compacted => StorageError::Compacted,
        Gap::Unavailable => StorageError::Unavailable,
    })
}

impl Storage for Disk {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard = self.durable().hard;
        let commit = hard.commit.max(self.machine().applied);
        let mut hard_state = eraftpb::HardState { term: hard.term, vote: hard.vote, ..Default::default() };
        hard_state.commit = commit;
        let members = Bytes::from(self.machine().members().encode_to_vec());
        let members = eraftpb::ConfState::decode(members).expect("both know the same membership");
        Ok(RaftState::new(hard_state, members))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        let range = self.written().range(low, high).map_err(gap)?;
        let mut entries: Vec<eraftpb::Entry> =
            range.map(|stored| eraftpb::Entry::decode(stored.bytes.clone()).expect("a stored entry decodes")).collect();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.written().term(index).map_err(gap)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.written().truncated.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.written().last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<eraftpb::Snapshot> {
        let unavailable = raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        let image = self.fetch_image(request_index).ok_or(unavailable)?;
        Ok(eraftpb::Snapshot::decode(image.bytes.clone()).expect("a stored snapshot decodes"))
    }
}
