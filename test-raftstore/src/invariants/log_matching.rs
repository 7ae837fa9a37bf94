//! R-LOG-MATCH: two logs with an entry of the same index and term are equal up to it (Raft, figure 3, log matching).
//!
//! Checked by induction: the first peer seen with (index, term) fixes what stands there and the term before it. If every
//! entry of every log agrees with that, equality holds all the way down.
//!
//! One exception: the only voter of a group tells nobody what it appends. What a crash takes from its memory was never
//! there, and it may lead again in the same term.

use std::collections::BTreeMap;

use super::Invariant;
use crate::view::{ClusterView, DiskProbe, EntryId, PeerView};

/// Remembers what stood at each (region, index, term), and the term before it.
#[derive(Debug, Default)]
pub struct LogMatching {
    seen: BTreeMap<(u64, u64, u64), Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    entry: EntryId,
    previous_term: Option<u64>,
    peer: u64,
    incarnation: u64,
}

impl Invariant for LogMatching {
    fn id(&self) -> &'static str {
        "R-LOG-MATCH"
    }

    fn check(&mut self, _view: &ClusterView, peer: &PeerView, _disks: &dyn DiskProbe) -> Result<(), String> {
        let Some(changed_from) = peer.log.changed_from() else { return Ok(()) };
        for index in changed_from.max(peer.log.first_index())..=peer.log.last_index() {
            let Some(entry) = peer.log.get(index) else { continue };
            let now =
                Seen { entry, previous_term: peer.log.term(index - 1), peer: peer.peer, incarnation: peer.incarnation };
            let first = self.seen.entry((peer.key.region, index, entry.term)).or_insert(now);
            let alone = peer.voters.len() == 1 && peer.voters_outgoing.is_empty();
            if alone && first.peer == now.peer && first.incarnation < now.incarnation {
                *first = now;
            }
            if first.entry.contradicts(&now.entry) {
                return Err(format!(
                    "peers {} and {} hold different entries at index {index}, term {}",
                    first.peer, now.peer, entry.term
                ));
            }
            first.entry.digest = first.entry.digest.or(now.entry.digest);
            match (first.previous_term, now.previous_term) {
                (Some(left), Some(right)) if left != right => {
                    return Err(format!(
                        "peers {} and {} agree at index {index}, term {}, but hold terms {left} and {right} before it",
                        first.peer, now.peer, entry.term
                    ));
                }
                (None, Some(_)) => first.previous_term = now.previous_term,
                _ => {}
            }
        }
        Ok(())
    }
}
