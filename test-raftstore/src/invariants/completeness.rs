//! R-COMPLETE: a leader of a later term holds every entry committed before (Raft, figure 3, leader completeness).

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, PeerKey, PeerRole, PeerView};

/// Remembers the term of each committed entry and the lowest term in which some peer knew it to be committed.
#[derive(Debug, Default)]
pub struct LeaderCompleteness {
    committed: BTreeMap<u64, BTreeMap<u64, Committed>>,
    looked_at: BTreeMap<PeerKey, (u64, u64)>,
    reigns: BTreeMap<(u64, u64), u64>,
}

#[derive(Clone, Copy, Debug)]
struct Committed {
    term: u64,
    known_in_term: u64,
}

impl Invariant for LeaderCompleteness {
    fn id(&self) -> &'static str {
        "R-COMPLETE"
    }

    fn check(&mut self, view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        self.check_new_leader(peer)?;
        self.note_commits(view, peer)
    }
}

impl LeaderCompleteness {
    fn check_new_leader(&mut self, peer: &PeerView) -> Result<(), String> {
        let reign = (peer.key.region, peer.term);
        if peer.role != PeerRole::Leader || self.reigns.insert(reign, peer.peer).is_some() {
            return Ok(());
        }
        let Some(committed) = self.committed.get(&peer.key.region) else { return Ok(()) };
        let earlier = |entry: &Committed| entry.known_in_term < peer.term;
        committed
            .range(peer.log.first_index()..)
            .filter(|(_, entry)| earlier(entry))
            .try_for_each(|(index, entry)| holds(peer, *index, *entry))
    }

    fn note_commits(&mut self, view: &ClusterView, peer: &PeerView) -> Result<(), String> {
        let (incarnation, looked_at) = self.looked_at.get(&peer.key).copied().unwrap_or_default();
        let from = if incarnation == peer.incarnation { looked_at } else { 0 }.max(peer.log.first_index() - 1);
        self.looked_at.insert(peer.key, (peer.incarnation, peer.commit));
        let committed = self.committed.entry(peer.key.region).or_default();
        for index in from + 1..=peer.commit {
            let Some(entry) = peer.log.get(index) else { continue };
            if committed.contains_key(&index) {
                continue;
            }
            let entry = Committed { term: entry.term, known_in_term: peer.term };
            committed.insert(index, entry);
            let later = |leader: &&PeerView| leader.role == PeerRole::Leader && leader.term > peer.term;
            view.region(peer.key.region).filter(later).try_for_each(|leader| holds(leader, index, entry))?;
        }
        Ok(())
    }
}

fn holds(leader: &PeerView, index: u64, entry: Committed) -> Result<(), String> {
    if index < leader.log.first_index() || leader.log.term(index) == Some(entry.term) {
        return Ok(());
    }
    let held = leader.log.term(index).map_or_else(|| "nothing".to_string(), |term| format!("term {term}"));
    Err(format!(
        "leader {} of term {} holds {held} at index {index}, which was committed with term {} in term {}",
        leader.peer, leader.term, entry.term, entry.known_in_term
    ))
}
