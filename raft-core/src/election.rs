//! Elections (project 2AA; Raft paper, 5.2 and 5.4.1).
//!
//! A follower that hears no leader for a random time becomes a candidate, votes for itself and asks the others. A node gives one vote
//! a term, to the first candidate whose log holds at least what its own does. Votes are promises: they leave only once the vote is on
//! disk, which is why nothing here sends, it only leaves messages for the next Ready.
//!
//! Invariant R-ELECT: at most one leader a term.

use proto::eraftpb::{Entry, Message, MessageType};
use slog::{debug, info};

use crate::Storage;
use crate::invariant::invariant;
use crate::quorum::VoteResult;
use crate::raft::{Raft, Role};

impl<S: Storage> Raft<S> {
    /// Draws the time after which this node gives up waiting for a leader: random, so that rarely two nodes start at the same time.
    pub(crate) fn draw_election_timeout(&mut self) {
        // lab:begin 2AA election::draw_election_timeout  hint="uniform in [election_tick, 2 * election_tick), from self.rng"
        let base = self.config.election_tick;
        self.election_timeout = base + self.rng.below(base as u64) as usize;
        // lab:end
    }

    /// One tick of a follower or candidate.
    pub(crate) fn tick_election(&mut self) -> bool {
        // lab:begin 2AA election::tick_election  hint="count; when the timeout is reached start counting anew and campaign"
        self.election_elapsed += 1;
        if self.election_elapsed < self.election_timeout || !self.is_promotable() {
            return false;
        }
        self.election_elapsed = 0;
        self.campaign();
        true
        // lab:end
    }

    /// Follows `leader` (0 = unknown) in `term`.
    pub(crate) fn become_follower(&mut self, term: u64, leader: u64) {
        // lab:begin 2AA election::become_follower  hint="reset() forgets the vote only if the term is a new one"
        let was = self.role;
        self.reset(term);
        self.role = Role::Follower;
        self.leader_id = leader;
        if was != Role::Follower {
            info!(self.logger, "steps down"; "was" => ?was, "term" => term, "leader" => leader);
        }
        // lab:end
    }

    /// Stands for election in the next term.
    pub(crate) fn become_candidate(&mut self) {
        let role = self.role;
        invariant!("R-ELECT", self.id, role != Role::Leader, "a leader stands for election");
        // lab:begin 2AA election::become_candidate  hint="a new term, and the vote goes to ourselves"
        self.reset(self.term + 1);
        self.role = Role::Candidate;
        self.vote = self.id;
        debug!(self.logger, "stands for election"; "term" => self.term);
        // lab:end
    }

    /// Leads the current term, and appends an empty entry: only with an entry of its own term can a leader commit those before it.
    pub(crate) fn become_leader(&mut self) {
        let role = self.role;
        invariant!("R-ELECT", self.id, role != Role::Follower, "a follower becomes leader without an election");
        // lab:begin 2AA election::become_leader  hint="reset() sets everybody's progress; self.append_entry() appends the empty entry; project 2AB will send it"
        self.reset(self.term);
        self.role = Role::Leader;
        self.leader_id = self.id;
        let persisted = self.log.persisted();
        if let Some(own) = self.tracker.get_mut(self.id) {
            own.become_replicate();
            own.maybe_update(persisted);
            own.recent_active = true;
        }
        self.append_entry(Entry::default());
        info!(self.logger, "leads"; "term" => self.term, "last_index" => self.log.last_index());
        // lab:end
    }

    /// Tries to become leader, unless this node leads already or may not lead.
    pub(crate) fn campaign(&mut self) {
        if !self.may_campaign() {
            debug!(self.logger, "does not campaign"; "role" => ?self.role);
        } else if self.config.pre_vote {
            self.start_pre_election();
        } else {
            self.start_election();
        }
    }

    /// False for a leader, for a node that may not lead, and for one that would count votes by a configuration that is out of force.
    pub(crate) fn may_campaign(&self) -> bool {
        !self.is_leader() && self.is_promotable() && !self.has_unapplied_conf_change()
    }

    /// Starts an election.
    pub(crate) fn start_election(&mut self) {
        // lab:begin 2AA election::start_election  hint="become candidate, count the own vote, ask the others; a group of one has won already"
        self.become_candidate();
        if self.tracker.record_vote(self.id, true) == VoteResult::Won {
            self.become_leader();
            return;
        }
        self.ask_for_votes(MessageType::MsgRequestVote, self.term);
        // lab:end
    }

    /// Asks all other voters for their vote in `term`, and tells them where our log ends.
    pub(crate) fn ask_for_votes(&mut self, msg_type: MessageType, term: u64) {
        // lab:begin 2AA election::ask_for_votes  hint="self.message() builds a message, self.msgs takes it; the log's end matters in project 2AB"
        let (index, log_term) = (self.log.last_index(), self.log.last_term());
        let voters: Vec<u64> = self.tracker.voters().ids().filter(|id| *id != self.id).collect();
        for to in voters {
            let request = Message { term, index, log_term, ..self.message(msg_type, to) };
            self.msgs.push(request);
        }
        // lab:end
    }

    /// Answers a request for a vote in the current term.
    pub(crate) fn handle_request_vote(&mut self, request: Message) {
        // lab:begin 2AA election::handle_request_vote  hint="one vote a term, the same answer to the same question, and only for a log that is up to date"
        let free = self.vote == request.from || (self.vote == 0 && self.leader_id == 0);
        let grant = free && self.log.is_up_to_date(request.index, request.log_term);
        if grant {
            self.vote = request.from;
            self.election_elapsed = 0;
        }
        debug!(self.logger, "vote asked"; "from" => request.from, "term" => request.term, "granted" => grant);
        let answer = Message { reject: !grant, ..self.message(MessageType::MsgRequestVoteResponse, request.from) };
        self.msgs.push(answer);
        // lab:end
    }

    /// Counts an answer to our request for votes.
    pub(crate) fn handle_vote_response(&mut self, response: Message) {
        // lab:begin 2AA election::handle_vote_response  hint="won: lead; lost: follow nobody in this term; otherwise wait"
        match self.tracker.record_vote(response.from, !response.reject) {
            VoteResult::Won => self.become_leader(),
            VoteResult::Lost => self.become_follower(self.term, 0),
            VoteResult::Pending => {}
        }
        // lab:end
    }
}
