//! R-ELECT: at most one leader a region and term (Raft, figure 3, election safety).

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerRole, PeerView};

/// Remembers who led each region in each term.
#[derive(Debug, Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<(u64, u64), u64>,
}

impl Invariant for ElectionSafety {
    fn id(&self) -> &'static str {
        "R-ELECT"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        if peer.role != PeerRole::Leader {
            return Ok(());
        }
        let leader = *self.leaders.entry((peer.key.region, peer.term)).or_insert(peer.peer);
        if leader == peer.peer {
            return Ok(());
        }
        Err(format!("peers {leader} and {} both lead in term {}", peer.peer, peer.term))
    }
}
