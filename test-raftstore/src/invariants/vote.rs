//! R-VOTE: a peer gives one vote a term, also across restarts (Raft, section 5.2; figure 2 lists votedFor as persistent).
//!
//! Seen in the messages that leave, since those are the promises: a vote that was sent before it was durable shows as a
//! second vote in the same term after a crash.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerView, Promise, SentMessage};

/// Remembers each vote that left a peer.
#[derive(Debug, Default)]
pub struct OneVote {
    votes: BTreeMap<(u64, u64, u64), u64>,
}

impl Invariant for OneVote {
    fn id(&self) -> &'static str {
        "R-VOTE"
    }

    fn check(&mut self, _view: &ClusterView, _peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        Ok(())
    }

    fn on_send(&mut self, message: &SentMessage) -> Result<(), String> {
        let Promise::Vote { candidate } = message.promise else { return Ok(()) };
        let key = (message.key.region, message.from, message.term);
        let first = *self.votes.entry(key).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        Err(format!("peer {} voted for {first} and for {candidate} in term {}", message.from, message.term))
    }
}
