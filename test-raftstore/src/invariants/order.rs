//! R-ORDER: truncated ≤ applied ≤ commit ≤ last (Raft, figure 2 and section 7).

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerView};

/// Remembers nothing.
#[derive(Debug, Default)]
pub struct IndexOrder;

impl Invariant for IndexOrder {
    fn id(&self) -> &'static str {
        "R-ORDER"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        if peer.truncated <= peer.applied && peer.applied <= peer.commit && peer.commit <= peer.last {
            return Ok(());
        }
        Err(format!(
            "peer {}: truncated {}, applied {}, commit {}, last {}",
            peer.peer, peer.truncated, peer.applied, peer.commit, peer.last
        ))
    }
}
