//! R-XFER-QUIET: a leader that hands over appends nothing meanwhile, or its successor's log would never be complete.
//! R-XFER-BOUND: a transfer is over after one election timeout, however it went (Raft thesis, section 3.10).
//!
//! A step may handle many messages and several ticks. So two looks at a transfer to the same peer are looks at the same transfer only if
//! its count of ticks has moved along with the clock of the peer.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerKey, PeerRole, PeerView, TransferView};

/// A transfer as it was seen last.
#[derive(Clone, Debug)]
struct Seen {
    transfer: TransferView,
    life: (u64, u64),
    ticks: u64,
    last: u64,
}

impl Seen {
    fn of(peer: &PeerView, transfer: TransferView) -> Self {
        Self { transfer, life: (peer.incarnation, peer.term), ticks: peer.ticks, last: peer.last }
    }

    /// What the transfer counts now if it is still the same one.
    fn elapsed_at(&self, ticks: u64) -> u64 {
        self.transfer.elapsed + ticks.saturating_sub(self.ticks)
    }
}

/// Remembers the transfers of the last look.
#[derive(Debug, Default)]
struct Transfers {
    seen: BTreeMap<PeerKey, Seen>,
}

impl Transfers {
    /// Takes in what a peer says now. Returns that together with what it said before in the same reign, of a transfer to the same peer.
    fn look(&mut self, peer: &PeerView) -> Option<(Seen, Seen)> {
        let now = peer.transfer.filter(|_| peer.role == PeerRole::Leader).map(|transfer| Seen::of(peer, transfer));
        let before = match &now {
            Some(now) => self.seen.insert(peer.key, now.clone()),
            None => self.seen.remove(&peer.key),
        };
        before.zip(now).filter(|(before, now)| before.life == now.life && before.transfer.to == now.transfer.to)
    }
}

/// R-XFER-QUIET.
#[derive(Debug, Default)]
pub struct QuietTransfer {
    transfers: Transfers,
}

impl Invariant for QuietTransfer {
    fn id(&self) -> &'static str {
        "R-XFER-QUIET"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let Some((before, now)) = self.transfers.look(peer) else { return Ok(()) };
        let same = now.transfer.elapsed == before.elapsed_at(now.ticks);
        if !same || now.last == before.last {
            return Ok(());
        }
        Err(format!(
            "leader {} hands over to peer {} in term {}, and its log grows from {} to {} meanwhile",
            peer.peer, now.transfer.to, peer.term, before.last, now.last
        ))
    }
}

/// R-XFER-BOUND.
#[derive(Debug, Default)]
pub struct BoundTransfer {
    transfers: Transfers,
}

impl Invariant for BoundTransfer {
    fn id(&self) -> &'static str {
        "R-XFER-BOUND"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let seen = self.transfers.look(peer);
        let Some(TransferView { to, elapsed, limit }) = peer.transfer else { return Ok(()) };
        if elapsed >= limit {
            return Err(format!(
                "leader {} hands over to peer {to} for {elapsed} ticks, {limit} are allowed",
                peer.peer
            ));
        }
        // A transfer ends before its time when the target loses its vote; then another one may have begun.
        let Some((before, now)) = seen.filter(|_| peer.voters_before.is_none()) else { return Ok(()) };
        let expected = before.elapsed_at(now.ticks);
        if elapsed == expected || expected >= limit {
            return Ok(());
        }
        Err(format!(
            "leader {} hands over to peer {to} since {elapsed} ticks by its own count, and {expected} by its clock",
            peer.peer
        ))
    }
}
