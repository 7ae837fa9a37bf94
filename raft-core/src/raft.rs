//! The state of one node and its clock.
//!
//! [`Raft`] is a state machine: ticks and messages go in, and what is to be sent, written and applied piles up inside until
//! [`crate::RawNode::ready`] takes it out. It belongs to one thread and never blocks. The parts of the algorithm have a file each:
//! `step.rs` says which message goes to which of them, and they are all `impl Raft`.
//!
//! Invariants: R-MONO (the term never goes back), R-ELECT (a leader follows nobody in its term).

use proto::eraftpb::{Entry, HardState, Message, MessageType};
use slog::{Logger, info, o};

use crate::invariant::invariant;
use crate::log::RaftLog;
use crate::progress::{ProgressState, Tracker};
use crate::read_index::ReadQueue;
use crate::replication::Uncommitted;
use crate::rng::Rng;
use crate::transfer::Transfer;
use crate::validate::is_about_votes;
use crate::{Config, Error, ReadState, Result, Storage};

/// What a node currently is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether it could be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// State that need not survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SoftState {
    /// The leader this node knows, 0 if none.
    pub leader_id: u64,
    /// The role of this node.
    pub role: Role,
}

/// One node of a group.
///
/// The fields stay in this order in memory: first what a tick and [`crate::RawNode::has_ready`] look at. A store has thousands of idle
/// groups, none of them in the processor's caches, so what an idle tick costs is how much memory it touches.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Raft<S: Storage> {
    pub(crate) id: u64,
    pub(crate) term: u64,
    /// Whom this node voted for in `term`, 0 if nobody.
    pub(crate) vote: u64,
    /// The leader of `term`, 0 if unknown.
    pub(crate) leader_id: u64,
    pub(crate) role: Role,
    /// Set when the leader's log, its commit index or a follower's window has moved: appends are due before the next Ready.
    pub(crate) appends_due: bool,
    /// Ticks since the last sign of life of a leader, or since the election began.
    pub(crate) election_elapsed: usize,
    pub(crate) election_timeout: usize,
    pub(crate) heartbeat_elapsed: usize,
    /// The transfer of the leadership that runs.
    pub(crate) transfer: Option<Transfer>,
    /// What is to be sent, in order.
    pub(crate) msgs: Vec<Message>,
    pub(crate) reads: ReadQueue,
    pub(crate) read_states: Vec<ReadState>,
    pub(crate) config: Config,
    pub(crate) log: RaftLog<S>,
    pub(crate) tracker: Tracker,
    pub(crate) uncommitted: Uncommitted,
    /// No change of membership stands behind this index in the log.
    pub(crate) pending_conf_index: u64,
    /// The snapshot that was asked for has this index or a later one; 0 if none was.
    pub(crate) requested_snapshot: u64,
    pub(crate) rng: Rng,
    pub(crate) logger: Logger,
}

impl<S: Storage> Raft<S> {
    /// A node that continues where `store` says it stopped. It starts as a follower.
    pub fn new(config: &Config, store: S, logger: &Logger) -> Result<Self> {
        config.validate()?;
        let state = store.initial_state()?;
        let log = RaftLog::new(config.id, store, &state.hard_state, config.applied)?;
        let mut raft = Raft {
            id: config.id,
            term: state.hard_state.term,
            vote: state.hard_state.vote,
            role: Role::Follower,
            leader_id: 0,
            tracker: Tracker::new(config, &state.conf_state, log.last_index() + 1),
            log,
            msgs: Vec::new(),
            reads: ReadQueue::default(),
            read_states: Vec::new(),
            uncommitted: Uncommitted::new(config.max_uncommitted_size),
            appends_due: false,
            transfer: None,
            pending_conf_index: 0,
            requested_snapshot: 0,
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            election_timeout: 0,
            config: config.clone(),
            rng: Rng::new(config.seed, config.id),
            logger: logger.new(o!("raft_id" => config.id)),
        };
        raft.log.set_apply_unpersisted_limit(config.apply_unpersisted_limit);
        raft.draw_election_timeout();
        info!(raft.logger, "raft node starts";
            "term" => raft.term, "commit" => raft.log.committed(), "last_index" => raft.log.last_index());
        Ok(raft)
    }

    /// This node.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whom this node voted for in the current term, 0 if nobody.
    pub fn vote(&self) -> u64 {
        self.vote
    }

    /// The leader of the current term, 0 if unknown.
    pub fn leader_id(&self) -> u64 {
        self.leader_id
    }

    /// What this node currently is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True if this node leads.
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// Highest committed index.
    pub fn committed(&self) -> u64 {
        self.log.committed()
    }

    /// Highest applied index, as reported by [`crate::RawNode::advance_apply_to`].
    pub fn applied(&self) -> u64 {
        self.log.applied()
    }

    /// Highest index that is on this node's disk.
    pub fn persisted(&self) -> u64 {
        self.log.persisted()
    }

    /// First index of the log. 1 if the storage cannot tell.
    pub fn first_index(&self) -> u64 {
        self.log.first_index().unwrap_or(1)
    }

    /// Last index of the log.
    pub fn last_index(&self) -> u64 {
        self.log.last_index()
    }

    /// Index and term of a received snapshot that is not reported as persisted yet.
    pub fn pending_snapshot(&self) -> Option<(u64, u64)> {
        self.log.unstable().snapshot_position()
    }

    /// The term of the entry at `index`, `None` if it is compacted or not there.
    pub fn log_term(&self, index: u64) -> Option<u64> {
        self.log.term(index).ok()
    }

    /// The entries in `[low, high)`, cut off once `max_size` bytes are exceeded, but at least one.
    ///
    /// Errors: [`Error::Compacted`] if the log starts later, [`Error::Unavailable`] if it ends earlier.
    pub fn log_entries(&self, low: u64, high: u64, max_size: u64) -> Result<Vec<Entry>> {
        self.log.slice(low, high, max_size)
    }

    /// True once an entry of the current term is committed: only then does a leader know all that was committed before it.
    pub fn committed_in_term(&self) -> bool {
        self.log.match_term(self.log.committed(), self.term)
    }

    /// How many reads wait for a quorum.
    pub fn pending_reads(&self) -> usize {
        self.reads.len()
    }

    /// The storage.
    pub fn store(&self) -> &S {
        self.log.store()
    }

    /// The storage.
    pub fn store_mut(&mut self) -> &mut S {
        self.log.store_mut()
    }

    /// The members of the group and what this node knows about them.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Leader and role.
    pub fn soft_state(&self) -> SoftState {
        SoftState { leader_id: self.leader_id, role: self.role }
    }

    /// What must survive a restart besides the log.
    pub fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.log.committed() }
    }

    /// True if this node may become leader: it is a voter, and its log is not about to be replaced.
    pub fn is_promotable(&self) -> bool {
        self.tracker.voters().contains(self.id) && self.log.unstable().snapshot().is_none()
    }

    /// One tick of the clock. Returns true if it made something to do.
    pub fn tick(&mut self) -> bool {
        match self.role {
            Role::Leader => {
                self.tick_transfer();
                self.tick_check_quorum() || self.tick_heartbeat()
            }
            Role::Follower | Role::PreCandidate | Role::Candidate => self.tick_election(),
        }
    }

    /// Enters `term` with nothing known about anybody.
    pub(crate) fn reset(&mut self, term: u64) {
        let old = self.term;
        invariant!("R-MONO", self.id, term >= old, "term {term} after {old}");
        if term != old {
            self.term = term;
            self.vote = 0;
            // The next leader's log may end before the index that was asked for.
            self.requested_snapshot = 0;
        }
        self.leader_id = 0;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.draw_election_timeout();
        self.tracker.reset(self.log.last_index() + 1);
        self.reads.drop_all();
        self.uncommitted.reset(self.log.last_index());
        self.appends_due = false;
        self.transfer = None;
        // Nobody knows which changes of membership earlier leaders have proposed: only behind here there are none.
        self.pending_conf_index = self.log.last_index();
    }

    /// A message of this node, in its current term.
    pub(crate) fn message(&self, msg_type: MessageType, to: u64) -> Message {
        let priority = if is_about_votes(msg_type) { self.config.priority } else { 0 };
        Message { msg_type: msg_type as i32, from: self.id, to, term: self.term, priority, ..Message::default() }
    }

    /// The transport could not reach a member: what was sent optimistically is probably lost.
    pub(crate) fn on_unreachable(&mut self, id: u64) {
        if let Some(progress) = self.tracker.get_mut(id)
            && progress.state == ProgressState::Replicate
            && id != self.id
        {
            progress.become_probe();
        }
    }

    /// Does what was put off so that many proposals share a message: called before each Ready.
    pub(crate) fn flush(&mut self) {
        self.flush_reads();
        if std::mem::take(&mut self.appends_due) {
            self.broadcast_append();
        }
        self.tell_commit_with_votes();
    }

    /// True if [`Raft::flush`] would send something.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.reads.is_unsent() || self.reads.has_dropped() || (self.appends_due && self.has_append_to_send())
    }

    /// Fails unless this node leads.
    pub(crate) fn check_leader(&self) -> Result<()> {
        if self.is_leader() { Ok(()) } else { Err(Error::NotLeader { leader_id: self.leader_id }) }
    }
}
