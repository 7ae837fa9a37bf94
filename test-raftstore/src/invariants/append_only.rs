//! R-APPEND-ONLY: a leader never changes or removes entries of its log, it only appends (Raft, figure 3).

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerKey, PeerRole, PeerView};

/// Remembers where each leader's log ended, and in which term it led.
#[derive(Debug, Default)]
pub struct LeaderAppendOnly {
    ends: BTreeMap<PeerKey, Reign>,
}

#[derive(Clone, Copy, Debug)]
struct Reign {
    peer: u64,
    incarnation: u64,
    term: u64,
    last: u64,
}

impl Invariant for LeaderAppendOnly {
    fn id(&self) -> &'static str {
        "R-APPEND-ONLY"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        if peer.role != PeerRole::Leader {
            self.ends.remove(&peer.key);
            return Ok(());
        }
        let now = Reign { peer: peer.peer, incarnation: peer.incarnation, term: peer.term, last: peer.last };
        let Some(before) = self.ends.insert(peer.key, now) else { return Ok(()) };
        let same = (before.peer, before.incarnation, before.term) == (now.peer, now.incarnation, now.term);
        let rewritten = peer.log.changed_from().is_some_and(|from| from <= before.last);
        if same && (rewritten || now.last < before.last) {
            return Err(format!(
                "leader {} of term {} had entries up to {}, then changed its log from {}",
                now.peer,
                now.term,
                before.last,
                peer.log.changed_from().unwrap_or(now.last + 1)
            ));
        }
        Ok(())
    }
}
