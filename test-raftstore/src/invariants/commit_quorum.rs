//! R-COMMIT-QUORUM: what a leader newly commits is durable on a quorum of the configuration in force (Raft, section 5.3;
//! thesis, section 10.2.1: the leader's own disk counts like any other).
//!
//! The disks are asked, not the peers: an acknowledgement that was sent before the sync shows here at once, long before a
//! crash makes it a lost write.
//!
//! A voter may be gone: it has acknowledged the entry, heard that its own removal in front of it is committed, and applied that
//! before the leader did. Its log is cleared, but it will never vote for anybody, so it takes nothing from the safety that its acknowledgement
//! gave: with or without it in the configuration, every majority of those who still vote meets the others that hold the entry.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, DurableEntry, PeerKey, PeerRole, PeerView};

/// Remembers up to where each leader's commits have been checked.
#[derive(Debug, Default)]
pub struct CommitQuorum {
    checked: BTreeMap<PeerKey, (u64, u64)>,
}

impl Invariant for CommitQuorum {
    fn id(&self) -> &'static str {
        "R-COMMIT-QUORUM"
    }

    fn check(&mut self, view: &ClusterView, peer: &PeerView, disks: &dyn DiskProbe) -> Result<(), String> {
        if peer.role != PeerRole::Leader {
            return Ok(());
        }
        let (term, checked) = self.checked.get(&peer.key).copied().unwrap_or_default();
        let known = term == peer.term && checked >= peer.commit;
        // Only an entry of the leader's own term is committed by counting; those before it come along.
        if known || peer.log.term(peer.commit) != Some(peer.term) {
            return Ok(());
        }
        self.checked.insert(peer.key, (peer.term, peer.commit));
        let majorities = |(voters, outgoing): (&[u64], &[u64])| {
            [voters, outgoing].into_iter().try_for_each(|voters| check_majority(view, peer, voters, disks))
        };
        // A step may commit an entry and put another configuration into force, in either order.
        let before = peer.voters_before.as_ref();
        majorities((&peer.voters, &peer.voters_outgoing)).or_else(|error| match before {
            Some((voters, outgoing)) => majorities((voters, outgoing)),
            None => Err(error),
        })
    }
}

fn check_majority(view: &ClusterView, leader: &PeerView, voters: &[u64], disks: &dyn DiskProbe) -> Result<(), String> {
    let held = |voter: &u64| {
        let store = view.store_of(leader.key.region, *voter)?;
        Some((*voter, disks.durable_entry(store, leader.key.region, *voter, leader.commit)))
    };
    let found: Vec<(u64, DurableEntry)> = voters.iter().filter_map(held).collect();
    let holds = |entry: &DurableEntry| match entry {
        DurableEntry::Compacted | DurableEntry::Buried => true,
        DurableEntry::Term(term) => *term == leader.term,
        DurableEntry::Missing => false,
    };
    let count = found.iter().filter(|(_, entry)| holds(entry)).count();
    if voters.is_empty() || count > voters.len() / 2 {
        return Ok(());
    }
    Err(format!(
        "leader {} committed index {} of term {}, which {count} of {} disks hold: {found:?}",
        leader.peer,
        leader.commit,
        leader.term,
        voters.len()
    ))
}
