//! R-CONF-ONE: a leader appends no change of members before it has applied the one before it (Raft thesis, section 4.1).
//!
//! Only what the leader has proposed itself counts. Its predecessor may have applied the first of two changes already, and then both come
//! to the successor unapplied.

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, EntryId, PeerRole, PeerView};

/// Remembers nothing.
#[derive(Debug, Default)]
pub struct OneChange;

impl Invariant for OneChange {
    fn id(&self) -> &'static str {
        "R-CONF-ONE"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let Some(changed) = peer.log.changed_from().filter(|_| peer.role == PeerRole::Leader) else { return Ok(()) };
        let entries = |from: u64, to: u64| (from..=to).filter_map(|index| Some((index, peer.log.get(index)?)));
        let is_change = |entry: &(u64, EntryId)| entry.1.changes_members;
        let own = |entry: &(u64, EntryId)| is_change(entry) && entry.1.term == peer.term;
        let Some((new, _)) = entries(changed, peer.log.last_index()).rfind(own) else { return Ok(()) };
        match entries(peer.applied + 1, new - 1).find(is_change) {
            Some((pending, _)) => Err(format!(
                "leader {} of term {} appends a change of members at index {new}, and has not applied that at {pending}",
                peer.peer, peer.term
            )),
            None => Ok(()),
        }
    }
}
