//! Crashes, restarts and the other faults of the plan.

use std::collections::BTreeSet;

use proto::metapb::Region;
use proto::raft_serverpb::PeerState;
use storage::engine::mem::MemFault;

use super::disk::SimDisk;
use super::driver::{Broken, Simulation};
use super::event::Event;
use super::finish::Stage;
use super::forgotten_check::check_log_owners;
use super::members::{MemberCounters, check_no_data};
use super::records::in_use;
use super::snapshots::SnapshotCounters;
use super::stages::is_injected;
use super::store::SimStore;
use super::world::StoreAnswer;
use crate::faults::{Fault, Victim};
use crate::rng::SeededRng;
use crate::verdict::FailureKind;
use crate::view::PeerRole;

impl Simulation {
    pub(super) fn on_fault(&mut self, fault: Fault) -> Result<(), Broken> {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        self.current = 0;
        self.note("fault", 0, 0, vec![("what", fault.name().into()), ("how", format!("{fault:?}").into())]);
        let all: Vec<u64> = self.stores.keys().copied().collect();
        match fault {
            Fault::Crash { victim, down } => {
                let store = self.find(victim);
                self.crash(BTreeSet::from([store]), down)?;
            }
            Fault::CrashAll { down } => self.crash(all.into_iter().collect(), down)?,
            Fault::Partition { side } => self.network.partition(&side, &all),
            Fault::Isolate { victim } => {
                let side = BTreeSet::from([self.find(victim)]);
                self.network.partition(&side, &all);
            }
            Fault::OneWay { victim, inbound } => {
                let store = self.find(victim);
                self.network.reconnect();
                for other in all.into_iter().filter(|other| *other != store) {
                    let (from, to) = if inbound { (other, store) } else { (store, other) };
                    self.network.cut(from, to);
                }
            }
            Fault::Reconnect => self.network.reconnect(),
            Fault::SetNetwork(quality) => self.network.set_quality(quality),
            Fault::SetDisk { store, sync_micros } => {
                if let Some(store) = self.stores.get_mut(&store) {
                    store.sync_micros = sync_micros;
                }
            }
            Fault::FailDisk { store, log, kind } => {
                if let Some(store) = self.stores.get(&store) {
                    let disk = if log { &store.engines.raft } else { &store.engines.kv };
                    disk.engine().faults().fail_next(kind, 1);
                }
            }
        }
        Ok(())
    }

    /// S-RESTART-EQ: each region on disk has its peer, but for those whose snapshot could not be restored.
    fn check_loaded(&self, id: u64) -> Result<(), Broken> {
        let Some(store) = self.stores.get(&id) else { return Ok(()) };
        let loaded = store.running.as_ref().map(|running| running.parts.router.region_ids()).unwrap_or_default();
        for state in store.region_states().iter() {
            let region = state.region.as_ref().map_or(0, |region| region.id);
            let expected = state.state() == PeerState::Normal;
            if expected != loaded.contains(&region) {
                let details =
                    format!("store {id} has region {region} as {:?} on disk, peers: {loaded:?}", state.state());
                return Err(Broken { kind: FailureKind::Safety, id: "S-RESTART-EQ", details });
            }
        }
        Ok(())
    }

    /// WRITE-ORDER: each log on disk has its region on disk.
    fn check_log_owners(&self, id: u64) -> Result<(), Broken> {
        let checked = self.stores.get(&id).map_or(Ok(()), |store| check_log_owners(&store.engines));
        let broken = |details| Broken {
            kind: FailureKind::Safety,
            id: "WRITE-ORDER",
            details: format!("store {id}: {details}"),
        };
        checked.map_err(broken)
    }

    /// S-TOMB: a start leaves no data that belongs to no region.
    fn check_stray_data(&self, id: u64) -> Result<(), Broken> {
        let Some(store) = self.stores.get(&id) else { return Ok(()) };
        let left = check_no_data(&store.engines.kv, &Region::default(), &in_use(&store.region_states()));
        let broken =
            |details| Broken { kind: FailureKind::Safety, id: "S-TOMB", details: format!("store {id}: {details}") };
        left.map_err(broken)
    }

    /// The store that a fault hits: for the leader, that of the first region in the highest term.
    fn find(&self, victim: Victim) -> u64 {
        let leaders = self.view.peers.values().filter(|peer| peer.role == PeerRole::Leader);
        let leader = leaders.max_by_key(|peer| (std::cmp::Reverse(peer.key.region), peer.term));
        match (victim, leader) {
            (Victim::Store(store), _) => store,
            (Victim::Leader, Some(peer)) => peer.key.store,
            (Victim::Leader, None) => self.stores.keys().next().copied().unwrap_or_default(),
        }
    }

    /// The power of these stores fails in the same moment. Now and then just after a write and before anybody heard of it.
    pub(super) fn crash(&mut self, victims: BTreeSet<u64>, down: u64) -> Result<(), Broken> {
        for id in victims {
            let [write_first, apply_first, work_first] =
                [300, 300, 300].map(|permille| self.crash_rng.chance(permille));
            let Some(store) = self.stores.get_mut(&id) else { continue };
            let Some(running) = &mut store.running else { continue };
            // A stage that fails here fails in a store that is about to be gone. Half of the time it fails in the middle of what it writes.
            let mut break_off = |disk: &SimDisk| match self.crash_rng.below(4) {
                0 => disk.engine().faults().fail_next(MemFault::Io, 1),
                1 => disk.engine().faults().set_free_bytes(Some(self.crash_rng.below(3_000))),
                _ => {}
            };
            if let (true, Some(writer)) = (write_first && !running.failing, &mut running.parts.log_writer) {
                break_off(&store.engines.raft);
                break_off(&store.engines.kv);
                let _ = writer.round();
            }
            if apply_first && !running.failing {
                break_off(&store.engines.kv);
                let _ = running.parts.apply_workers[0].round();
            }
            if work_first && !running.failing {
                break_off(&store.engines.raft);
                break_off(&store.engines.kv);
                let _ = running.parts.workers[0].round();
            }
            if write_first || apply_first || work_first {
                store.engines.raft.engine().faults().clear();
                store.engines.kv.engine().faults().clear();
            }
            self.power_fails(id, down, SimStore::crash);
        }
        Ok(())
    }

    /// A store is gone at once. `lose` takes from its disks what was not synced.
    pub(super) fn power_fails(&mut self, id: u64, down: u64, lose: impl FnOnce(&mut SimStore, &mut SeededRng)) {
        let Some(store) = self.stores.get_mut(&id) else { return };
        if let Some(running) = &store.running {
            self.snapshots.add(&SnapshotCounters::of_store(running.parts.router.metrics()));
            self.members.add(&MemberCounters::of_store(running.parts.router.metrics()));
        }
        lose(store, &mut self.crash_rng);
        self.snapshots.interrupted += u64::from(store.is_restoring());
        let incarnation = store.incarnation;
        store.outbox.take();
        self.crashes += 1;
        self.view.peers.retain(|key, _| key.store != id);
        self.note("crash", id, 0, vec![("down", down.into())]);
        self.break_connections(id);
        self.push_in(down, Event::Restart { store: id, incarnation });
    }

    /// Clients with calls at a store that is gone see their connections break, whatever its last step would have answered.
    fn break_connections(&mut self, store: u64) {
        let (lost, others): (Vec<_>, Vec<_>) = self
            .answers
            .take()
            .into_iter()
            .partition(|(call, _)| self.outstanding.get(call).is_none_or(|(taker, _)| *taker == store));
        debug_assert!(others.is_empty(), "answers of other stores are picked up after each step");
        drop(lost);
        let calls: Vec<_> =
            self.outstanding.iter().filter(|(_, (taker, _))| *taker == store).map(|(call, _)| *call).collect();
        for call in calls {
            self.outstanding.remove(&call);
            self.reply(call, store, StoreAnswer::Dropped);
        }
    }

    pub(super) fn on_restart(&mut self, id: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(store) = self.stores.get_mut(&id) else { return Ok(()) };
        if store.incarnation != incarnation || store.running.is_some() {
            return Ok(());
        }
        let started = store.start(&self.config, self.layout, &self.scheduler, &self.logger);
        let (incarnation, tick) = (store.incarnation, store.tick_micros);
        if self.is_struck(id) {
            self.strike_down();
            return Ok(());
        }
        if let Err(error) = started {
            if is_injected(&error) {
                // The process ends, and somebody starts it again.
                self.note("no start", id, 0, vec![("error", error.to_string().into())]);
                let down = self.crash_rng.within(50_000..=1_000_000);
                self.push_in(down, Event::Restart { store: id, incarnation });
                return Ok(());
            }
            let details = format!("store {id} does not start after crash number {}: {error}", self.crashes);
            return Err(Broken { kind: FailureKind::Contract, id: "RESTART", details });
        }
        self.note("start", id, 0, vec![("incarnation", incarnation.into())]);
        self.check_applied_state(id)?;
        self.check_logs_on_disk(id)?;
        self.check_log_owners(id)?;
        self.check_loaded(id)?;
        self.check_stray_data(id)?;
        let first = self.rng.within(1..=tick);
        self.push_in(first, Event::Tick { store: id, incarnation });
        self.after_step(id, &[])
    }
}
