//! Members of regions come, go, learn, vote and lead: somebody has the scheduler see to it, and the scheduler orders it in its answers to
//! heartbeats, as it does outside of the simulation.
//!
//! | id | rule |
//! |---|---|
//! | S-TOMB | the peer that a tombstone names has no log, no apply state and no data on its store, and no peer with its id or a smaller one ever comes back there |
//! | S-MEMBER | a peer that works is in its region's list of peers |
//! | L-CONF | after healing, what was ordered comes to an end, and no joint configuration stays |
//! | L-ORPHAN | after healing, no peer stays whose region does not contain it |

use std::collections::BTreeMap;

use proto::metapb::{PeerRole, Region};
use proto::pdpb::RegionHeartbeatResponse;
use proto::raft_serverpb::{PeerState, RegionLocalState};
use raftstore::metrics::Metrics;
use raftstore::orders::command_of;
use raftstore::region::contains_key;
use raftstore::{AdminCommand, keys};
use scheduler::state::OperatorKind;
use storage::{Cf, Reader};

use super::disk::SimDisk;
use super::driver::{Broken, Simulation};
use super::event::Event;
use super::external::External;
use super::finish::Stage;
use super::operator::OPERATOR;
use super::records::in_use;
use super::store::SimStore;
use super::world::CallId;
use crate::verdict::FailureKind;

/// Microseconds between two wishes about members, on average.
pub const MEMBER_INTERVAL: u64 = 350_000;

/// What became of the members of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberCounters {
    /// Changes of members, counted by every peer that has applied one and stayed.
    pub changes: u64,
    /// Peers that were removed.
    pub removed: u64,
    /// Peers that came to a store on which an earlier one of their region was removed.
    pub returned: u64,
    /// Transfers of a leadership that were begun.
    pub transfers: u64,
    /// Joint configurations seen on disk.
    pub joint: u64,
    /// Operators of the scheduler.
    pub operators: u64,
    /// Stores that crashed soon after they had written a tombstone.
    pub ambushed: u64,
}

impl MemberCounters {
    /// Adds what another run, or another life of a store, came to.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.changes, other.changes),
            (&mut self.removed, other.removed),
            (&mut self.returned, other.returned),
            (&mut self.transfers, other.transfers),
            (&mut self.joint, other.joint),
            (&mut self.operators, other.operators),
            (&mut self.ambushed, other.ambushed),
        ];
        pairs.into_iter().for_each(|(sum, part)| *sum += part);
    }

    /// What a store has counted in its present life.
    pub fn of_store(metrics: &Metrics) -> Self {
        Self {
            changes: metrics.members_changed.get(),
            removed: metrics.peers_destroyed.get(),
            transfers: metrics.transfers_begun.get(),
            ..Self::default()
        }
    }
}

/// The peers that were removed from each store.
#[derive(Debug, Default)]
pub struct Graveyard {
    /// The largest id of a removed peer, by store and region.
    removed: BTreeMap<(u64, u64), u64>,
    /// The last peer seen at work, by store and region.
    working: BTreeMap<(u64, u64), u64>,
    /// The last joint configuration seen of each region, by conf_ver.
    joint: BTreeMap<u64, u64>,
}

impl Graveyard {
    /// Looks at the records of a store. Returns how many tombstones, returned peers and joint configurations are new.
    ///
    /// # Errors
    /// A peer that came back, or one that works and is no member.
    pub fn check(
        &mut self,
        store: u64,
        states: &[RegionLocalState],
    ) -> Result<(u64, u64, u64), (&'static str, String)> {
        let mut new = (0, 0, 0);
        for state in states {
            let Some(region) = &state.region else { continue };
            let place = (store, region.id);
            let grave = self.removed.get(&place).copied().unwrap_or_default();
            if state.state() == PeerState::Tombstone {
                let id = state.removed_records.first().map_or(0, |peer| peer.id);
                if id < grave {
                    return Err((
                        "S-TOMB",
                        format!("the tombstone of peer {id} of {region:?} replaces that of {grave}"),
                    ));
                }
                new.0 += u64::from(id > grave);
                self.removed.insert(place, id);
                continue;
            }
            let Some(own) = region.peers.iter().find(|peer| peer.store_id == store) else {
                return Err(("S-MEMBER", format!("store {store} has {region:?} as {:?}", state.state())));
            };
            if own.id <= grave {
                return Err(("S-TOMB", format!("peer {} of {region:?} is back after {grave} was removed", own.id)));
            }
            let before = self.working.insert(place, own.id);
            new.1 += u64::from(grave > 0 && before != Some(own.id));
            new.2 += u64::from(self.is_newly_joint(region));
        }
        Ok(new)
    }

    /// Is this the tombstone of a peer that was not known to be gone?
    fn is_news(&self, store: u64, state: &RegionLocalState) -> bool {
        let region = state.region.as_ref().map_or(0, |region| region.id);
        let id = state.removed_records.first().map_or(0, |peer| peer.id);
        state.state() == PeerState::Tombstone && self.removed.get(&(store, region)).is_none_or(|grave| id > *grave)
    }

    fn is_newly_joint(&mut self, region: &Region) -> bool {
        let conf_ver = region.region_epoch.unwrap_or_default().conf_ver;
        is_joint(region) && self.joint.insert(region.id, conf_ver).is_none_or(|before| before < conf_ver)
    }
}

/// Is a joint configuration in force?
pub fn is_joint(region: &Region) -> bool {
    region.peers.iter().any(|peer| matches!(peer.role(), PeerRole::IncomingVoter | PeerRole::DemotingVoter))
}

/// Checks that nothing but its tombstone is left of a region whose peer is gone.
///
/// # Errors
/// What is left.
pub fn check_grave(raft: &SimDisk, kv: &SimDisk, region: u64) -> Result<(), String> {
    let log = raft.cursor(Cf::Default, Some(&keys::raft_log(region, 0)), Some(&keys::raft_log(region, u64::MAX)));
    let entries = log.map(|log| super::disk::pairs(log).len()).unwrap_or_default();
    let apply = kv.get(Cf::Raft, &keys::apply_state(region)).ok().flatten();
    match entries == 0 && apply.is_none() {
        true => Ok(()),
        false => Err(format!("of region {region}, whose peer is gone, there are {entries} log entries, {apply:?}")),
    }
}

/// Checks that a range holds no data but that of these regions.
///
/// # Errors
/// A key that is left.
pub fn check_no_data(kv: &SimDisk, range: &Region, regions: &[&Region]) -> Result<(), String> {
    let upper = (!range.end_key.is_empty()).then_some(&range.end_key[..]);
    for cf in Cf::DATA {
        let Ok(cursor) = kv.cursor(cf, Some(&range.start_key), upper) else { continue };
        let left = super::disk::pairs(cursor).into_iter().map(|(key, _)| key);
        let mut left = left.filter(|key| !regions.iter().any(|region| contains_key(region, key)));
        if let Some(key) = left.next() {
            return Err(format!("key {key:?} of {} is left, and belongs to no region", cf.name()));
        }
    }
    Ok(())
}

impl Simulation {
    /// Somebody wants the members or the leader of a region changed.
    pub(super) fn on_member_wish(&mut self) -> Result<(), Broken> {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        self.current = 0;
        let interval = self.rng.within(MEMBER_INTERVAL / 2..=MEMBER_INTERVAL * 3 / 2);
        self.push_in(interval, Event::MemberWish);
        self.wishes += 1;
        if !self.gate.admits(External::Wish(self.wishes)) {
            return Ok(());
        }
        let regions = self.scheduler.regions();
        let all: Vec<u64> = self.stores.keys().copied().collect();
        let Some(region) = self.rng.pick(&regions).cloned() else { return Ok(()) };
        let members: Vec<u64> = region.peers.iter().map(|peer| peer.store_id).collect();
        let Some(kind) = self.draw_operator(&all, &members) else { return Ok(()) };
        let now_ms = self.clock.now().as_micros() / 1000;
        let taken = self.scheduler.add_operator(region.id, kind, now_ms);
        self.members.operators += u64::from(taken);
        self.note(
            "operator",
            0,
            region.id,
            vec![("what", kind.to_string().into()), ("taken", u64::from(taken).into())],
        );
        Ok(())
    }

    fn draw_operator(&mut self, all: &[u64], members: &[u64]) -> Option<OperatorKind> {
        let others: Vec<u64> = all.iter().copied().filter(|store| !members.contains(store)).collect();
        let member = self.rng.pick(members).copied()?;
        let other = self.rng.pick(&others).copied();
        Some(match (self.rng.below(8), other) {
            (0 | 1, _) => OperatorKind::TransferLeader { store_id: member },
            (2, _) if members.len() > 1 => OperatorKind::AddPeer { store_id: member, learner: self.rng.chance(500) },
            (3, Some(other)) => OperatorKind::MovePeer { from: member, to: other },
            (4, Some(other)) => OperatorKind::AddPeer { store_id: other, learner: true },
            (5 | 6, Some(other)) => OperatorKind::AddPeer { store_id: other, learner: false },
            _ => OperatorKind::RemovePeer { store_id: member },
        })
    }

    /// The scheduler's answer to a heartbeat is on its way back.
    pub(super) fn send_order(&mut self, store: u64, answer: RegionHeartbeatResponse) {
        if command_of(answer.clone()).is_none() {
            return;
        }
        let lost = self.stage == Stage::Faults && self.rng.chance(self.mail_loss_permille);
        self.note("order", store, answer.region_id, vec![("lost", u64::from(lost).into())]);
        if !lost {
            let delay = self.rng.within(100..=5_000);
            self.push_in(delay, Event::Order { store, answer: Box::new(answer) });
        }
    }

    /// It has arrived.
    pub(super) fn on_order(&mut self, store: u64, answer: RegionHeartbeatResponse) -> Result<(), Broken> {
        let Some((header, request)) = command_of(answer) else { return Ok(()) };
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let incarnation = sim_store.incarnation;
        let Some(router) = sim_store.running.as_ref().map(|running| running.parts.router.clone()) else {
            return Ok(());
        };
        self.operator_calls += 1;
        let call = CallId { client: OPERATOR, call: self.operator_calls };
        self.note("ordered", store, header.region_id, vec![("what", request.cmd_type().as_str_name().into())]);
        self.outstanding.insert(call, (store, incarnation));
        router.admin(AdminCommand { header, request, callback: self.answers.on_admin(call) });
        self.after_step(store, &[])
    }

    /// Checks tombstones and memberships on a store that has written. Now and then a store that has just written a tombstone crashes
    /// before or while the rest is done.
    pub(super) fn check_members(&mut self, store: u64, states: &[RegionLocalState]) -> Result<(), Broken> {
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let incarnation = sim_store.incarnation;
        let broken = |(id, details)| Broken { kind: FailureKind::Safety, id, details };
        let news = states.iter().filter(|state| self.graveyard.is_news(store, state));
        for buried in news.filter_map(|state| state.region.as_ref()).filter(|region| !region.peers.is_empty()) {
            let left = check_no_data(&sim_store.engines.kv, buried, &in_use(states));
            left.map_err(|details| {
                broken(("S-TOMB", format!("store {store}: of {buried:?}, whose peer is gone, {details}")))
            })?;
        }
        let (tombstones, returned, joint) = self.graveyard.check(store, states).map_err(broken)?;
        self.members.returned += returned;
        self.members.joint += joint;
        if tombstones > 0 && self.stage == Stage::Faults && self.crash_rng.chance(self.ambush_permille) {
            self.members.ambushed += 1;
            let micros = self.crash_rng.within(0..=2_000);
            self.push_in(micros, Event::Die { store, incarnation });
        }
        Ok(())
    }

    /// What the members of a run came to.
    pub(super) fn all_members(&self) -> MemberCounters {
        let mut all = self.members;
        for running in self.stores.values().filter_map(|store| store.running.as_ref()) {
            all.add(&MemberCounters::of_store(running.parts.router.metrics()));
        }
        all
    }

    /// Why the members are not at rest yet, if so.
    pub(super) fn unsettled_members(&self) -> Option<(&'static str, String)> {
        let regions = self.scheduler.regions();
        if let Some(operator) = regions.iter().find_map(|region| self.scheduler.running_operator(region.id)) {
            return Some(("L-CONF", format!("the scheduler still wants to {operator}")));
        }
        if let Some(region) = regions.iter().find(|region| is_joint(region)) {
            return Some(("L-CONF", format!("{region:?} is joint")));
        }
        let orphan = self.view.peers.values().find(|peer| {
            let region = regions.iter().find(|region| region.id == peer.key.region);
            region.is_some_and(|region| !region.peers.iter().any(|member| member.id == peer.peer))
        });
        orphan.map(|peer| {
            (
                "L-ORPHAN",
                format!("peer {} of region {} is left on store {}", peer.peer, peer.key.region, peer.key.store),
            )
        })
    }

    /// At the end nothing is left of removed peers.
    pub(super) fn check_graves(&self) -> Result<(), Broken> {
        self.stores.values().try_for_each(|store| {
            let broken = |details: String| Broken {
                kind: FailureKind::Safety,
                id: "S-TOMB",
                details: format!("store {}: {details}", store.id),
            };
            tombstones(store)
                .into_iter()
                .try_for_each(|region| check_grave(&store.engines.raft, &store.engines.kv, region).map_err(broken))
        })
    }
}

fn tombstones(store: &SimStore) -> Vec<u64> {
    let states = store.region_states();
    let tombstones = states.iter().filter(|state| state.state() == PeerState::Tombstone);
    tombstones.filter_map(|state| state.region.as_ref()).map(|region| region.id).collect()
}
