//! R-COMMIT-TERM: a leader commits by counting only entries of its own term; older ones come along (Raft, section 5.4.2 and
//! figure 8).
//!
//! Figure 8 needs a rare sequence of crashes before data is lost. The rule itself is broken at once.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerKey, PeerRole, PeerView};

/// Remembers each leader's commit index, with the life and term in which it had it.
#[derive(Debug, Default)]
pub struct CommitOwnTerm {
    commits: BTreeMap<PeerKey, (u64, u64, u64)>,
}

impl Invariant for CommitOwnTerm {
    fn id(&self) -> &'static str {
        "R-COMMIT-TERM"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        if peer.role != PeerRole::Leader {
            self.commits.remove(&peer.key);
            return Ok(());
        }
        let before = self.commits.insert(peer.key, (peer.incarnation, peer.term, peer.commit));
        let Some((incarnation, term, commit)) = before else { return Ok(()) };
        let same_reign = (incarnation, term) == (peer.incarnation, peer.term);
        match peer.log.term(peer.commit) {
            Some(committed) if same_reign && peer.commit > commit && committed != peer.term => Err(format!(
                "leader {} of term {} moved its commit index from {commit} to {}, an entry of term {committed}",
                peer.peer, peer.term, peer.commit
            )),
            _ => Ok(()),
        }
    }
}
