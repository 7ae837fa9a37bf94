//! Operators: what people want done with a region, carried out step by step by its leader.
//!
//! A region has one operator at a time. With each report of the region's leader the scheduler looks how far the operator has come, and orders
//! the next step in the answer; the same step again and again, until a report shows that it is done. So nothing is lost when a message, a
//! leader or a store is; and a step that is ordered twice is made once, because it names the epoch that it was made for.
//!
//! What the next step is depends on the region and the operator alone ([`Operator::next_step`]). Operators are not on disk: after a restart of
//! the scheduler whoever wants something asks again. An operator that has not come to an end in time is given up.
//!
//! | operator | steps |
//! |---|---|
//! | transfer the leadership | transfer |
//! | add a voter | add a learner, wait until it has caught up, make it a voter |
//! | add a learner | add it |
//! | remove a peer | transfer the leadership away from it, remove it |
//! | move a peer | add a learner, wait, swap the votes of both in one step, remove the old one |

use std::collections::BTreeMap;
use std::fmt;

use proto::eraftpb::ConfChangeType;
use proto::metapb::{Peer, PeerRole};
use proto::pdpb::{ChangePeer, ChangePeerV2, OperatorStatus, RegionHeartbeatResponse, TransferLeader};
use storage::Engine;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::region::RegionInfo;

/// An operator that takes longer is given up.
const TIMEOUT_MS: u64 = 10 * 60 * 1000;
/// How many operators that have ended are remembered.
const REMEMBERED: usize = 256;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorKind {
    /// The peer on this store leads.
    TransferLeader {
        /// The store.
        store_id: u64,
    },
    /// This store has a peer.
    AddPeer {
        /// The store.
        store_id: u64,
        /// The peer has no vote.
        learner: bool,
    },
    /// This store has no peer.
    RemovePeer {
        /// The store.
        store_id: u64,
    },
    /// One store has a peer instead of another.
    MovePeer {
        /// The store that has one.
        from: u64,
        /// The store that gets one.
        to: u64,
    },
}

impl fmt::Display for OperatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TransferLeader { store_id } => write!(f, "transfer the leadership to store {store_id}"),
            Self::AddPeer { store_id, learner: false } => write!(f, "add a peer on store {store_id}"),
            Self::AddPeer { store_id, learner: true } => write!(f, "add a learner on store {store_id}"),
            Self::RemovePeer { store_id } => write!(f, "remove the peer on store {store_id}"),
            Self::MovePeer { from, to } => write!(f, "move the peer on store {from} to store {to}"),
        }
    }
}

/// One operator. The ids of peers are fixed when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What is wanted.
    pub kind: OperatorKind,
    /// How it stands.
    pub status: OperatorStatus,
    /// The peer that is to come; 0 = none.
    new_peer: u64,
    /// The peer that is to go; 0 = none.
    old_peer: u64,
    deadline_ms: u64,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: the region is as it was wanted.
    Done,
    /// Nothing: it can never be done. The text says why.
    Impossible(&'static str),
    /// Nothing now; the region is on its way.
    Wait,
    /// This peer is to lead.
    Transfer(Peer),
    /// The members are to change.
    Change(Vec<ChangePeer>),
}

impl Operator {
    /// What the leader of the region is to do next.
    pub fn next_step(&self, region: &RegionInfo) -> Step {
        let joint = |peer: &Peer| matches!(peer.role(), PeerRole::IncomingVoter | PeerRole::DemotingVoter);
        if region.meta.peers.iter().any(joint) {
            return Step::Wait; // the leader leaves it by itself
        }
        match self.kind {
            OperatorKind::TransferLeader { store_id } => transfer_to(region, store_id),
            OperatorKind::AddPeer { store_id, learner } => self.add(region, store_id, learner),
            OperatorKind::RemovePeer { .. } => self.remove(region),
            OperatorKind::MovePeer { to, .. } => self.move_peer(region, to),
        }
    }

    fn add(&self, region: &RegionInfo, store_id: u64, learner: bool) -> Step {
        let Some(known) = region.meta.peers.iter().find(|peer| peer.store_id == store_id) else {
            if self.new_peer == 0 {
                return Step::Impossible("the peer that was to change its role is gone");
            }
            return change([(ConfChangeType::AddLearnerNode, learner_on(self.new_peer, store_id))]);
        };
        match known.role() {
            PeerRole::Voter if learner => without_leader(region, known, ConfChangeType::AddLearnerNode),
            PeerRole::Learner if !learner && lags(region, known) => Step::Wait,
            PeerRole::Learner if !learner => change([(ConfChangeType::AddNode, *known)]),
            _ => Step::Done,
        }
    }

    fn remove(&self, region: &RegionInfo) -> Step {
        let Some(old) = peer(region, self.old_peer) else { return Step::Done };
        without_leader(region, &old, ConfChangeType::RemoveNode)
    }

    fn move_peer(&self, region: &RegionInfo, to: u64) -> Step {
        let (old, new) = (peer(region, self.old_peer), peer(region, self.new_peer));
        match (old, new) {
            (None, Some(new)) if new.role() == PeerRole::Voter => Step::Done,
            (None, _) => Step::Impossible("the peer that was to be moved is gone"),
            (Some(_), None) if region.meta.peers.iter().any(|peer| peer.store_id == to) => {
                Step::Impossible("the store has another peer of the region by now")
            }
            (Some(_), None) => change([(ConfChangeType::AddLearnerNode, learner_on(self.new_peer, to))]),
            (Some(_), Some(new)) if new.role() == PeerRole::Learner && lags(region, &new) => Step::Wait,
            (Some(old), Some(new)) if new.role() == PeerRole::Learner && old.role() == PeerRole::Voter => {
                match leads(region, &old).then(|| successor(region, &old)) {
                    // It leads alone: the new one has to vote before it can lead.
                    Some(None) => change([(ConfChangeType::AddNode, new)]),
                    Some(Some(next)) => Step::Transfer(next),
                    None => change([(ConfChangeType::AddNode, new), (ConfChangeType::AddLearnerNode, old)]),
                }
            }
            (Some(_), Some(new)) if new.role() == PeerRole::Learner => change([(ConfChangeType::AddNode, new)]),
            (Some(_), Some(_)) => self.remove(region),
        }
    }
}

fn transfer_to(region: &RegionInfo, store_id: u64) -> Step {
    match region.meta.peers.iter().find(|peer| peer.store_id == store_id) {
        None => Step::Impossible("the store has no peer of the region"),
        Some(peer) if leads(region, peer) => Step::Done,
        Some(peer) if peer.role() == PeerRole::Learner => Step::Impossible("the peer is a learner"),
        Some(peer) => Step::Transfer(*peer),
    }
}

/// Takes a peer's vote away, or the peer itself, after it has handed over the leadership.
fn without_leader(region: &RegionInfo, old: &Peer, kind: ConfChangeType) -> Step {
    match leads(region, old).then(|| successor(region, old)) {
        None => change([(kind, *old)]),
        Some(Some(next)) => Step::Transfer(next),
        Some(None) => Step::Impossible("no other peer could lead"),
    }
}

fn learner_on(id: u64, store_id: u64) -> Peer {
    Peer { id, store_id, role: PeerRole::Learner as i32, ..Default::default() }
}

fn peer(region: &RegionInfo, id: u64) -> Option<Peer> {
    region.meta.peers.iter().find(|peer| peer.id == id).copied()
}

fn leads(region: &RegionInfo, peer: &Peer) -> bool {
    region.leader.is_some_and(|leader| leader.id == peer.id)
}

fn lags(region: &RegionInfo, peer: &Peer) -> bool {
    region.pending_peers.iter().any(|pending| pending.id == peer.id)
}

/// Who may lead in place of a peer: a voter, if possible one that does not lag behind.
fn successor(region: &RegionInfo, old: &Peer) -> Option<Peer> {
    let voters = || region.meta.peers.iter().filter(|peer| peer.id != old.id && peer.role() == PeerRole::Voter);
    voters().find(|peer| !lags(region, peer)).or_else(|| voters().next()).copied()
}

fn change<const N: usize>(changes: [(ConfChangeType, Peer); N]) -> Step {
    let change = |(kind, peer): (ConfChangeType, Peer)| ChangePeer { peer: Some(peer), change_type: kind as i32 };
    Step::Change(changes.into_iter().map(change).collect())
}

/// The operators of all regions.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    running: BTreeMap<u64, Operator>,
    /// The last one of each region that has ended, for who asks.
    ended: BTreeMap<u64, Operator>,
}

impl Operators {
    fn end(&mut self, region_id: u64, status: OperatorStatus) {
        let Some(operator) = self.running.remove(&region_id) else { return };
        self.ended.insert(region_id, Operator { status, ..operator });
        if self.ended.len() > REMEMBERED {
            self.ended.pop_first();
        }
    }
}

impl<E: Engine> Cluster<E> {
    /// Has something done with a region, in place of what was under way for it. Returns the operator.
    ///
    /// # Errors
    /// What makes it impossible from the start; nothing is changed then.
    pub fn add_operator(&mut self, region_id: u64, kind: OperatorKind, now_ms: u64) -> Result<Operator> {
        self.require_bootstrapped()?;
        let region = self.regions().get(region_id).ok_or(Error::UnknownRegion { region_id })?;
        let on = |store_id: u64| region.meta.peers.iter().find(|peer| peer.store_id == store_id).map(|peer| peer.id);
        let missing = |store_id: u64| Error::invalid(format!("region {region_id} has no peer on store {store_id}"));
        let (comes, goes) = match kind {
            OperatorKind::TransferLeader { store_id } => {
                on(store_id).ok_or_else(|| missing(store_id))?;
                (None, 0)
            }
            OperatorKind::AddPeer { store_id, .. } => (Some(store_id).filter(|store| on(*store).is_none()), 0),
            OperatorKind::RemovePeer { store_id } => (None, on(store_id).ok_or_else(|| missing(store_id))?),
            OperatorKind::MovePeer { from, to } => {
                if on(to).is_some() {
                    return Err(Error::invalid(format!("region {region_id} has a peer on store {to} already")));
                }
                (Some(to), on(from).ok_or_else(|| missing(from))?)
            }
        };
        let new_peer = match comes {
            Some(store_id) => {
                self.stores().get_live(store_id)?;
                self.alloc_ids(1)?
            }
            None => 0,
        };
        let (status, deadline_ms) = (OperatorStatus::Running, now_ms.saturating_add(TIMEOUT_MS));
        let operator = Operator { kind, status, new_peer, old_peer: goes, deadline_ms };
        let impossible = self.regions().get(region_id).map(|region| operator.next_step(region));
        if let Some(Step::Impossible(reason)) = impossible {
            return Err(Error::invalid(format!("region {region_id}: {reason}")));
        }
        self.operators.end(region_id, OperatorStatus::Replace);
        self.operators.running.insert(region_id, operator.clone());
        Ok(operator)
    }

    /// The operator of a region that runs, or the last one that has ended.
    pub fn operator(&self, region_id: u64) -> Option<&Operator> {
        self.operators.running.get(&region_id).or_else(|| self.operators.ended.get(&region_id))
    }

    /// What the leader of a region is to do now, without waiting for its next report; and the leader's store.
    pub fn order_now(&mut self, region_id: u64, now_ms: u64) -> Option<(u64, RegionHeartbeatResponse)> {
        let region = self.regions().get(region_id)?;
        let leader = region.leader?;
        let (region_epoch, target_peer) = (Some(region.epoch()), Some(leader));
        let answer = RegionHeartbeatResponse { region_id, region_epoch, target_peer, ..Default::default() };
        Some((leader.store_id, self.add_order(answer, now_ms)))
    }

    /// Completes the answer to a leader's report by what it is to do next.
    pub fn add_order(&mut self, mut answer: RegionHeartbeatResponse, now_ms: u64) -> RegionHeartbeatResponse {
        let region_id = answer.region_id;
        let Some(operator) = self.operators.running.get(&region_id) else { return answer };
        if operator.deadline_ms <= now_ms {
            self.operators.end(region_id, OperatorStatus::Timeout);
            return answer;
        }
        let Some(region) = self.regions().get(region_id) else { return answer };
        match operator.next_step(region) {
            Step::Done => self.operators.end(region_id, OperatorStatus::Success),
            Step::Impossible(_) => self.operators.end(region_id, OperatorStatus::Cancel),
            Step::Wait => {}
            Step::Transfer(peer) => {
                answer.transfer_leader = Some(TransferLeader { peer: Some(peer), peers: vec![peer] });
            }
            Step::Change(mut changes) if changes.len() == 1 => answer.change_peer = changes.pop(),
            Step::Change(changes) => answer.change_peer_v2 = Some(ChangePeerV2 { changes }),
        }
        answer
    }
}
