//! The simulator in the hands of a test: nothing comes from outside but what the test does, and time passes when the test lets it.
//! The invariants are checked after every step as ever.

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminRequest, AdminResponse, Request, Response};
use proto::raft_serverpb::{RaftApplyState, RegionLocalState};
use raftstore::peer::PeerStatus;
use raftstore::{AdminCommand, ReadCommand, RequestHeader, WriteCommand, keys};
use storage::raw::value;
use storage::{Cf, Reader};
use test_raft::panics::capture;

use super::client::Client;
use super::disk::pairs;
use super::driver::{Broken, Simulation};
use super::event::Event;
use super::finish::Stage;
use super::options::NOMINAL_TICK;
use super::store::SimStore;
use super::world::SimScheduler;
use crate::cluster::driver::{Driver, Pending, Step, Summary};
use crate::cluster::work::Work;
use crate::faults::HEALTHY_SYNC;
use crate::network::LinkQuality;
use crate::rng::SeededRng;
use crate::trace::default_folder;
use crate::verdict::{Failure, FailureKind};

/// Longer than any run: a store that crashes comes back when the test says so.
const FOR_EVER: u64 = 1 << 60;

impl Simulation {
    /// Lets something happen that may break a rule or panic.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Broken>) -> Step<T> {
        let outcome = capture(|| work(self))
            .unwrap_or_else(|panic| Err(Broken { kind: FailureKind::Contract, id: "PANIC", details: panic }));
        outcome.map_err(|broken| self.traced(broken))
    }

    /// The verdict, with the trace in a file beside it. A verdict without a trace is still a verdict.
    fn traced(&self, broken: Broken) -> Box<Failure> {
        let mut failure = self.failure(broken);
        failure.trace = self.trace().write(&default_folder(), &self.options.name, self.seed).ok();
        Box::new(failure)
    }

    fn run_for(&mut self, micros: u64) -> Result<(), Broken> {
        let end = self.clock.now() + micros;
        while self.queue.next_time().is_some_and(|at| at <= end) {
            self.run_event()?;
            let complaint = self.clients.values().find_map(|client| client.work.as_ref()?.complaint());
            if let Some(complaint) = complaint {
                let details = complaint.to_owned();
                return Err(Broken { kind: FailureKind::Safety, id: "CLIENT-READ", details });
            }
        }
        self.clock.advance_to(end);
        Ok(())
    }

    fn sim_store(&self, store: u64) -> &SimStore {
        self.stores.get(&store).unwrap_or_else(|| panic!("contract of the test: there is no store {store}"))
    }
}

impl Driver for Simulation {
    fn advance(&mut self, ticks: u64) -> Step {
        self.guarded(|simulation| simulation.run_for(ticks * NOMINAL_TICK))
    }

    fn start_client(&mut self, work: Work) {
        let id = work.client();
        let rng = SeededRng::stream(self.seed, &format!("client {id}"));
        let client = self.clients.entry(id).or_insert_with(|| Client::new(id, rng));
        client.work = Some(work);
        self.current = 0;
        let begin = self.rng.within(1..=NOMINAL_TICK);
        self.push_in(begin, Event::ClientNext { client: id });
    }

    fn abandon_client(&mut self, client: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.work = None;
        }
    }

    fn finished_clients(&mut self) -> Vec<Work> {
        let done = |client: &&mut Client| client.current.is_none() && client.work.as_ref().is_some_and(Work::is_done);
        self.clients.values_mut().filter(done).filter_map(|client| client.work.take()).collect()
    }

    fn describe_clients(&self) -> String {
        let waiting = self.clients.values().filter(|client| client.work.is_some());
        let lines = waiting.map(|client| {
            let at = client.current.as_ref().map_or("nothing".to_owned(), |current| current.operation.to_string());
            format!("client {} waits for {at}; causes so far: {:?}\n", client.id, client.causes)
        });
        lines.collect()
    }

    fn set_links(&mut self, quality: LinkQuality) {
        self.network.set_quality(quality);
        // Calls and mail take the same roads.
        self.client_loss_permille = quality.drop_permille / 10;
        self.mail_loss_permille = quality.drop_permille;
        self.stage = Stage::Faults;
    }

    fn partition(&mut self, side: &BTreeSet<u64>) {
        let all: Vec<u64> = self.stores.keys().copied().collect();
        self.current = 0;
        self.note("fault", 0, 0, vec![("what", "partition".into()), ("how", format!("{side:?}").into())]);
        self.network.partition(side, &all);
    }

    fn heal_network(&mut self) {
        self.current = 0;
        self.note("heal", 0, 0, Vec::new());
        self.network.heal();
        for store in self.stores.values_mut() {
            store.sync_micros = HEALTHY_SYNC;
        }
        self.stage = Stage::Probing;
        self.heal_at = self.clock.now();
    }

    fn crash(&mut self, store: u64) -> Step {
        self.current = 0;
        self.guarded(|simulation| {
            simulation.crash(BTreeSet::from([store]), FOR_EVER)?;
            simulation.after_step(store, &[])
        })
    }

    fn start(&mut self, store: u64) -> Step {
        self.current = 0;
        let incarnation = self.sim_store(store).incarnation;
        self.guarded(|simulation| simulation.on_restart(store, incarnation))
    }

    fn is_running(&self, store: u64) -> bool {
        self.sim_store(store).running.is_some()
    }

    fn statuses(&self) -> Vec<PeerStatus> {
        let running = self.stores.values().filter_map(|store| store.running.as_ref());
        running.flat_map(|running| running.parts.router.statuses()).collect()
    }

    fn stored(&self, store: u64, cf: Cf, key: &[u8]) -> Option<Bytes> {
        self.sim_store(store).engines.kv.engine().get(cf, key).ok().flatten()
    }

    fn bytes_in(&self, store: u64, region: &Region) -> u64 {
        count_bytes(self.sim_store(store).engines.kv.engine(), region)
    }

    fn region_states(&self, store: u64) -> Vec<RegionLocalState> {
        self.sim_store(store).region_states().to_vec()
    }

    fn apply_state(&self, store: u64, region: u64) -> Option<RaftApplyState> {
        let record = self.stored(store, Cf::Raft, &keys::apply_state(region))?;
        prost::Message::decode(record).ok()
    }

    fn scheduler(&self) -> &SimScheduler {
        &self.scheduler
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().as_micros() / 1000
    }

    fn read_at(&mut self, store: u64, header: RequestHeader, key: Bytes) -> Step<Pending<Option<Bytes>>> {
        let (pending, callback) = Pending::new();
        let callback = Box::new(move |result: raftstore::Result<raftstore::RegionSnapshot<super::StoreSnapshot>>| {
            callback(result.map(|view| read_raw(&view.snapshot, &key)));
        });
        self.guarded(|simulation| {
            let router = simulation.sim_store(store).running.as_ref().map(|running| running.parts.router.clone());
            if let Some(router) = router {
                router.read(ReadCommand { header, callback });
            }
            simulation.after_step(store, &[])
        })?;
        Ok(pending)
    }

    fn write_at(&mut self, store: u64, header: RequestHeader, request: Request) -> Step<Pending<Vec<Response>>> {
        let (pending, callback) = Pending::new();
        self.guarded(|simulation| {
            let router = simulation.sim_store(store).running.as_ref().map(|running| running.parts.router.clone());
            if let Some(router) = router {
                router.write(WriteCommand { header, requests: vec![request], callback });
            }
            simulation.after_step(store, &[])
        })?;
        Ok(pending)
    }

    fn admin_at(&mut self, store: u64, header: RequestHeader, request: AdminRequest) -> Step<Pending<AdminResponse>> {
        let (pending, callback) = Pending::new();
        self.guarded(|simulation| {
            let router = simulation.sim_store(store).running.as_ref().map(|running| running.parts.router.clone());
            if let Some(router) = router {
                router.admin(AdminCommand { header, request, callback });
            }
            simulation.after_step(store, &[])
        })?;
        Ok(pending)
    }

    fn has_settled(&self) -> bool {
        Simulation::has_settled(self)
    }

    fn check_end(&mut self) -> Step {
        self.guarded(|simulation| {
            simulation.check_replicas()?;
            simulation.check_callbacks()?;
            simulation.check_history()
        })
    }

    fn summary(&self) -> Summary {
        let network = self.network.counters();
        Summary {
            steps: self.step,
            ticks: self.clock.now().as_micros() / NOMINAL_TICK,
            outcomes: self.history.count_outcomes(),
            crashes: self.crashes,
            snapshots: self.snapshots.arrived,
            lost: network.lost,
            cut: network.cut,
            digest: self.trace.digest(),
        }
    }

    fn describe(&self) -> String {
        self.stuck().details
    }

    fn verdict(&self, kind: FailureKind, id: &'static str, details: String) -> Box<Failure> {
        self.traced(Broken { kind, id, details })
    }
}

/// A raw value as a client sees it.
pub(crate) fn read_raw(reader: &impl Reader, key: &[u8]) -> Option<Bytes> {
    let stored = reader.get(Cf::Raw, key).ok().flatten()?;
    value::live(&stored, 1).ok().flatten()
}

/// Bytes of all keys and values of a region.
pub(crate) fn count_bytes(reader: &impl Reader, region: &Region) -> u64 {
    let upper = (!region.end_key.is_empty()).then_some(region.end_key.as_ref());
    let cursors = Cf::DATA.into_iter().filter_map(|cf| reader.cursor(cf, Some(&region.start_key), upper).ok());
    cursors.flat_map(pairs).map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// The regions of records that are in use.
pub(crate) fn regions_of(states: &[RegionLocalState]) -> Vec<Region> {
    let normal = states.iter().filter(|state| state.state() == proto::raft_serverpb::PeerState::Normal);
    normal.filter_map(|state| state.region.clone()).collect()
}
