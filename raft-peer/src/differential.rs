//! One schedule, two groups: one of raft-core alone, one of the `raft` crate alone. Both must come to the same logs.
//!
//! # What is determined, and what is not
//!
//! Two correct implementations may differ in much: when a Ready is taken, how entries are cut into messages, how many messages a rejected
//! append costs, when elections time out. None of that is compared. The schedule leaves out what would make the outcome depend on it:
//!
//! - elections are ordered, one at a time; no follower's clock runs, so nobody campaigns by itself;
//! - a link is cut both ways or not at all. (If only answers were lost, how much of the log a follower gets would depend on how far
//!   the leader dares to send ahead.)
//! - cuts, crashes and orders happen while nothing is on its way, and every order is followed by rest: all messages that can be
//!   delivered are, then leaders send heartbeats, until nothing moves any more;
//! - pre-vote is on. Without it the `raft` crate ignores a leader of an older term, and raft-core tells it the newer one.
//!
//! Then the protocol alone determines who leads in which term, every node's term, log and commit index, and what the state machines hold.
//! Exactly that is compared after every order. Not compared: the leader that a follower knows, and the vote of a node, which a
//! second request in the same term may or may not reach.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::machine::Machine;
use crate::member::{Form, Kind, Member, Packet, Role, Setup};
use crate::node::Node;
use crate::rules::Rules;

/// An order to both groups.
#[derive(Clone, Debug)]
enum Order {
    Campaign(u64),
    Propose(u64, u64),
    Transfer(u64, u64),
    Split(Vec<u64>),
    Heal,
    Crash(u64),
    Restart(u64),
    Compact(u64, u64),
}

/// What is compared of a node: term, whether it leads, commit index, last index, term of the last entry, state.
type Picture = BTreeMap<u64, Option<(u64, bool, u64, u64, Option<u64>, u64)>>;

/// A group of one kind.
struct Uniform {
    kind: Kind,
    nodes: BTreeMap<u64, Node>,
    rules: Rules,
    wire: VecDeque<Packet>,
    /// Nodes on one side of the cut; the others are on the other side.
    side: BTreeSet<u64>,
    proposals: u64,
}

impl Uniform {
    fn new(kind: Kind, size: u64) -> Self {
        let voters: Vec<u64> = (1..=size).collect();
        let machine = Machine::founded(5, 5, &voters);
        let nodes = voters.iter().map(|id| (*id, Node::down(*id, Disk::founded(machine.clone())))).collect();
        let (wire, side) = (VecDeque::new(), BTreeSet::new());
        let mut group = Uniform { kind, nodes, rules: Rules::founded(&machine), wire, side, proposals: 0 };
        voters.into_iter().for_each(|id| group.start(id));
        group
    }

    fn start(&mut self, id: u64) {
        let setup = Setup {
            id,
            form: Form::Sync,
            seed: id,
            election_tick: 1000,
            heartbeat_tick: 1,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_committed_size_per_ready: 1 << 20,
            pre_vote: true,
            check_quorum: false,
            skip_commit_broadcast: false,
        };
        if let Some(node) = self.nodes.get_mut(&id) {
            node.start(self.kind, &setup);
        }
    }

    fn act(&mut self, id: u64, what: impl FnOnce(&mut dyn Member)) {
        if let Some(running) = self.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) {
            what(running.member.as_mut());
        }
    }

    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        loop {
            for node in self.nodes.values_mut() {
                self.wire.extend(node.poll(&mut self.rules));
                node.observe(&mut self.rules);
            }
            let Some(packet) = self.wire.pop_front() else { return };
            self.rules.on_send(&packet);
            let (from, to) = (packet.from, packet.to);
            let is_cut = self.side.contains(&from) != self.side.contains(&to);
            let arrives = !is_cut && self.nodes.get(&to).is_some_and(|node| node.running.is_some());
            if arrives {
                self.act(to, |member| member.step(&packet.bytes));
            }
            if packet.kind == proto::eraftpb::MessageType::MsgSnapshot {
                self.act(from, |member| member.report_snapshot(to, arrives));
            }
        }
    }

    fn leaders(&self) -> Vec<u64> {
        self.nodes.values().filter(|node| node.leads()).map(|node| node.id).collect()
    }

    /// Rest: heartbeats until nothing moves. Snapshots are made as soon as they are ordered.
    fn rest(&mut self) {
        self.settle();
        for _ in 0..8 {
            for leader in self.leaders() {
                self.act(leader, |member| member.tick());
                self.settle();
            }
            self.nodes.values_mut().for_each(Node::flush);
        }
    }

    fn obey(&mut self, order: &Order) {
        match order {
            Order::Campaign(id) => self.act(*id, |member| member.campaign()),
            Order::Propose(id, count) => {
                for _ in 0..*count {
                    self.proposals += 1;
                    let payload = Bytes::copy_from_slice(&self.proposals.to_be_bytes());
                    let mut at = None;
                    self.act(*id, |member| at = member.propose(payload.clone()));
                    if let Some(at) = at {
                        self.rules.on_promise(payload, at);
                    }
                }
            }
            Order::Transfer(from, to) => self.act(*from, |member| member.transfer(*to)),
            Order::Split(side) => self.side = side.iter().copied().collect(),
            Order::Heal => self.side.clear(),
            Order::Crash(id) => {
                if let Some(node) = self.nodes.get_mut(id) {
                    node.crash(&mut Dice::new(0));
                }
            }
            Order::Restart(id) => self.start(*id),
            Order::Compact(id, keep) => self.act(*id, |member| {
                let to = member.disk().machine().applied.saturating_sub(*keep);
                member.disk_mut().compact(to);
            }),
        }
        self.rest();
    }

    fn picture(&self) -> Picture {
        let one = |node: &Node| {
            let running = node.running.as_ref()?;
            let view = running.member.view();
            let last_term = running.member.log_term(view.last);
            Some((view.term, view.role == Role::Leader, view.commit, view.last, last_term, node.machine.chain))
        };
        self.nodes.iter().map(|(id, node)| (*id, one(node))).collect()
    }
}

/// Draws an order that fits the state of a group.
fn draw(dice: &mut Dice, group: &Uniform) -> Option<Order> {
    let ids: Vec<u64> = group.nodes.keys().copied().collect();
    let (up, down): (Vec<u64>, Vec<u64>) = ids.iter().partition(|id| group.nodes[*id].running.is_some());
    let leader = dice.pick(&group.leaders());
    let keep = dice.below(4);
    Some(match dice.below(100) {
        0..20 => Order::Campaign(dice.pick(&up)?),
        20..60 => Order::Propose(leader?, dice.between(1, 4)),
        60..68 => {
            let (from, to) = (leader?, dice.pick(&up)?);
            // To a node that cannot answer it would end by a timeout.
            if from == to || group.side.contains(&from) != group.side.contains(&to) {
                return None;
            }
            Order::Transfer(from, to)
        }
        68..78 => Order::Split(ids.into_iter().filter(|_| dice.chance(40)).collect()),
        78..84 => Order::Heal,
        84..88 if up.len() > 1 => Order::Crash(dice.pick(&up)?),
        88..94 => Order::Restart(dice.pick(&down)?),
        94..100 => Order::Compact(dice.pick(&up)?, keep),
        _ => return None,
    })
}

/// Gives both groups the orders of this seed. Returns how many there were, and how many entries were committed.
///
/// # Panics
/// If they come to different ends, or a rule is broken.
pub fn run(seed: u64) -> (u64, u64) {
    let mut dice = Dice::new(seed ^ 0xd1ff);
    let size = dice.between(2, 5);
    let (mut ours, mut theirs) = (Uniform::new(Kind::Ours, size), Uniform::new(Kind::Theirs, size));
    let mut orders = Vec::new();
    for _ in 0..60 {
        let Some(order) = draw(&mut dice, &ours) else { continue };
        ours.obey(&order);
        theirs.obey(&order);
        orders.push(order);
        let (left, right) = (ours.picture(), theirs.picture());
        assert_eq!(left, right, "seed {seed}: raft-core (left) and the raft crate differ after {orders:?}");
    }
    (orders.len() as u64, ours.rules.highest_commit())
}
