//! The event loop of one seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proto::metapb::Region;
use raftstore::Config;
use raftstore::store::Layout;
use slog::{Discard, Logger, o};
use test_raft::panics::capture;

use super::client::{Client, Workload};
use super::event::{Event, Queued};
use super::external::{External, Externals, Gate};
use super::finish::{HEALTHY_WORK, Stage};
use super::members::{Graveyard, MEMBER_INTERVAL, MemberCounters};
use super::operator::OPERATOR_INTERVAL;
use super::options::{NOMINAL_TICK, Options, draw_config};
use super::region_check::RegionRecords;
use super::region_history::RegionHistory;
use super::snapshots::SnapshotCounters;
use super::state_check::AppliedStates;
use super::store::{SimStore, Stores};
use super::world::{Answers, CallId, SimScheduler};
use crate::clock::{VirtualClock, VirtualTime};
use crate::events::EventQueue;
use crate::faults::{FaultMix, FaultPlan};
use crate::history::History;
use crate::invariants::{Invariants, Violation};
use crate::network::{LinkQuality, Network, NetworkCounters};
use crate::rng::SeededRng;
use crate::trace::{EventId, Trace};
use crate::verdict::{Failure, FailureKind};
use crate::view::ClusterView;

/// More steps than any run of reasonable length takes.
const STEP_LIMIT: u64 = 5_000_000;

/// Why a run ends early.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub kind: FailureKind,
    pub id: &'static str,
    pub details: String,
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        let details = format!("region {}: {}", violation.region, violation.message);
        Self { kind: FailureKind::Safety, id: violation.id, details }
    }
}

/// What a run that held all rules came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Events handled.
    pub steps: u64,
    /// Virtual time at the end.
    pub time: VirtualTime,
    /// Operations that ended ok, failed, unknown.
    pub outcomes: (usize, usize, usize),
    /// Stores that crashed.
    pub crashes: u64,
    /// Tasks that background workers have done.
    pub background_tasks: u64,
    /// Regions at the end.
    pub regions: usize,
    /// What became of snapshots.
    pub snapshots: SnapshotCounters,
    /// What became of members.
    pub members: MemberCounters,
    /// What the network did.
    pub network: NetworkCounters,
    /// Hash over the whole trace.
    pub digest: u64,
}

/// One seed in progress.
pub struct Simulation {
    pub(super) seed: u64,
    pub(super) options: Options,
    pub(super) clock: VirtualClock,
    pub(super) queue: EventQueue<Queued>,
    /// The trace id of the event being handled.
    pub(super) current: EventId,
    pub(super) step: u64,
    pub(super) trace: Trace,
    pub(super) rng: SeededRng,
    pub(super) crash_rng: SeededRng,
    pub(super) network: Network,
    pub(super) stores: Stores,
    pub(super) config: Config,
    pub(super) layout: Layout,
    pub(super) scheduler: Arc<SimScheduler>,
    pub(super) logger: Logger,
    pub(super) view: ClusterView,
    pub(super) invariants: Invariants,
    pub(super) applied_states: AppliedStates,
    pub(super) workload: Workload,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) client_loss_permille: u32,
    pub(super) mail_loss_permille: u32,
    /// Snapshots arrive damaged, or not at all.
    pub(super) mishaps: bool,
    /// The longest time that a background task waits for its turn.
    pub(super) work_micros: u64,
    /// How often a store crashes soon after it has received a snapshot.
    pub(super) ambush_permille: u32,
    pub(super) region_records: RegionRecords,
    pub(super) region_history: RegionHistory,
    pub(super) operator_calls: u64,
    pub(super) wishes: u64,
    pub(super) gate: Gate,
    pub(super) history: History,
    pub(super) answers: Answers,
    /// Calls that a store took and has not answered, with the store's incarnation.
    pub(super) outstanding: BTreeMap<CallId, (u64, u64)>,
    pub(super) stage: Stage,
    pub(super) heal_at: VirtualTime,
    pub(super) crashes: u64,
    pub(super) background_tasks: u64,
    pub(super) snapshots: SnapshotCounters,
    pub(super) members: MemberCounters,
    pub(super) graveyard: Graveyard,
}

impl Simulation {
    /// Prepares a run: draws the cluster, its settings, its clients and its faults.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut setup = SeededRng::stream(seed, "setup");
        let stores = options.stores.unwrap_or_else(|| *setup.pick(&[1, 3, 3, 4, 5]).unwrap_or(&3));
        let clients = options.clients.unwrap_or_else(|| setup.within(1..=8));
        let store_ids: Vec<u64> = (1..=stores).collect();
        let (config, layout) = options.config.clone().unwrap_or_else(|| draw_config(&mut setup));
        let mix = options.faults.unwrap_or_else(|| FaultMix::draw(&mut setup));
        let heal_at = VirtualTime::from_micros(options.fault_time);
        let plan = FaultPlan::draw(&mut SeededRng::stream(seed, "faults"), mix, &store_ids, heal_at);
        let (scheduler, regions) = SimScheduler::new(&store_ids, options.draw_replicas(seed, stores));
        let mut simulation = Self {
            seed,
            clock: VirtualClock::new(),
            queue: EventQueue::new(SeededRng::stream(seed, "order")),
            current: 0,
            step: 0,
            trace: Trace::new(options.trace_capacity),
            rng: SeededRng::stream(seed, "schedule"),
            crash_rng: SeededRng::stream(seed, "crashes"),
            network: Network::new(LinkQuality::CLEAN, SeededRng::stream(seed, "network")),
            stores: Stores::new(),
            config,
            layout,
            scheduler: Arc::new(scheduler),
            logger: Logger::root(Discard, o!()),
            view: ClusterView::default(),
            invariants: Invariants::all(),
            applied_states: AppliedStates::default(),
            workload: draw_workload(&mut setup, &regions),
            region_records: RegionRecords::default(),
            region_history: RegionHistory::new(!options.scripted),
            operator_calls: 0,
            wishes: 0,
            gate: Gate::new(options.only.as_ref()),
            clients: BTreeMap::new(),
            client_loss_permille: if mix.unreliable { setup.within(0..=30) as u32 } else { 0 },
            mishaps: mix.unreliable,
            work_micros: if !mix.slow_disks {
                HEALTHY_WORK
            } else {
                *setup.pick(&[HEALTHY_WORK, HEALTHY_WORK, 200_000, 1_000_000]).unwrap_or(&HEALTHY_WORK)
            },
            ambush_permille: if mix.crashes { 200 } else { 0 },
            mail_loss_permille: if mix.unreliable { setup.within(0..=300) as u32 } else { 0 },
            history: History::new(),
            answers: Answers::default(),
            outstanding: BTreeMap::new(),
            stage: Stage::Faults,
            heal_at,
            crashes: 0,
            background_tasks: 0,
            snapshots: SnapshotCounters::default(),
            members: MemberCounters::default(),
            graveyard: Graveyard::default(),
            options,
        };
        simulation.create_stores(&store_ids, &regions, &mut setup);
        simulation.create_clients(clients);
        if simulation.options.scripted {
            return simulation;
        }
        for (number, (at, fault)) in (1..).zip(plan.faults) {
            simulation.push(at, Event::Fault { number, fault });
        }
        simulation.push(heal_at, Event::Heal);
        simulation.push(VirtualTime::from_micros(OPERATOR_INTERVAL), Event::Operator);
        if simulation.options.members_change {
            simulation.push(VirtualTime::from_micros(MEMBER_INTERVAL), Event::MemberWish);
        }
        simulation
    }

    fn create_stores(&mut self, store_ids: &[u64], regions: &[Region], setup: &mut SeededRng) {
        for region in regions {
            self.view.stores.extend(region.peers.iter().map(|peer| ((region.id, peer.id), peer.store_id)));
        }
        // One that lost its disks before it was asked for anything, or came to know of its peers only now. The others are a majority.
        let replicas = regions.first().map_or(0, |region| region.peers.len());
        let empty = (!self.options.scripted && replicas > 2 && setup.chance(200)).then(|| setup.pick(store_ids));
        for id in store_ids {
            let regions = if empty == Some(Some(id)) { &[] } else { regions };
            let tick = setup.within(NOMINAL_TICK * 9 / 10..=NOMINAL_TICK * 11 / 10);
            let store = SimStore::create(*id, regions, tick, self.options.lies, self.options.watch.as_ref());
            self.stores.insert(*id, store);
            self.push(VirtualTime::ZERO, Event::Restart { store: *id, incarnation: 0 });
        }
    }

    fn create_clients(&mut self, clients: u64) {
        for id in 1..=clients {
            let rng = SeededRng::stream(self.seed, &format!("client {id}"));
            self.clients.insert(id, Client::new(id, rng));
            let start = VirtualTime::from_micros(self.rng.within(1_000..=100_000));
            self.push(start, Event::ClientNext { client: id });
        }
    }

    /// Schedules an event that follows from the one being handled.
    pub(super) fn push(&mut self, at: VirtualTime, event: Event) {
        self.queue.push(at, Queued { cause: self.current, event });
    }

    /// Schedules an event `micros` from now.
    pub(super) fn push_in(&mut self, micros: u64, event: Event) {
        self.push(self.clock.now() + micros, event);
    }

    /// Runs the seed to its end.
    ///
    /// # Errors
    /// The first rule that was broken. The trace stays in the simulation.
    pub fn run(&mut self) -> Result<Report, Failure> {
        let outcome = match capture(|| self.run_events().and_then(|()| self.check_history())) {
            Ok(outcome) => outcome,
            Err(panic) => Err(Broken { kind: FailureKind::Contract, id: "PANIC", details: panic }),
        };
        match outcome {
            Ok(()) => Ok(Report {
                seed: self.seed,
                steps: self.step,
                time: self.clock.now(),
                outcomes: self.history.count_outcomes(),
                crashes: self.crashes,
                background_tasks: self.background_tasks,
                regions: self.scheduler.regions().len(),
                snapshots: self.all_snapshots(),
                members: self.all_members(),
                network: self.network.counters(),
                digest: self.trace.digest(),
            }),
            Err(broken) => Err(self.failure(broken)),
        }
    }

    /// The verdict over a rule that broke just now.
    pub(super) fn failure(&self, broken: Broken) -> Failure {
        Failure {
            kind: broken.kind,
            id: broken.id,
            name: self.options.name.clone(),
            seed: self.seed,
            step: self.step,
            details: broken.details.into(),
            trace: None,
            replay: self.options.replay_command(self.seed).into(),
        }
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What the clients saw.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What came from outside so far.
    pub fn externals(&self) -> Externals {
        self.gate.seen()
    }

    fn run_events(&mut self) -> Result<(), Broken> {
        while self.stage != Stage::Done {
            self.run_event()?;
        }
        Ok(())
    }

    /// Runs the next event.
    pub(super) fn run_event(&mut self) -> Result<(), Broken> {
        let Some((at, Queued { cause, event })) = self.queue.pop() else {
            let details = "no event is left".to_string();
            return Err(Broken { kind: FailureKind::Stuck, id: "L-COMMIT", details });
        };
        self.clock.advance_to(at);
        self.step += 1;
        self.trace.begin_step(self.step, self.clock.now());
        if self.step > STEP_LIMIT {
            let details = format!("{STEP_LIMIT} steps in {} of virtual time", self.clock.now());
            return Err(Broken { kind: FailureKind::Resource, id: "STEPS", details });
        }
        self.current = cause;
        self.handle(event)?;
        self.end_event();
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Tick { store, incarnation } => self.on_tick(store, incarnation),
            Event::Poll { store, incarnation } => self.on_poll(store, incarnation),
            Event::Persist { store, incarnation } => self.on_persist(store, incarnation),
            Event::Apply { store, incarnation } => self.on_apply(store, incarnation),
            Event::Work { store, incarnation } => self.on_work(store, incarnation),
            Event::Deliver { from, to, message } => self.on_deliver(from, to, *message),
            Event::SnapshotArrives { from, incarnation, to, message } => {
                self.on_snapshot_arrives(from, incarnation, to, *message)
            }
            Event::SnapshotStatus { store, incarnation, region, to_peer, ok } => {
                self.on_snapshot_status(store, incarnation, region, to_peer, ok)
            }
            Event::ClientNext { client } => self.on_client_next(client),
            Event::ClientCall { client, operation } => self.on_client_call(client, operation),
            Event::Arrive { call, store, region } => self.on_arrive(call, store, &region),
            Event::Reply { call, store, reply } => self.on_reply(call, store, reply),
            Event::Deadline { client, operation } => self.on_deadline(client, operation),
            Event::Mail { store, mail } => self.on_mail(store, mail),
            Event::Operator => self.on_operator(),
            Event::MemberWish => self.on_member_wish(),
            Event::Order { store, answer } => self.on_order(store, *answer),
            Event::Fault { number, .. } if !self.gate.admits(External::Fault(number)) => Ok(()),
            Event::Fault { fault, .. } => self.on_fault(fault),
            Event::Restart { store, incarnation } => self.on_restart(store, incarnation),
            Event::Die { store, incarnation } => self.on_die(store, incarnation),
            Event::Heal => self.on_heal(),
            Event::Progress => self.on_progress(),
        }
    }
}

fn draw_workload(setup: &mut SeededRng, regions: &[Region]) -> Workload {
    let keys = regions
        .iter()
        .map(|region| {
            let count = setup.within(1..=8);
            (0..count)
                .map(|number| Bytes::from([&region.start_key[..], format!("k{number}").as_bytes()].concat()))
                .collect()
        })
        .collect();
    Workload { keys }
}
