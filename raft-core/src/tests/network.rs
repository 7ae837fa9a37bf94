//! A network in memory: it delivers messages in order until none is left, except those that a fault swallows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proto::eraftpb::{Message, MessageType};

use super::harness::{Driver, Node, message};
use crate::Role;
use crate::membership::Change;

/// So many messages follow from no action of a test, unless nodes answer each other for ever.
const DELIVERIES: usize = 100_000;

/// Nodes with links between them. A member without a node is a black hole.
pub struct Network {
    pub nodes: BTreeMap<u64, Node>,
    cut: BTreeSet<(u64, u64)>,
    ignored: BTreeSet<i32>,
    /// Messages that were put on the wire.
    pub sent: Vec<Message>,
}

impl Network {
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let nodes = nodes.into_iter().map(|n| (n.raw.raft.id(), n)).collect();
        Network { nodes, cut: BTreeSet::new(), ignored: BTreeSet::new(), sent: Vec::new() }
    }

    /// A group of `size` members of which `holes` never answer.
    pub fn with_holes(size: u64, holes: &[u64]) -> Self {
        let voters: Vec<u64> = (1..=size).collect();
        Network::new(voters.iter().filter(|id| !holes.contains(id)).map(|id| Node::new(*id, &voters)))
    }

    pub fn driven_by(mut self, driver: Driver) -> Self {
        self.nodes.values_mut().for_each(|node| node.driver = driver);
        self
    }

    pub fn of(size: u64) -> Self {
        Network::with_holes(size, &[])
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node, not a black hole")
    }

    /// Lets nothing through between two nodes.
    pub fn cut(&mut self, a: u64, b: u64) {
        self.cut.extend([(a, b), (b, a)]);
    }

    /// Lets nothing through to or from a node.
    pub fn isolate(&mut self, id: u64) {
        for other in self.nodes.keys().copied().filter(|other| *other != id).collect::<Vec<_>>() {
            self.cut(id, other);
        }
    }

    /// Lets no message of this type through.
    pub fn ignore(&mut self, msg_type: MessageType) {
        self.ignored.insert(msg_type as i32);
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.ignored.clear();
    }

    fn passes(&self, message: &Message) -> bool {
        !self.cut.contains(&(message.from, message.to)) && !self.ignored.contains(&message.msg_type)
    }

    /// Delivers messages and all that follow from them.
    pub fn send(&mut self, messages: Vec<Message>) {
        let mut queue = VecDeque::from(messages);
        let mut left = DELIVERIES;
        while let Some(message) = queue.pop_front() {
            left -= 1;
            assert!(left > 0, "the network does not come to rest: {message:?}");
            let Some(node) = self.nodes.get_mut(&message.to) else { continue };
            node.step(message);
            let answers = node.settle();
            for answer in answers {
                self.sent.push(answer.clone());
                if self.passes(&answer) {
                    queue.push_back(answer);
                }
            }
        }
    }

    fn order(id: u64, msg_type: MessageType) -> Message {
        message(msg_type, id, id, 0)
    }

    /// Tells a node to campaign.
    pub fn campaign(&mut self, id: u64) {
        self.send(vec![Network::order(id, MessageType::MsgHup)]);
    }

    /// Tells nodes to campaign at the same time.
    pub fn campaign_at_once(&mut self, ids: &[u64]) {
        self.send(ids.iter().map(|id| Network::order(*id, MessageType::MsgHup)).collect());
    }

    /// Tells a leader to send its heartbeats.
    pub fn beat(&mut self, id: u64) {
        self.send(vec![Network::order(id, MessageType::MsgBeat)]);
    }

    /// Asks a node for a transfer of the leadership.
    pub fn transfer(&mut self, on: u64, to: u64) {
        self.send(vec![message(MessageType::MsgTransferLeader, to, on, 0)]);
    }

    /// Proposes a change of membership on the leader and delivers what follows.
    pub fn change(&mut self, leader: u64, change: impl Into<Change>) {
        let node = self.node(leader);
        node.raw.propose_conf_change(Bytes::new(), change).expect("a change that is possible now");
        let messages = node.settle();
        self.deliver(messages);
    }

    /// Lets time pass on a node, tick by tick, and delivers what follows.
    pub fn tick(&mut self, id: u64, ticks: usize) {
        for _ in 0..ticks {
            self.node(id).ticks(1);
            let messages = self.node(id).settle();
            self.deliver(messages);
        }
    }

    /// The nodes that lead.
    pub fn leaders(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.raw.raft.is_leader()).map(|(id, _)| *id).collect()
    }

    /// Proposes on a node and delivers what follows. Returns false if the node does not lead.
    pub fn propose(&mut self, id: u64, data: &'static [u8]) -> bool {
        let node = self.node(id);
        let proposed = node.raw.propose(Bytes::new(), Bytes::from_static(data)).is_ok();
        let messages = node.settle();
        self.deliver(messages);
        proposed
    }

    /// Puts messages on the wire, where faults may swallow them.
    pub fn deliver(&mut self, messages: Vec<Message>) {
        self.sent.extend_from_slice(&messages);
        let passing = messages.into_iter().filter(|m| self.passes(m)).collect();
        self.send(passing);
    }

    pub fn roles(&self) -> Vec<Role> {
        self.nodes.values().map(|n| n.raw.raft.role()).collect()
    }

    pub fn terms(&self) -> Vec<u64> {
        self.nodes.values().map(|n| n.raw.raft.term()).collect()
    }

    pub fn committed(&self, id: u64) -> u64 {
        self.nodes[&id].raw.raft.committed()
    }
}
