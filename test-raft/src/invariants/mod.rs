//! The rules that hold between any two actions, one small file each.
//!
//! | id | rule | from |
//! |---|---|---|
//! | R-VOTE | a node votes once a term, also across crashes | Raft, section 5.2 |
//! | R-VOTE-LOG | a vote goes only to a log that holds at least what the voter's does | Raft, section 5.4.1 |
//! | R-VOTE-QUORUM | a leader has the votes of a majority of each half of its configuration | Raft, sections 5.2 and 6 |
//! | R-LEASE | with check-quorum, who has just heard a leader is moved by nobody's request for votes | thesis, section 4.2.3 |
//! | R-ELECT | at most one leader a term | Raft, figure 3, election safety |
//! | R-MONO | term, commit, applied and first index never go back | Raft, figure 2 |
//! | R-ORDER | truncated ≤ applied ≤ commit ≤ last | Raft, figure 2 and section 7 |
//! | R-APPEND-ONLY | a leader never overwrites its log | Raft, figure 3, leader append-only |
//! | R-TRUNCATE | a follower deletes entries only where an append contradicts them | Raft, section 5.3, figure 2 |
//! | R-LOG-MATCH | logs with an entry in common are equal up to it | Raft, figure 3, log matching |
//! | R-PERSIST | what a node says is on its disk before it says it | Raft, figure 2, "before responding to RPCs" |
//! | R-COMMIT-TERM | a leader commits by counting only entries of its own term | Raft, section 5.4.2, figure 8 |
//! | R-COMMIT-QUORUM | what a leader commits is on the disks of a quorum of each half | Raft, section 5.3; thesis, section 10.2.1 |
//! | R-COMPLETE | a leader holds what was committed in earlier terms | Raft, figure 3, leader completeness |
//! | R-APPLY-SAME | state machines apply the same entries in the same order, each once | Raft, figure 3, state machine safety |
//! | R-CONF-ONE | a leader proposes no change of membership before it has applied the last one | thesis, section 4.1 |
//! | R-CONF-APPLIED | the configuration in force is the one of the applied index, the same on all nodes | Raft, section 6 |
//! | R-CONF-OVERLAP | every quorum of a configuration meets every quorum of the next one | Raft, section 6; thesis, section 4.1 |
//! | R-CONF-CAMPAIGN | nobody campaigns without a vote, or over a committed change that it has not applied | thesis, section 4.1 |
//! | R-XFER-QUIET | who hands over its leadership appends nothing meanwhile | thesis, section 3.10 |
//! | R-XFER-BOUND | a handover is over after one election timeout | thesis, section 3.10 |
//! | R-SNAP-ONE | while a snapshot is not on the disk, no second one and no append is taken in | Raft, section 7 |
//! | R-APPEND-ANSWER | every append that reaches a node is answered | Raft, figure 2, AppendEntries |
//! | R-DROP-TOLD | a proposal is in the log, or its proposer was told that it is not | Raft, section 8 |
//! | R-READ | a read sees everything that was committed when it was asked | thesis, section 6.4 |
//!
//! All of them are incremental: they look at the node that something happened to. What they remember is part of a state when all states
//! are searched, therefore each is [`Hash`] and [`Clone`].

mod append_answer;
mod append_only;
mod apply_same;
mod commit_quorum;
mod commit_term;
mod completeness;
mod conf_applied;
mod conf_campaign;
mod conf_one;
mod conf_overlap;
mod drop_told;
mod election;
mod event;
mod lease;
mod log_matching;
mod monotone;
mod order;
mod persist;
mod read;
mod snap_one;
mod transfer;
mod truncate;
mod vote;
mod vote_log;
mod vote_quorum;

use std::fmt;

pub use event::{Cause, Event, Step};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's id.
    pub id: String,
    /// What is wrong, with the beliefs of both sides.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.message)
    }
}

/// One rule.
trait Rule {
    /// Its id, as the table above lists it.
    const ID: &'static str;

    /// Looks at something that happened. The error says in words what is wrong.
    fn check(&mut self, event: &Event<'_>) -> Result<(), String>;
}

macro_rules! rules {
    ($($field:ident: $rule:ty),* $(,)?) => {
        /// All rules, with what they remember. Those that name a cause stand before those that name its consequence.
        #[derive(Clone, Debug, Default, Hash)]
        pub struct Rules {
            $($field: $rule,)*
        }

        impl Rules {
            /// The ids of all rules.
            pub const IDS: &'static [&'static str] = &[$(<$rule as Rule>::ID),*];

            /// Shows all rules something that happened.
            ///
            /// # Errors
            /// The first rule that it breaks.
            pub fn check(&mut self, event: &Event<'_>) -> Result<(), Violation> {
                $(if let Err(message) = self.$field.check(event) {
                    return Err(Violation { id: <$rule as Rule>::ID.to_owned(), message });
                })*
                Ok(())
            }
        }
    };
}

impl Rules {
    /// A read about which node `id` owes a word in this life.
    pub fn owed_read(&self, id: u64, life: u64) -> Option<u64> {
        self.read.owed(id, life).next()
    }
}

rules! {
    monotone: monotone::Monotone,
    order: order::IndexOrder,
    persist: persist::PersistFirst,
    snap_one: snap_one::OneSnapshot,
    conf_one: conf_one::OneChange,
    conf_applied: conf_applied::ConfIsApplied,
    conf_overlap: conf_overlap::QuorumsOverlap,
    conf_campaign: conf_campaign::MayCampaign,
    transfer_quiet: transfer::QuietTransfer,
    transfer_bound: transfer::BoundTransfer,
    vote_log: vote_log::VoteNeedsLog,
    lease: lease::LeaseKept,
    vote: vote::OneVote,
    vote_quorum: vote_quorum::VoteQuorum,
    election: election::ElectionSafety,
    append_only: append_only::LeaderAppendOnly,
    truncate: truncate::TruncateOnConflict,
    log_matching: log_matching::LogMatching,
    commit_term: commit_term::CommitOwnTerm,
    commit_quorum: commit_quorum::CommitQuorum,
    completeness: completeness::LeaderCompleteness,
    apply_same: apply_same::ApplySame,
    append_answer: append_answer::AppendsAreAnswered,
    drop_told: drop_told::ProposersAreTold,
    read: read::ReadsAreFresh,
}
