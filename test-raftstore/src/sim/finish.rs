//! After the faults: healing, proving liveness, reading everything back, and the last checks.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use proto::metapb::Region;
use storage::Engine;

use super::client::{Client, Errand};
use super::driver::{Broken, Simulation};
use super::event::Event;
use super::operator::OPERATOR;
use super::region_check::check_cover;
use super::size_check::is_too_large;
use super::state_check::summarize;
use super::store::SimStore;
use crate::faults::HEALTHY_SYNC;
use crate::linearizability::{self, Verdict};
use crate::rng::SeededRng;
use crate::verdict::FailureKind;
use crate::view::{PeerRole, PeerView};

/// How often the end of a run looks whether it can go on, in microseconds.
const PROGRESS_INTERVAL: u64 = 20_000;

/// The longest time that a background task waits on a store that has nothing else to do, in microseconds.
pub(super) const HEALTHY_WORK: u64 = 20_000;

/// The client that proves that a healed cluster serves.
const PROBE: u64 = 0;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Faults strike.
    Faults,
    /// Healed: the probe writes and reads in every region; the clients go on.
    Probing,
    /// The clients finish what they have begun.
    Draining,
    /// The probe reads every key.
    Reading,
    /// All replicas come to the same state.
    Settling,
    /// The end.
    Done,
}

impl Stage {
    /// Whether clients that draw their operations start new ones.
    pub fn clients_draw(self) -> bool {
        matches!(self, Self::Faults | Self::Probing)
    }
}

impl Simulation {
    /// Every fault ends, every store runs.
    pub(super) fn on_heal(&mut self) -> Result<(), Broken> {
        self.current = 0;
        self.note("heal", 0, 0, Vec::new());
        self.network.heal();
        self.work_micros = HEALTHY_WORK;
        let mut down = Vec::new();
        for store in self.stores.values_mut() {
            store.sync_micros = HEALTHY_SYNC;
            store.engines.kv.engine().faults().clear();
            store.engines.raft.engine().faults().clear();
            if store.running.is_none() {
                down.push((store.id, store.incarnation));
            }
        }
        for (store, incarnation) in down {
            self.on_restart(store, incarnation)?;
        }
        let errands = self.workload.keys.iter().filter_map(|keys| keys.first());
        let script = errands.flat_map(|key| [Errand::Put(key.clone()), Errand::Get(key.clone())]).collect();
        let mut probe = Client::new(PROBE, SeededRng::stream(self.seed, "probe"));
        probe.script = Some(script);
        self.clients.insert(PROBE, probe);
        self.stage = Stage::Probing;
        self.push_in(1, Event::ClientNext { client: PROBE });
        self.push_in(PROGRESS_INTERVAL, Event::Progress);
        Ok(())
    }

    pub(super) fn on_progress(&mut self) -> Result<(), Broken> {
        let probe_done =
            self.clients.get(&PROBE).is_some_and(|probe| probe.script.as_ref().is_some_and(VecDeque::is_empty));
        let all_idle = self.clients.values().all(|client| client.current.is_none());
        match self.stage {
            Stage::Probing if probe_done => self.stage = Stage::Draining,
            Stage::Draining if all_idle => self.read_everything(),
            Stage::Reading if probe_done && all_idle => self.stage = Stage::Settling,
            Stage::Settling if self.has_settled() => {
                self.check_replicas()?;
                self.check_callbacks()?;
                self.stage = Stage::Done;
            }
            _ => {}
        }
        if self.clock.now() > self.heal_at + self.options.heal_limit {
            return Err(self.stuck());
        }
        self.push_in(PROGRESS_INTERVAL, Event::Progress);
        Ok(())
    }

    fn read_everything(&mut self) {
        let gets = self.workload.keys.iter().flatten().cloned().map(Errand::Get);
        // Also the regions in which nobody has a key must serve.
        let regions = self.scheduler.regions();
        let of_region = |region: &Region| {
            let key = Bytes::from([&region.start_key[..], b"probe"].concat());
            [Errand::Put(key.clone()), Errand::Get(key), Errand::Scan(region.start_key.clone(), region.end_key.clone())]
        };
        let script = gets.chain(regions.iter().flat_map(of_region)).collect();
        if let Some(probe) = self.clients.get_mut(&PROBE) {
            probe.script = Some(script);
        }
        self.stage = Stage::Reading;
        self.push_in(1, Event::ClientNext { client: PROBE });
    }

    /// Whether the scheduler knows all regions as they are, and all peers of each have applied the same last entry.
    pub(super) fn has_settled(&self) -> bool {
        // A split may wait for ids that got lost; it is given up some ticks later.
        if self.outstanding.keys().any(|call| call.client == OPERATOR) {
            return false;
        }
        let regions = self.scheduler.regions();
        if self.too_large_region().is_some() {
            return false;
        }
        let on_disk = self.stores.values().flat_map(SimStore::regions);
        if self.unsettled_members().is_some() {
            return false;
        }
        if check_cover(&regions).is_err() || !on_disk.into_iter().all(|region| regions.contains(&region)) {
            return false;
        }
        regions.iter().all(|region| {
            let peers: Vec<&PeerView> = self.view.region(region.id).collect();
            let Some(first) = peers.first() else { return false };
            let quiet =
                |peer: &&PeerView| peer.applied == peer.last && (peer.last, peer.term) == (first.last, first.term);
            peers.len() == region.peers.len() && peers.iter().all(quiet)
        })
    }

    /// A region that should have been split.
    fn too_large_region(&self) -> Option<Region> {
        let is_too_large = |region: &Region| {
            let mut peers = self.view.region(region.id);
            let Some(peer) = peers.next() else { return false };
            let size = self.applied_states.size(region.id, peer.applied).unwrap_or_default();
            let store = self.stores.get(&peer.key.store);
            store.is_some_and(|store| is_too_large(&store.engines.kv, region, size, &self.config.split))
        };
        self.scheduler.regions().into_iter().find(is_too_large)
    }

    /// Equal logs, fully applied, must have made equal data.
    pub(super) fn check_replicas(&self) -> Result<(), Broken> {
        if let Err(details) = check_cover(&self.newest_regions()) {
            return Err(Broken { kind: FailureKind::Safety, id: "S-COVER", details });
        }
        self.check_graves()?;
        for region in self.scheduler.regions() {
            let members = region.peers.iter().filter_map(|peer| self.stores.get(&peer.store_id));
            let digests: Vec<(u64, u64)> =
                members.map(|store| (store.id, summarize(&store.engines.kv.snapshot(), &region).digest)).collect();
            if digests.windows(2).any(|pair| pair[0].1 != pair[1].1) {
                let details =
                    format!("stores applied the same log and hold different data of region {}: {digests:?}", region.id);
                return Err(Broken { kind: FailureKind::Safety, id: "R-APPLY-SAME", details });
            }
        }
        Ok(())
    }

    /// Every call that a store took in its present life has been answered by now.
    pub(super) fn check_callbacks(&self) -> Result<(), Broken> {
        let waiting = self.outstanding.iter().find(|(_, (store, incarnation))| {
            self.stores.get(store).is_some_and(|sim_store| sim_store.incarnation == *incarnation)
        });
        match waiting {
            Some((call, (store, _))) => Err(Broken {
                kind: FailureKind::Contract,
                id: "S-CB-ONCE",
                details: format!(
                    "store {store} never answered call {} of client {}, though everything is applied",
                    call.call, call.client
                ),
            }),
            None => Ok(()),
        }
    }

    /// Is there an order of all operations that explains every answer?
    pub(super) fn check_history(&self) -> Result<(), Broken> {
        let verdict = linearizability::check(&self.history);
        let (kind, id) = match verdict {
            Verdict::Linearizable(_) => return Ok(()),
            Verdict::Illegal(_) | Verdict::Malformed { .. } => (FailureKind::Safety, "LINEARIZABLE"),
            Verdict::Undecided { .. } => (FailureKind::Resource, "LINEARIZABLE"),
        };
        Err(Broken { kind, id, details: verdict.to_string() })
    }

    /// Each region as the store that is ahead knows it.
    fn newest_regions(&self) -> Vec<Region> {
        let mut newest: BTreeMap<u64, Region> = BTreeMap::new();
        let version =
            |region: &Region| region.region_epoch.map(|epoch| (epoch.version, epoch.conf_ver)).unwrap_or_default();
        for region in self.stores.values().flat_map(SimStore::regions) {
            if newest.get(&region.id).is_none_or(|known| version(known) < version(&region)) {
                newest.insert(region.id, region);
            }
        }
        newest.into_values().collect()
    }

    /// Who waits for whom.
    pub(super) fn stuck(&self) -> Broken {
        let leaderless = |region: u64| !self.view.region(region).any(|peer| peer.role == PeerRole::Leader);
        let regions = self.newest_regions();
        let members = self.unsettled_members();
        let too_large = self.too_large_region();
        let id = match self.stage {
            // A range that is in no region on any disk has no store to wait for.
            _ if check_cover(&regions).is_err() => "S-COVER",
            _ if regions.iter().any(|region| leaderless(region.id)) => "L-LEADER",
            Stage::Settling if check_cover(&self.scheduler.regions()).is_err() => "L-REGION-KNOWN",
            Stage::Settling if self.outstanding.keys().any(|call| call.client == OPERATOR) => "S-CB-ONCE",
            Stage::Settling if too_large.is_some() => "L-SPLIT",
            Stage::Settling => members.as_ref().map_or("L-APPLY", |(id, _)| id),
            _ => "L-COMMIT",
        };
        let mut details =
            format!("no progress from {} to {} in stage {:?}\n", self.heal_at, self.clock.now(), self.stage);
        if let Some((_, reason)) = members {
            let _ = writeln!(details, "{reason}");
        }
        if let Some(region) = too_large {
            let _ = writeln!(details, "{region:?} is larger than it may be");
        }
        if let Err(gap) = check_cover(&self.scheduler.regions()) {
            let _ = writeln!(details, "the scheduler does not know all regions: {gap}");
        }
        for region in &regions {
            let _ = writeln!(
                details,
                "region {} [{:?}, {:?}) {:?}:",
                region.id,
                region.start_key,
                region.end_key,
                region.region_epoch.unwrap_or_default()
            );
            for peer in self.view.region(region.id) {
                let _ = writeln!(details, "  {}", describe(peer));
            }
            if leaderless(region.id) {
                let _ = writeln!(details, "  nobody leads");
            }
            if let Some(leader) = self.scheduler.leader(region.id) {
                let _ =
                    writeln!(details, "  the scheduler last heard of peer {} on store {}", leader.id, leader.store_id);
            }
        }
        for client in self.clients.values().filter(|client| client.current.is_some()) {
            let waits_for = client.current.as_ref().map(|current| current.operation.to_string()).unwrap_or_default();
            let _ = writeln!(details, "client {} waits for {waits_for}; causes so far: {:?}", client.id, client.causes);
        }
        Broken { kind: FailureKind::Stuck, id, details }
    }
}

fn describe(peer: &PeerView) -> String {
    let role = match peer.role {
        PeerRole::Follower => "follower",
        PeerRole::Candidate => "candidate",
        PeerRole::Leader => "leader",
    };
    let waits = match peer.role {
        _ if peer.applied < peer.commit => "waits for its apply worker",
        PeerRole::Leader if peer.commit < peer.last => "waits for a quorum",
        PeerRole::Candidate => "waits for votes",
        PeerRole::Follower if peer.leader == 0 => "waits for a leader",
        _ => "waits for nobody",
    };
    format!(
        "store {} peer {}: {role} in term {} (vote {}, leader {}), applied {} commit {} last {}: {waits}",
        peer.key.store, peer.peer, peer.term, peer.vote, peer.leader, peer.applied, peer.commit, peer.last
    )
}
