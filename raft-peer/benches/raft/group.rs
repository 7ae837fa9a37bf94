//! Three nodes in memory and the driver, the same for both libraries.

/// One node of a library under test.
pub trait Node: Sized + 'static {
    /// Name of the library.
    const NAME: &'static str;
    type Message;

    /// A node whose log holds `entries` committed entries of `payload` bytes, in a group of [`Group::SIZE`].
    fn new(id: u64, settings: &Settings, entries: u64, payload: usize) -> Self;
    fn campaign(&mut self);
    fn tick(&mut self);
    /// Proposes a fresh buffer with this content.
    fn propose(&mut self, payload: &[u8]);
    fn step(&mut self, message: Self::Message);
    /// Does all the work of one Ready: writes, applies, and leaves the messages in `mail`. Returns false if there was none.
    fn work(&mut self, mail: &mut Vec<Self::Message>) -> bool;
    /// Last index that was applied.
    fn applied(&self) -> u64;
    fn is_leader(&self) -> bool;
    /// Drops the log up to the applied index once it has more than `limit` entries.
    fn compact(&mut self, limit: usize);
    fn receiver(message: &Self::Message) -> u64;
}

/// What both libraries are told; everything else is switched off on both sides.
#[derive(Clone, Copy)]
pub struct Settings {
    pub election_tick: usize,
    pub heartbeat_tick: usize,
    pub max_size_per_msg: u64,
    pub max_inflight_msgs: usize,
    pub max_uncommitted_size: u64,
    pub max_committed_size_per_ready: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            election_tick: 10,
            heartbeat_tick: 2,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_uncommitted_size: 64 << 20,
            max_committed_size_per_ready: 8 << 20,
        }
    }
}

/// A group that node 1 leads.
pub struct Group<N: Node> {
    nodes: Vec<N>,
    /// Nobody reaches this node, 0 if everybody is reached.
    cut_off: u64,
    mail: Vec<N::Message>,
    /// Messages that were sent so far.
    messages: u64,
}

impl<N: Node> Group<N> {
    /// Nodes of a group.
    pub const SIZE: u64 = 3;

    pub fn new(settings: &Settings) -> Self {
        Self::elect((1..=Self::SIZE).map(|id| N::new(id, settings, 0, 0)).collect(), 0)
    }

    /// A group whose last node is cut off and lacks the `entries` entries that the others have.
    pub fn with_one_behind(settings: &Settings, entries: u64, payload: usize) -> Self {
        let has = |id| if id == Self::SIZE { 0 } else { entries };
        Self::elect((1..=Self::SIZE).map(|id| N::new(id, settings, has(id), payload)).collect(), Self::SIZE)
    }

    fn elect(nodes: Vec<N>, cut_off: u64) -> Self {
        let mut group = Group { nodes, cut_off, mail: Vec::new(), messages: 0 };
        group.nodes[0].campaign();
        group.settle();
        assert!(group.nodes[0].is_leader());
        group
    }

    /// Lets the nodes work and talk until nobody has anything to do.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for node in &mut self.nodes {
                busy |= node.work(&mut self.mail);
            }
            if !busy {
                return;
            }
            self.messages += self.mail.len() as u64;
            for message in self.mail.drain(..) {
                let to = N::receiver(&message);
                if to != self.cut_off {
                    self.nodes[to as usize - 1].step(message);
                }
            }
        }
    }

    /// Proposes `count` entries at once and lets all nodes apply them.
    pub fn commit(&mut self, count: u64, payload: &[u8]) {
        const LOG_LIMIT: usize = 1024;
        let end = self.nodes[0].applied() + count;
        for _ in 0..count {
            self.nodes[0].propose(payload);
        }
        self.settle();
        for node in &mut self.nodes {
            assert_eq!(node.applied(), end, "{}: not all entries are applied", N::NAME);
            node.compact(LOG_LIMIT);
        }
    }

    /// One tick of all nodes, and what follows from it.
    pub fn tick(&mut self) {
        for node in &mut self.nodes {
            node.tick();
        }
        self.settle();
    }

    /// Connects the node that was cut off, and lets it catch up.
    pub fn catch_up(&mut self) {
        self.cut_off = 0;
        while self.nodes.iter().any(|node| node.applied() < self.nodes[0].applied()) {
            self.tick();
        }
    }

    /// How many messages were sent so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    pub fn is_led(&self) -> bool {
        self.nodes[0].is_leader()
    }
}
