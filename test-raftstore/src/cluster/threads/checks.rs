//! What is checked of stores on threads, and what is told of them when they are stuck.

use std::fmt::Write as _;

use prost::Message;
use proto::raft_serverpb::RaftApplyState;
use raftstore::keys;
use raftstore::peer::PeerStatus;
use storage::{Cf, Engine, Reader};

use super::super::driver::{Driver, Step, lock};
use super::ThreadCluster;
use super::disk::LabEngine;
use crate::linearizability::{self, Verdict};
use crate::sim::lab::regions_of;
use crate::sim::{check_cover, summarize};
use crate::verdict::{Failure, FailureKind};

impl<E: LabEngine> ThreadCluster<E> {
    /// No store has stopped by itself, and no client was told what cannot be.
    pub(super) fn check_alive(&self) -> Step {
        if let Some(complaint) = lock(&self.shared.complaint).clone() {
            return Err(self.verdict(FailureKind::Safety, "CLIENT-READ", complaint));
        }
        for (id, store) in &self.stores {
            let fatal = store.running().and_then(|running| running.fatal().try_recv().ok());
            if let Some(error) = fatal {
                return Err(self.stopped_by_itself(*id, &error));
            }
        }
        Ok(())
    }

    pub(super) fn stopped_by_itself(&self, store: u64, error: &raftstore::Error) -> Box<Failure> {
        let details = format!("store {store} has stopped by itself: {error}");
        self.verdict(FailureKind::Contract, "STORE-ERROR", details)
    }

    /// Whether all replicas have come to the same state and the scheduler knows it.
    pub(super) fn all_is_settled(&self) -> bool {
        let regions = self.shared.scheduler.regions();
        let on_disk = self.stores.values().flat_map(|store| regions_of(&store.region_states()));
        if check_cover(&regions).is_err() || !on_disk.into_iter().all(|region| regions.contains(&region)) {
            return false;
        }
        let statuses = self.statuses();
        regions.iter().all(|region| {
            let peers: Vec<_> = statuses.iter().filter(|status| status.region.id == region.id).collect();
            let Some(first) = peers.first() else { return false };
            let quiet = |peer: &&&PeerStatus| {
                let applied = self.stores.get(&peer.peer.store_id).and_then(|store| applied_of(store.kv()?, region.id));
                applied == Some(peer.last) && (peer.last, peer.term) == (first.last, first.term)
            };
            peers.len() == region.peers.len() && peers.iter().filter(quiet).count() == peers.len()
        })
    }

    /// Equal replicas, and a history that can be explained.
    pub(super) fn check_all(&self) -> Step {
        self.check_alive()?;
        let broken = |(id, details)| self.verdict(FailureKind::Safety, id, details);
        self.check_replicas().map_err(broken)?;
        let verdict = linearizability::check(&lock(&self.shared.history));
        let kind = match verdict {
            Verdict::Linearizable(_) => return Ok(()),
            Verdict::Illegal(_) | Verdict::Malformed { .. } => FailureKind::Safety,
            Verdict::Undecided { .. } => FailureKind::Resource,
        };
        Err(self.verdict(kind, "LINEARIZABLE", verdict.to_string()))
    }

    /// Replicas at the same applied index hold the same data, and the regions cover the key space.
    fn check_replicas(&self) -> Result<(), (&'static str, String)> {
        let known = self.shared.scheduler.regions();
        check_cover(&known).map_err(|details| ("S-COVER", details))?;
        for region in known {
            let mut first = None;
            for peer in &region.peers {
                let Some(kv) = self.stores.get(&peer.store_id).and_then(|store| store.kv()) else { continue };
                let snapshot = kv.snapshot();
                let Some(applied) = applied_of(&snapshot, region.id) else { continue };
                let state = (applied, summarize(&snapshot, &region).digest);
                let (first_state, first_store) = *first.get_or_insert((state, peer.store_id));
                if first_state.0 == applied && first_state != state {
                    let (id, other) = (region.id, peer.store_id);
                    let details = format!(
                        "region {id}: with all applied up to {applied}, stores {first_store} and {other} hold different data"
                    );
                    return Err(("R-APPLY-SAME", details));
                }
            }
        }
        Ok(())
    }

    /// Where every peer is.
    pub(super) fn describe_peers(&self) -> String {
        let mut text = String::new();
        for status in self.statuses() {
            let _ = writeln!(
                text,
                "region {} store {} peer {}: {:?} in term {} (leader {:?}), truncated {} applied {} commit {} last {}, {:?}",
                status.region.id,
                status.peer.store_id,
                status.peer.id,
                status.role,
                status.term,
                status.leader.map(|leader| leader.store_id),
                status.truncated,
                status.applied,
                status.commit,
                status.last,
                status.region.region_epoch.unwrap_or_default(),
            );
        }
        text
    }
}

fn applied_of(reader: &impl Reader, region: u64) -> Option<u64> {
    let record = reader.get(Cf::Raft, &keys::apply_state(region)).ok().flatten()?;
    RaftApplyState::decode(record).ok().map(|state| state.applied_index)
}
