//! The generic test: clients at work while things go wrong, again and again, and what must hold afterwards.
//!
//! Each of the iterations has the same parts. **Faults**: every client gets a fixed number of operations done, on keys of its own and on
//! keys that all share, while the chaos that the test asks for goes on from beginning to end. **Heal**: all faults end, with crashes all
//! stores have crashed once more, and everything must come to rest within a bound. In the end every client reads all its keys, deletes
//! them and reads again; then come the checks of what the test asked for, and of the whole history.

use scheduler::state::OperatorKind;

use super::work::Work;
use super::{Cluster, ELECTION, Environment, PATIENCE, SETTLING, Setup, Summary, run, run_seed};
use crate::rng::SeededRng;
use crate::verdict::{Failure, FailureKind};

/// How often clients work under faults.
const ITERATIONS: u64 = 3;
/// Operations of an iteration, over all clients.
const OPERATIONS: u64 = 100;
/// Of a thousand messages so many get lost, in tests that lose some.
const LOSS: u32 = 100;
/// Ticks after which the faults of an iteration end although clients are still at work: nobody can promise to serve for as long as faults
/// go on, and a seed may be unlucky.
const FAULT_LIMIT: u64 = 40 * ELECTION;
/// Ticks that an iteration may take.
const ITERATION_LIMIT: u64 = FAULT_LIMIT + SETTLING;

/// What a generic test is made of.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// How many clients.
    pub clients: u64,
    /// Messages get lost, doubled, late and out of order.
    pub unreliable: bool,
    /// Stores crash: one now and then, all at the end of an iteration.
    pub crash: bool,
    /// The stores are cut into two sides, drawn anew all the time.
    pub partitions: bool,
    /// Entries after which the log is compacted.
    pub log_limit: Option<u64>,
    /// Regions are small, so that writes split them.
    pub split: bool,
    /// Members of regions come and go.
    pub conf_change: bool,
}

impl Chaos {
    /// So many clients, and nothing goes wrong.
    pub const fn none(clients: u64) -> Self {
        Self {
            clients,
            unreliable: false,
            crash: false,
            partitions: false,
            log_limit: None,
            split: false,
            conf_change: false,
        }
    }

    /// Messages get lost, too.
    pub const fn unreliable(self) -> Self {
        Self { unreliable: true, ..self }
    }

    /// Stores crash, too.
    pub const fn crash(self) -> Self {
        Self { crash: true, ..self }
    }

    /// The network falls apart, too.
    pub const fn partitions(self) -> Self {
        Self { partitions: true, ..self }
    }

    /// Logs are compacted after so many entries, too.
    pub const fn log_limit(self, entries: u64) -> Self {
        Self { log_limit: Some(entries), ..self }
    }

    /// Regions are split, too.
    pub const fn split(self) -> Self {
        Self { split: true, ..self }
    }

    /// Members of regions come and go, too.
    pub const fn conf_change(self) -> Self {
        Self { conf_change: true, ..self }
    }

    fn is_calm(self) -> bool {
        !(self.unreliable || self.crash || self.partitions || self.split || self.conf_change)
    }

    fn setup(self) -> Setup {
        Setup { log_limit: self.log_limit, split: self.split.then_some((600, 400)), ..Setup::new(5) }
    }
}

/// Runs the generic test under a name, once a seed.
pub fn generic(name: &str, chaos: Chaos) {
    run(name, &chaos.setup(), |cluster| Generic::new(cluster, chaos).run());
}

/// Runs the generic test for one seed in the simulator.
///
/// # Errors
/// What broke first.
pub fn generic_seed(name: &str, chaos: Chaos, seed: u64) -> Result<Summary, Box<Failure>> {
    let environment = Environment::simulator(seed..seed + 1);
    run_seed(name, &chaos.setup(), &environment, seed, |cluster| Generic::new(cluster, chaos).run())
}

struct Generic<'a> {
    cluster: &'a mut Cluster,
    chaos: Chaos,
    rng: SeededRng,
    resting: Vec<Work>,
    at_work: u64,
    /// Ticks since the iteration began.
    passed: u64,
    next_partition: u64,
    next_crash: u64,
    next_conf_change: u64,
    /// The store that is down, and when it comes back.
    down: Option<(u64, u64)>,
    /// The store that misses this whole iteration.
    away: Option<u64>,
}

impl<'a> Generic<'a> {
    fn new(cluster: &'a mut Cluster, chaos: Chaos) -> Self {
        let mut rng = cluster.rng.fork("chaos");
        // In quiet times nothing is gained by waiting; under chaos an iteration has to be long enough for it.
        let pause = if chaos.is_calm() { 1 } else { chaos.clients };
        let resting = (1..=chaos.clients).map(|id| Work::new(id, rng.fork("client"), pause)).collect();
        let (passed, next_partition, next_crash) = (0, 0, 0);
        Self {
            cluster,
            chaos,
            rng,
            resting,
            at_work: 0,
            passed,
            next_partition,
            next_crash,
            next_conf_change: 0,
            down: None,
            away: None,
        }
    }

    fn run(mut self) {
        self.cluster.leader("");
        for _ in 0..ITERATIONS {
            let (snapshots, changes) = (self.cluster.snapshots(), self.conf_changes());
            self.work_under_faults();
            self.leave_behind();
            if self.chaos.crash {
                self.cluster.crash_all();
                self.cluster.advance(1);
            }
            self.cluster.heal();
            self.cluster.leader("");
            self.cluster.settle();
            self.check_snapshots(snapshots);
            self.check_conf_changes(changes);
        }
        let written = self.resting.iter().map(Work::keys_held).sum();
        self.verify();
        self.check_logs();
        self.check_splits(written);
    }

    fn send_to_work(&mut self, begin: impl Fn(&mut Work)) {
        for mut work in std::mem::take(&mut self.resting) {
            begin(&mut work);
            self.at_work += 1;
            self.cluster.driver.start_client(work);
        }
    }

    /// One tick. Fails the run when the clients take too long.
    fn tick(&mut self, what: &str) {
        if self.passed > ITERATION_LIMIT {
            let (clients, stores) = (self.cluster.driver.describe_clients(), self.cluster.driver.describe());
            let details = format!("{what}, after {ITERATION_LIMIT} ticks:\n{clients}{stores}");
            self.cluster.fail(FailureKind::Stuck, "L-CLIENT", details);
        }
        self.cluster.advance(1);
        self.passed += 1;
        let finished = self.cluster.driver.finished_clients();
        self.at_work -= finished.len() as u64;
        self.resting.extend(finished);
    }

    fn work_under_faults(&mut self) {
        let operations = OPERATIONS.div_ceil(self.chaos.clients);
        (self.passed, self.next_partition, self.next_crash) = (0, 6, self.rng.within(5..=20));
        self.next_conf_change = 8;
        if self.chaos.unreliable {
            self.cluster.lose_messages(LOSS);
        }
        self.send_away();
        self.send_to_work(|work| work.begin_round(operations));
        while self.at_work > 0 {
            match self.passed {
                FAULT_LIMIT => self.end_faults(),
                passed if passed < FAULT_LIMIT => self.strike(),
                _ => {}
            }
            self.tick("clients do not get their operations done");
        }
        self.down = None;
    }

    /// Somebody wants a region to have a peer more, or one less.
    fn change_members(&mut self) {
        let (regions, stores) = (self.cluster.known_regions(), self.cluster.stores());
        let (Some(region), Some(store)) = (self.rng.pick(&regions), self.rng.pick(&stores).copied()) else { return };
        if self.cluster.is_ordered(region.id) {
            return;
        }
        // Where stores go missing, a region keeps enough members to go on without one.
        let fewest = if self.chaos.crash || self.chaos.partitions { 3 } else { 1 };
        let is_member = region.peers.iter().any(|peer| peer.store_id == store);
        let kind = match is_member {
            true if region.peers.len() > fewest => OperatorKind::RemovePeer { store_id: store },
            true => return,
            false => OperatorKind::AddPeer { store_id: store, learner: false },
        };
        self.cluster.order(region.id, kind);
    }

    /// How often the members of the regions have changed.
    fn conf_changes(&self) -> u64 {
        let epochs = self.cluster.known_regions().into_iter().filter_map(|region| region.region_epoch);
        epochs.map(|epoch| epoch.conf_ver - 1).sum()
    }

    fn check_conf_changes(&mut self, before: u64) {
        let changes = self.conf_changes();
        if self.chaos.conf_change && changes < before + 2 {
            let details = format!("members changed {} times while clients were at work", changes - before);
            self.cluster.fail(FailureKind::Stuck, "L-CONF", details);
        }
    }

    /// With logs that are compacted: one store misses the iteration.
    fn send_away(&mut self) {
        // Where members come and go, those that come need snapshots.
        if self.chaos.log_limit.is_none() || self.chaos.conf_change {
            return;
        }
        let leader = self.cluster.leader("");
        let others: Vec<u64> = self.cluster.stores().into_iter().filter(|store| *store != leader).collect();
        let Some(away) = self.rng.pick(&others).copied() else { return };
        match self.chaos.crash {
            true => self.cluster.crash(away),
            false => self.cluster.isolate(away),
        }
        self.away = Some(away);
    }

    /// Goes on until the store that is away cannot catch up from the log.
    fn leave_behind(&mut self) {
        let Some(away) = self.away else { return };
        if self.chaos.partitions {
            self.cluster.reconnect();
        }
        self.cluster.leave_behind(away, "");
    }

    /// The store that was away has caught up, and not from the log.
    fn check_snapshots(&mut self, before: u64) {
        if let (Some(away), true) = (self.away.take(), self.cluster.snapshots() == before) {
            let details = format!("store {away}, which was away for longer than the log lasts, has got no snapshot");
            self.cluster.fail(FailureKind::Stuck, "L-SNAPSHOT", details);
        }
    }

    fn end_faults(&mut self) {
        self.cluster.heal();
        (self.down, self.away) = (None, None);
    }

    /// Lets go wrong what is due.
    fn strike(&mut self) {
        if self.chaos.partitions && self.passed >= self.next_partition {
            let stores = self.cluster.stores();
            let side: Vec<u64> = stores.into_iter().filter(|_| self.rng.chance(500)).collect();
            self.cluster.partition(&side);
            self.next_partition = self.passed + self.rng.within(10..=14);
        }
        if self.chaos.conf_change && self.passed >= self.next_conf_change {
            self.change_members();
            self.next_conf_change = self.passed + self.rng.within(0..=4);
        }
        if !self.chaos.crash {
            return;
        }
        match self.down {
            Some((store, until)) if self.passed >= until => {
                self.cluster.start_store(store);
                self.down = None;
                self.next_crash = self.passed + self.rng.within(5..=20);
            }
            None if self.passed >= self.next_crash => {
                let running = self.cluster.running();
                let leader = self.cluster.leader_now("").filter(|_| self.rng.chance(500));
                if let Some(store) = leader.or_else(|| self.rng.pick(&running).copied()) {
                    self.cluster.crash(store);
                    self.down = Some((store, self.passed + self.rng.within(1..=15)));
                }
            }
            _ => {}
        }
    }

    /// Every client reads its keys, deletes them, and finds nothing.
    fn verify(&mut self) {
        self.passed = 0;
        self.send_to_work(Work::begin_verification);
        while self.at_work > 0 {
            self.tick("clients do not get their keys read and deleted, though nothing is wrong any more");
        }
    }

    /// Logs are kept short on every store.
    fn check_logs(&mut self) {
        let Some(limit) = self.chaos.log_limit else { return };
        let too_long = |cluster: &Cluster| {
            let stores = cluster.stores().into_iter();
            let all =
                stores.flat_map(|store| cluster.regions_on(store).into_iter().map(move |region| (store, region.id)));
            all.filter_map(|(store, region)| {
                let (truncated, applied) = cluster.truncated_and_applied(store, region)?;
                (applied > truncated + 2 * limit).then_some((store, region, truncated, applied))
            })
            .next()
        };
        let what = format!("a log is longer than twice the limit of {limit}");
        self.cluster.wait("L-LOG-GC", &what, PATIENCE, |cluster| too_long(cluster).is_none());
    }

    /// There are as many regions as what was written makes necessary.
    fn check_splits(&mut self, written: usize) {
        if !self.chaos.split {
            return;
        }
        // Some 18 bytes a pair: a region that holds a hundred keys is three times too large.
        let expected = 1 + written / 100;
        let enough = |cluster: &mut Cluster| cluster.known_regions().len() > expected;
        self.cluster.wait("L-SPLIT", &format!("there are not more than {expected} regions"), SETTLING, enough);
        if self.cluster.region("").end_key == super::look::end_of_data() {
            self.cluster.fail(FailureKind::Stuck, "L-SPLIT", "the region of the first key was never split".to_owned());
        }
    }
}
