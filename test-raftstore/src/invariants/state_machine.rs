//! R-APPLY-SAME: an index of a region is committed, and so applied, as the same entry on all peers (Raft, figure 3,
//! state machine safety).

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, EntryId, PeerKey, PeerView};

/// Remembers what was committed at each index, and how far each peer has been looked at.
#[derive(Debug, Default)]
pub struct StateMachineSafety {
    committed: BTreeMap<(u64, u64), (EntryId, u64)>,
    looked_at: BTreeMap<PeerKey, (u64, u64)>,
}

impl Invariant for StateMachineSafety {
    fn id(&self) -> &'static str {
        "R-APPLY-SAME"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let (incarnation, mut from) = self.looked_at.get(&peer.key).copied().unwrap_or_default();
        if incarnation != peer.incarnation {
            from = peer.log.first_index() - 1;
        }
        // What was committed must stay as it is, too.
        if let Some(changed) = peer.log.changed_from() {
            from = from.min(changed.saturating_sub(1));
        }
        for index in from + 1..=peer.commit {
            let Some(entry) = peer.log.get(index) else { continue };
            let first = *self.committed.entry((peer.key.region, index)).or_insert((entry, peer.peer));
            if first.0.contradicts(&entry) {
                return Err(format!(
                    "index {index} is committed with term {} on peer {} and with term {} on peer {}{}",
                    first.0.term,
                    first.1,
                    entry.term,
                    peer.peer,
                    if first.0.term == entry.term { ", with different contents" } else { "" }
                ));
            }
        }
        self.looked_at.insert(peer.key, (peer.incarnation, peer.commit));
        Ok(())
    }
}
