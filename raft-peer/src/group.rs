//! A group whose members are of both kinds, in a world that a seed makes hostile.
//!
//! Everything that happens is an event at a virtual time: a message arrives, a clock ticks, a Ready is taken, a disk has synced, entries
//! are applied, or chaos strikes (`chaos.rs`). Events with the same time come in the order in which they were scheduled, so the seed decides
//! all of it, and the same seed gives the same run.
//!
//! After every event the [`Rules`] are checked. When the hostile phase is over, `calm.rs` mends everything and demands that the group
//! recovers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proto::eraftpb::MessageType;

use crate::chaos::Chaos;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::machine::Machine;
use crate::member::{Kind, Member, Packet, Role};
use crate::network::Network;
use crate::node::{Node, check_quorum_holds};
use crate::plan::{Plan, TICK};
use crate::rules::Rules;
use crate::trace::Trace;

/// Where the founders' logs begin: behind a state that has never been in a log, as in a real store.
const FOUNDED: (u64, u64) = (5, 5);

/// Something that happens at some time.
#[derive(Debug)]
enum Event {
    Arrive(Packet),
    Tick { id: u64, life: u64 },
    Poll { id: u64, life: u64 },
    Sync { id: u64, life: u64, number: u64 },
    Apply { id: u64, life: u64 },
    Chaos,
}

/// A group in its world; see the module.
pub struct Group {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) kinds: BTreeMap<u64, Kind>,
    pub(crate) network: Network,
    pub(crate) rules: Rules,
    pub(crate) trace: Trace,
    pub(crate) chaos: Chaos,
    pub(crate) now: u64,
    pub(crate) is_calm: bool,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, Event>,
    sequence: u64,
}

impl Group {
    /// The group of this plan, with all founders running.
    pub fn new(plan: Plan, trace: Trace) -> Self {
        let voters: Vec<u64> = plan.founders.iter().map(|(id, _)| *id).collect();
        let machine = Machine::founded(FOUNDED.0, FOUNDED.1, &voters);
        let mut group = Group {
            dice: Dice::new(plan.seed ^ 0xbad),
            nodes: BTreeMap::new(),
            kinds: BTreeMap::new(),
            network: Network::new(&plan),
            rules: Rules::founded(&machine),
            trace,
            chaos: Chaos::default(),
            now: 0,
            is_calm: false,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            sequence: 0,
            plan,
        };
        for (id, kind) in group.plan.founders.clone() {
            group.add_node(id, kind, Disk::founded(machine.clone()));
        }
        group.schedule(1, Event::Chaos);
        group
    }

    /// Adds a node and starts it.
    pub(crate) fn add_node(&mut self, id: u64, kind: Kind, disk: Disk) {
        self.nodes.insert(id, Node::down(id, disk));
        self.start(id, kind);
    }

    /// Starts a node that is down.
    pub(crate) fn start(&mut self, id: u64, kind: Kind) {
        let setup = self.plan.setup(id, &mut self.dice);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.start(kind, &setup);
        let life = node.life;
        self.kinds.insert(id, kind);
        self.trace.note(self.now, &[1, id, kind as u64, setup.form as u64], &[], || {
            format!("n{id} starts as {kind:?}, {:?}", setup.form)
        });
        let first_tick = self.dice.between(1, TICK);
        self.schedule(first_tick, Event::Tick { id, life });
        self.schedule(1, Event::Poll { id, life });
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((self.now + delay, self.sequence)));
        self.what.insert(self.sequence, event);
    }

    /// Runs until `time`.
    pub(crate) fn run_until(&mut self, time: u64) {
        while let Some(Reverse((at, sequence))) = self.events.peek().copied().filter(|Reverse((at, _))| *at <= time) {
            self.events.pop();
            let event = self.what.remove(&sequence).expect("what is scheduled is known");
            self.now = at;
            self.happen(event);
        }
        self.now = time;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(packet) => self.arrive(&packet),
            Event::Tick { id, life } => {
                if self.act(id, life, |member| member.tick()) {
                    self.flush_sometimes(id);
                    // Clocks drift a little.
                    let next = if self.is_calm { TICK } else { self.dice.between(TICK - 1, TICK + 1) };
                    self.schedule(next, Event::Tick { id, life });
                }
            }
            Event::Poll { id, life } => self.with_node(id, life, false, |node, rules| node.poll(rules)),
            Event::Sync { id, life, number } => self.with_node(id, life, true, |node, rules| node.sync(number, rules)),
            Event::Apply { id, life } => {
                let limit = self.dice.between(1, 4) as usize;
                self.with_node(id, life, true, |node, rules| {
                    node.apply(limit, rules);
                    Vec::new()
                });
            }
            Event::Chaos => {
                if !self.is_calm {
                    self.strike();
                    let next = self.dice.between(1, 2 * TICK);
                    self.schedule(next, Event::Chaos);
                }
            }
        }
    }

    /// Lets a running member do something, then looks what came of it. Returns false if it is not running in this life.
    pub(crate) fn act(&mut self, id: u64, life: u64, what: impl FnOnce(&mut dyn Member)) -> bool {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.life == life) else { return false };
        let Some(running) = &mut node.running else { return false };
        what(running.member.as_mut());
        self.observe(id);
        // A Ready is taken a little later, so that several inputs share one.
        let delay = self.dice.below(3);
        self.schedule(delay, Event::Poll { id, life });
        true
    }

    /// Lets a node do something on its own. What it did may have to be sent, may have started a sync, and may have made a Ready, unless it
    /// was taking them.
    fn with_node(
        &mut self,
        id: u64,
        life: u64,
        makes_ready: bool,
        what: impl FnOnce(&mut Node, &mut Rules) -> Vec<Packet>,
    ) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.life == life) else { return };
        let packets = what(node, &mut self.rules);
        let (sync, apply) = (node.order_sync(), node.order_apply());
        packets.into_iter().for_each(|packet| self.send(packet));
        self.observe(id);
        if let Some(number) = sync {
            let delay = self.dice.between(0, self.plan.sync_time);
            self.schedule(delay, Event::Sync { id, life, number });
        }
        if apply {
            let delay = self.dice.between(0, self.plan.apply_time);
            self.schedule(delay, Event::Apply { id, life });
        }
        if makes_ready {
            let delay = self.dice.below(3);
            self.schedule(delay, Event::Poll { id, life });
        }
    }

    /// Checks the rules after something happened at a node.
    fn observe(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let committed_as_leader = node.observe(&mut self.rules);
        if committed_as_leader {
            check_quorum_holds(&self.nodes, id, &self.rules);
        }
        let (now, Some(node)) = (self.now, self.nodes.get(&id)) else { return };
        if let Some(view) = node.view() {
            let numbers = [2, id, view.term, view.vote, view.role as u64, view.commit, view.last, node.machine.applied];
            self.trace.note(now, &numbers, &[], || format!("n{id} {view:?} machine={}", node.machine.applied));
        }
    }

    fn flush_sometimes(&mut self, id: u64) {
        let flushes = self.dice.chance(20);
        if let Some(node) = self.nodes.get_mut(&id).filter(|_| flushes) {
            node.flush();
        }
    }

    fn send(&mut self, packet: Packet) {
        self.rules.on_send(&packet);
        let fate = self.network.fate(&mut self.dice);
        if fate.is_empty() {
            self.lose(&packet);
        }
        for delay in fate {
            self.schedule(delay, Event::Arrive(packet.clone()));
        }
    }

    fn arrive(&mut self, packet: &Packet) {
        let (from, to) = (packet.from, packet.to);
        self.trace.note(self.now, &[3, from, to], &packet.bytes, || packet.describe());
        let life = self.nodes.get(&to).filter(|node| node.running.is_some()).map(|node| node.life);
        let Some(life) = life.filter(|_| !self.network.is_cut(from, to)) else {
            self.lose(packet);
            return;
        };
        self.act(to, life, |member| member.step(&packet.bytes));
        if packet.kind == MessageType::MsgSnapshot {
            self.tell_sender(from, |member| member.report_snapshot(to, true));
        }
    }

    /// A packet is lost. The transport tells the sender about snapshots always, about others sometimes.
    fn lose(&mut self, packet: &Packet) {
        let to = packet.to;
        if packet.kind == MessageType::MsgSnapshot {
            self.tell_sender(packet.from, |member| member.report_snapshot(to, false));
        } else if self.dice.chance(20) {
            self.tell_sender(packet.from, |member| member.report_unreachable(to));
        }
    }

    fn tell_sender(&mut self, id: u64, what: impl FnOnce(&mut dyn Member)) {
        if let Some(life) = self.nodes.get(&id).map(|node| node.life) {
            self.act(id, life, what);
        }
    }

    /// The running node that leads in the highest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let leads = |(id, node): (&u64, &Node)| {
            node.view().filter(|view| view.role == Role::Leader).map(|view| (view.term, *id))
        };
        self.nodes.iter().filter_map(leads).max().map(|(_, id)| id)
    }

    /// Lets a running member do something now, in its present life.
    pub(crate) fn act_now(&mut self, id: u64, what: impl FnOnce(&mut dyn Member)) {
        if let Some(life) = self.nodes.get(&id).map(|node| node.life) {
            self.act(id, life, what);
        }
    }
}
