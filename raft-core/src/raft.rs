//! The state of one node, its clock, and the way of a message to the code that handles it.
//!
//! [`Raft`] is a state machine: ticks and messages go in, and what is to be sent, written and applied piles up inside until
//! [`crate::RawNode::ready`] takes it out. It belongs to one thread and never blocks. The parts of the algorithm have a file each:
//! `election.rs`, `replication.rs`, `snapshot.rs`, `read_index.rs`, `prevote.rs`, `check_quorum.rs`; they are all `impl Raft`.
//!
//! Input is never trusted: `validate.rs` turns away what makes no sense, and what remains is checked against the own state where it is
//! used. Invariants: R-MONO (the term never goes back), R-ELECT (a leader follows nobody in its term).

use proto::eraftpb::{Entry, EntryType, HardState, Message, MessageType};
use slog::{Logger, debug, error, info, o};

use crate::invariant::invariant;
use crate::log::RaftLog;
use crate::progress::{ProgressState, Tracker};
use crate::read_index::ReadQueue;
use crate::replication::Uncommitted;
use crate::rng::Rng;
use crate::validate::{is_from_leader, is_local};
use crate::{Config, Error, MemberStatus, ReadState, Result, Status, Storage};

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
#[derive(Clone, Debug)]
pub struct Raft<S: Storage> {
    pub(crate) id: u64,
    pub(crate) term: u64,
    /// Whom this node voted for in `term`, 0 if nobody.
    pub(crate) vote: u64,
    pub(crate) role: Role,
    /// The leader of `term`, 0 if unknown.
    pub(crate) leader_id: u64,
    pub(crate) log: RaftLog<S>,
    pub(crate) tracker: Tracker,
    /// What is to be sent, in order.
    pub(crate) msgs: Vec<Message>,
    pub(crate) reads: ReadQueue,
    pub(crate) read_states: Vec<ReadState>,
    pub(crate) uncommitted: Uncommitted,
    /// Set when the leader's log, its commit index or a follower's window has moved: appends are due before the next Ready.
    pub(crate) appends_due: bool,
    /// Ticks since the last sign of life of a leader, or since the election began.
    pub(crate) election_elapsed: usize,
    pub(crate) heartbeat_elapsed: usize,
    pub(crate) election_timeout: usize,
    pub(crate) config: Config,
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
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            election_timeout: 0,
            config: config.clone(),
            rng: Rng::new(config.seed, config.id),
            logger: logger.new(o!("raft_id" => config.id)),
        };
        raft.draw_election_timeout();
        info!(raft.logger, "raft node starts";
            "term" => raft.term, "commit" => raft.log.committed(), "last_index" => raft.log.last_index());
        Ok(raft)
    }

    /// This node.
    pub fn id(&self) -> u64 {
        self.id
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

    /// A picture for people.
    pub fn status(&self) -> Status {
        let member = |progress: &crate::progress::Progress| MemberStatus {
            matched: progress.matched,
            next: progress.next,
            state: progress.state_name(),
            paused: progress.is_paused(),
            inflight: progress.inflights.len(),
            recent_active: progress.recent_active,
        };
        let leads = self.is_leader();
        Status {
            id: self.id,
            role: self.role,
            term: self.term,
            vote: self.vote,
            leader_id: self.leader_id,
            first_index: self.first_index(),
            applied: self.applied(),
            committed: self.committed(),
            persisted: self.persisted(),
            last_index: self.last_index(),
            members: self.tracker.iter().filter(|_| leads).map(|(id, p)| (id, member(p))).collect(),
        }
    }

    /// One tick of the clock. Returns true if it made something to do.
    pub fn tick(&mut self) -> bool {
        match self.role {
            Role::Leader => self.tick_check_quorum() || self.tick_heartbeat(),
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
        }
        self.leader_id = 0;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.draw_election_timeout();
        self.tracker.reset(self.log.last_index() + 1);
        self.reads.clear();
        self.uncommitted.reset(self.log.last_index());
        self.appends_due = false;
    }

    /// A message of this node, in its current term.
    pub(crate) fn message(&self, msg_type: MessageType, to: u64) -> Message {
        Message { msg_type: msg_type as i32, from: self.id, to, term: self.term, ..Message::default() }
    }

    /// Takes in a message: a local order without a term, or what another node has sent.
    ///
    /// Errors come only from local orders ([`Error::NotLeader`], [`Error::ProposalDropped`]); a message that cannot be used is ignored.
    pub fn step(&mut self, message: Message) -> Result<()> {
        let Ok(msg_type) = MessageType::try_from(message.msg_type) else {
            debug!(self.logger, "message ignored: unknown type"; "type" => message.msg_type, "from" => message.from);
            return Ok(());
        };
        if is_local(msg_type) {
            return self.step_local(msg_type, message);
        }
        if self.admit(msg_type, &message) {
            self.dispatch(msg_type, message);
        }
        Ok(())
    }

    /// What every message of another node does, whatever is in it: it may bring a newer term, and it may show who leads. Returns false if
    /// that was all, or if the message cannot be used.
    pub(crate) fn admit(&mut self, msg_type: MessageType, message: &Message) -> bool {
        if let Err(reason) = self.check_message(msg_type, message) {
            debug!(self.logger, "message ignored: {}", reason;
                "type" => msg_type.as_str_name(), "from" => message.from, "term" => message.term);
            return false;
        }
        if message.term > self.term {
            if self.is_content_with_leader(msg_type, message) {
                return false;
            }
            if !Self::is_about_future_term(msg_type, message) {
                debug!(self.logger, "higher term";
                    "term" => message.term, "from" => message.from, "own_term" => self.term);
                self.become_follower(message.term, 0);
            }
        } else if message.term < self.term {
            self.answer_old_term(msg_type, message);
            return false;
        }
        !is_from_leader(msg_type) || self.follow(message)
    }

    /// The sender leads the current term. Returns false if it cannot, because this node does.
    fn follow(&mut self, message: &Message) -> bool {
        if self.is_leader() {
            error!(self.logger, "R-ELECT: another node leads in the same term, its message is ignored";
                "from" => message.from, "term" => message.term);
            return false;
        }
        if self.role != Role::Follower {
            self.become_follower(message.term, message.from);
        }
        self.leader_id = message.from;
        self.election_elapsed = 0;
        true
    }

    fn step_local(&mut self, msg_type: MessageType, message: Message) -> Result<()> {
        match msg_type {
            MessageType::MsgHup => self.campaign(),
            MessageType::MsgBeat if self.is_leader() => self.broadcast_heartbeat(),
            MessageType::MsgPropose => {
                for entry in message.entries {
                    self.propose(EntryType::EntryNormal, entry.context, entry.data)?;
                }
            }
            MessageType::MsgUnreachable => self.on_unreachable(message.from),
            MessageType::MsgSnapStatus => self.on_snapshot_status(message.from, !message.reject),
            _ => {}
        }
        Ok(())
    }

    /// A node that is behind must hear of the newer term, or it would go on leading, or its requests would be ignored for ever.
    fn answer_old_term(&mut self, msg_type: MessageType, message: &Message) {
        match msg_type {
            _ if is_from_leader(msg_type) => {
                let answer = self.message(MessageType::MsgAppendResponse, message.from);
                self.msgs.push(answer);
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let response = match msg_type {
                    MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
                    _ => MessageType::MsgRequestPreVoteResponse,
                };
                let answer = Message { reject: true, ..self.message(response, message.from) };
                self.msgs.push(answer);
            }
            _ => {}
        }
    }

    /// Handles a message that was admitted.
    pub(crate) fn dispatch(&mut self, msg_type: MessageType, message: Message) {
        match (msg_type, self.role) {
            (MessageType::MsgRequestVote, _) => self.handle_request_vote(message),
            (MessageType::MsgRequestVoteResponse, Role::Candidate) => self.handle_vote_response(message),
            (MessageType::MsgRequestPreVote, _) => self.handle_request_pre_vote(message),
            (MessageType::MsgRequestPreVoteResponse, Role::PreCandidate) => self.handle_pre_vote_response(message),
            (MessageType::MsgAppend, _) => self.handle_append(message),
            (MessageType::MsgHeartbeat, _) => self.handle_heartbeat(message),
            (MessageType::MsgSnapshot, _) => self.handle_snapshot(message),
            (MessageType::MsgAppendResponse, Role::Leader) => self.handle_append_response(message),
            (MessageType::MsgHeartbeatResponse, Role::Leader) => self.handle_heartbeat_response(message),
            _ => {}
        }
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
    }

    /// True if [`Raft::flush`] would send something.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.reads.is_unsent() || (self.appends_due && self.has_append_to_send())
    }

    /// Fails unless this node leads.
    pub(crate) fn check_leader(&self) -> Result<()> {
        if self.is_leader() { Ok(()) } else { Err(Error::NotLeader { leader_id: self.leader_id }) }
    }
}
