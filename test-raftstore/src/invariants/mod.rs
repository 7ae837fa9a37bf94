//! The rules that hold between any two steps, one small file each.
//!
//! | id | rule | from |
//! |---|---|---|
//! | R-ELECT | at most one leader a region and term | Raft, figure 3, election safety |
//! | R-VOTE | a peer votes once a term, also across restarts | Raft, section 5.2; figure 2, persistent state |
//! | R-APPEND-ONLY | a leader never overwrites its log | Raft, figure 3, leader append-only |
//! | R-LOG-MATCH | logs with an entry in common are equal up to it | Raft, figure 3, log matching |
//! | R-COMPLETE | a leader holds what was committed in earlier terms | Raft, figure 3, leader completeness |
//! | R-APPLY-SAME | an index is committed as one entry everywhere | Raft, figure 3, state machine safety |
//! | R-MONO | term, commit, applied and truncated index never go back | Raft, figure 2 |
//! | R-ORDER | truncated ≤ applied ≤ commit ≤ last | Raft, figure 2 and section 7 |
//! | R-COMMIT-TERM | a leader commits by counting only entries of its own term | Raft, section 5.4.2, figure 8 |
//! | R-CONF-ONE | a leader appends no change of members before it has applied the last one | thesis, section 4.1 |
//! | R-XFER-QUIET | a leader that hands over appends nothing meanwhile | thesis, section 3.10 |
//! | R-XFER-BOUND | a transfer is over after one election timeout | thesis, section 3.10 |
//! | R-COMMIT-QUORUM | what a leader commits is on the disks of a quorum | Raft, section 5.3; thesis, section 10.2.1 |
//!
//! Each is incremental: it looks at the peers that the step changed and at what changed in their logs, and keeps the
//! little that it must remember. The first violation ends the run.

mod append_only;
mod commit_quorum;
mod completeness;
mod election;
mod log_matching;
mod monotone;
mod one_change;
mod order;
mod own_term;
mod state_machine;
#[cfg(test)]
mod tests;
mod transfer;
mod vote;

use std::fmt;

pub use append_only::LeaderAppendOnly;
pub use commit_quorum::CommitQuorum;
pub use completeness::LeaderCompleteness;
pub use election::ElectionSafety;
pub use log_matching::LogMatching;
pub use monotone::Monotone;
pub use one_change::OneChange;
pub use order::IndexOrder;
pub use own_term::CommitOwnTerm;
pub use state_machine::StateMachineSafety;
pub use transfer::{BoundTransfer, QuietTransfer};
pub use vote::OneVote;

use crate::view::{ClusterView, DiskProbe, PeerKey, PeerView, SentMessage};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's id.
    pub id: &'static str,
    /// The region in which it broke.
    pub region: u64,
    /// What is wrong, with the beliefs of both sides.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} region {}: {}", self.id, self.region, self.message)
    }
}

/// One rule.
pub trait Invariant {
    /// Its id, as the table above lists it.
    fn id(&self) -> &'static str;

    /// Looks at one peer that the step changed.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&mut self, view: &ClusterView, peer: &PeerView, disks: &dyn DiskProbe) -> Result<(), String>;

    /// Looks at a message that a peer hands to the network.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn on_send(&mut self, _message: &SentMessage) -> Result<(), String> {
        Ok(())
    }
}

/// All rules of a run.
pub struct Invariants {
    rules: Vec<Box<dyn Invariant>>,
}

impl Default for Invariants {
    fn default() -> Self {
        Self::all()
    }
}

impl Invariants {
    /// Every rule, those that name a cause before those that name its consequence.
    pub fn all() -> Self {
        Self {
            rules: vec![
                Box::new(OneVote::default()),
                Box::new(ElectionSafety::default()),
                Box::new(Monotone::default()),
                Box::new(IndexOrder),
                Box::new(LeaderAppendOnly::default()),
                Box::new(OneChange),
                Box::new(QuietTransfer::default()),
                Box::new(BoundTransfer::default()),
                Box::new(LogMatching::default()),
                Box::new(CommitOwnTerm::default()),
                Box::new(CommitQuorum::default()),
                Box::new(StateMachineSafety::default()),
                Box::new(LeaderCompleteness::default()),
            ],
        }
    }

    /// Checks the peers that a step changed, and marks their logs as seen.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(
        &mut self,
        view: &mut ClusterView,
        changed: &[PeerKey],
        disks: &dyn DiskProbe,
    ) -> Result<(), Violation> {
        for key in changed {
            let Some(peer) = view.peers.get(key) else { continue };
            for rule in &mut self.rules {
                rule.check(view, peer, disks).map_err(|message| Violation {
                    id: rule.id(),
                    region: key.region,
                    message,
                })?;
            }
            if let Some(peer) = view.peers.get_mut(key) {
                peer.log.mark_seen();
            }
        }
        Ok(())
    }

    /// Checks a message that leaves a peer.
    ///
    /// # Errors
    /// The first violation.
    pub fn on_send(&mut self, message: &SentMessage) -> Result<(), Violation> {
        for rule in &mut self.rules {
            rule.on_send(message).map_err(|text| Violation {
                id: rule.id(),
                region: message.key.region,
                message: text,
            })?;
        }
        Ok(())
    }
}
