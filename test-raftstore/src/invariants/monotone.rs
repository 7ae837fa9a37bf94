//! R-MONO: term, commit, applied and truncated index of a peer never go back (Raft, figure 2).
//!
//! Within one life of a store that holds for all four. Across a restart memory is gone, and what may not go back is what
//! the peer has told others: the term of any message that left it.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerKey, PeerView, Promise, SentMessage};

/// Remembers the last numbers of each peer, and the highest term that each has told.
#[derive(Debug, Default)]
pub struct Monotone {
    last_seen: BTreeMap<PeerKey, Seen>,
    told: BTreeMap<(u64, u64), u64>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    peer: u64,
    incarnation: u64,
    numbers: [(&'static str, u64); 4],
}

impl Invariant for Monotone {
    fn id(&self) -> &'static str {
        "R-MONO"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let told = self.told.get(&(peer.key.region, peer.peer)).copied().unwrap_or_default();
        if peer.term < told {
            return Err(format!(
                "peer {} is in term {} after it has sent messages of term {told}",
                peer.peer, peer.term
            ));
        }
        let numbers =
            [("term", peer.term), ("commit", peer.commit), ("applied", peer.applied), ("truncated", peer.truncated)];
        let now = Seen { peer: peer.peer, incarnation: peer.incarnation, numbers };
        let Some(before) = self.last_seen.insert(peer.key, now) else { return Ok(()) };
        if (before.peer, before.incarnation) != (now.peer, now.incarnation) {
            return Ok(());
        }
        match before.numbers.iter().zip(now.numbers).find(|((_, old), (_, new))| new < old) {
            Some(((name, old), (_, new))) => Err(format!("{name} of peer {} went from {old} back to {new}", peer.peer)),
            None => Ok(()),
        }
    }

    fn on_send(&mut self, message: &SentMessage) -> Result<(), String> {
        if message.promise != Promise::Nothing {
            let told = self.told.entry((message.key.region, message.from)).or_default();
            *told = (*told).max(message.term);
        }
        Ok(())
    }
}
