//! The simulated network between stores.
//!
//! Every directed link has its own rates. A link keeps the order of messages, as a stream does, except for those that
//! the seed chooses to reorder; duplicates arrive later than their originals. A cut link drops what is sent over it and,
//! at delivery, what was still under way. Faults are *set*, never added up, and the counters let a test of the harness
//! compare what was dropped with the rate that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::VirtualTime;
use crate::rng::SeededRng;

/// A store id, as the network sees it.
pub type NodeId = u64;

/// How one directed link behaves. Rates are in one per thousand, times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkQuality {
    /// Messages lost.
    pub drop_permille: u32,
    /// Messages that arrive twice.
    pub duplicate_permille: u32,
    /// Messages that may overtake others or be overtaken.
    pub reorder_permille: u32,
    /// Shortest delay.
    pub min_delay: u64,
    /// Longest delay.
    pub max_delay: u64,
}

impl LinkQuality {
    /// A local network without faults: 50 to 500 microseconds.
    pub const CLEAN: Self =
        Self { drop_permille: 0, duplicate_permille: 0, reorder_permille: 0, min_delay: 50, max_delay: 500 };

    /// How much later than its turn a reordered or duplicated message may come.
    pub const STRAGGLE: u64 = 50_000;
}

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Lost at random.
    Loss,
    /// The link is cut.
    Cut,
}

impl DropReason {
    /// Its name in the trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Cut => "cut",
        }
    }
}

/// What becomes of a message that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Dropped(DropReason),
    /// It arrives at these times: one, or two for a duplicate.
    Arrives(Vec<VirtualTime>),
}

/// Totals over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// Messages handed to the network.
    pub sent: u64,
    /// Lost at random.
    pub lost: u64,
    /// Lost at a cut link, when sent or under way.
    pub cut: u64,
    /// Delivered a second time.
    pub duplicated: u64,
    /// Sent out of order.
    pub reordered: u64,
}

/// All links of a run.
#[derive(Clone, Debug)]
pub struct Network {
    quality: LinkQuality,
    links: BTreeMap<(NodeId, NodeId), LinkQuality>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    last_arrival: BTreeMap<(NodeId, NodeId), VirtualTime>,
    counters: NetworkCounters,
    rng: SeededRng,
}

impl Network {
    /// A network whose links all have `quality`.
    pub fn new(quality: LinkQuality, rng: SeededRng) -> Self {
        Self {
            quality,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            last_arrival: BTreeMap::new(),
            counters: NetworkCounters::default(),
            rng,
        }
    }

    /// Sets the quality of every link that has none of its own.
    pub fn set_quality(&mut self, quality: LinkQuality) {
        self.quality = quality;
    }

    /// Gives one directed link a quality of its own.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, quality: LinkQuality) {
        self.links.insert((from, to), quality);
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cuts.insert((from, to));
    }

    /// Replaces all cuts: nodes of `side` and nodes outside it can no longer reach each other.
    pub fn partition(&mut self, side: &BTreeSet<NodeId>, nodes: &[NodeId]) {
        self.cuts.clear();
        for from in nodes {
            for to in nodes {
                if side.contains(from) != side.contains(to) {
                    self.cut(*from, *to);
                }
            }
        }
    }

    /// Removes all cuts.
    pub fn reconnect(&mut self) {
        self.cuts.clear();
    }

    /// Removes all cuts and all faults of links.
    pub fn heal(&mut self) {
        self.reconnect();
        self.links.clear();
        self.quality = LinkQuality::CLEAN;
    }

    /// Whether nothing passes from `from` to `to`. Asked again when a message is about to be delivered.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Counts a message that a cut caught under way.
    pub fn count_cut_under_way(&mut self) {
        self.counters.cut += 1;
    }

    /// The totals so far.
    pub fn counters(&self) -> NetworkCounters {
        self.counters
    }

    /// Decides what becomes of a message sent now.
    pub fn send(&mut self, now: VirtualTime, from: NodeId, to: NodeId) -> Fate {
        self.counters.sent += 1;
        if self.is_cut(from, to) {
            self.counters.cut += 1;
            return Fate::Dropped(DropReason::Cut);
        }
        let quality = self.links.get(&(from, to)).copied().unwrap_or(self.quality);
        if self.rng.chance(quality.drop_permille) {
            self.counters.lost += 1;
            return Fate::Dropped(DropReason::Loss);
        }
        let mut arrivals = vec![self.arrival(now, from, to, quality)];
        if self.rng.chance(quality.duplicate_permille) {
            self.counters.duplicated += 1;
            let later = self.rng.below(LinkQuality::STRAGGLE) + 1;
            arrivals.push(arrivals[0] + later);
        }
        Fate::Arrives(arrivals)
    }

    fn arrival(&mut self, now: VirtualTime, from: NodeId, to: NodeId, quality: LinkQuality) -> VirtualTime {
        let delay = self.rng.within(quality.min_delay..=quality.max_delay.max(quality.min_delay));
        if self.rng.chance(quality.reorder_permille) {
            self.counters.reordered += 1;
            // Neither waits for those before it nor holds back those after it.
            return now + delay + self.rng.below(LinkQuality::STRAGGLE);
        }
        let last = self.last_arrival.entry((from, to)).or_default();
        *last = (now + delay).max(*last + 1);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(quality: LinkQuality) -> Network {
        Network::new(quality, SeededRng::stream(11, "network"))
    }

    #[test]
    fn a_clean_link_keeps_the_order() {
        let mut network = network(LinkQuality::CLEAN);
        let mut last = VirtualTime::ZERO;
        for sent in 0..500 {
            let Fate::Arrives(arrivals) = network.send(VirtualTime::from_micros(sent), 1, 2) else { panic!("dropped") };
            assert_eq!(arrivals.len(), 1);
            assert!(arrivals[0] > last);
            last = arrivals[0];
        }
    }

    #[test]
    fn what_is_dropped_is_the_rate_that_was_asked_for() {
        let quality =
            LinkQuality { drop_permille: 100, duplicate_permille: 50, reorder_permille: 20, ..LinkQuality::CLEAN };
        let mut network = network(quality);
        for sent in 0..20_000 {
            network.send(VirtualTime::from_micros(sent), 1, 2);
        }
        let counters = network.counters();
        assert_eq!(counters.sent, 20_000);
        assert!((1_800..2_200).contains(&counters.lost), "{counters:?}");
        assert!((750..1_050).contains(&counters.duplicated), "{counters:?}");
        assert!((260..460).contains(&counters.reordered), "{counters:?}");
    }

    #[test]
    fn partitions_cut_both_ways_and_single_cuts_one_way() {
        let mut network = network(LinkQuality::CLEAN);
        network.partition(&BTreeSet::from([1]), &[1, 2, 3]);
        assert!(network.is_cut(1, 2) && network.is_cut(3, 1) && !network.is_cut(2, 3));
        network.heal();
        network.cut(2, 3);
        assert_eq!(network.send(VirtualTime::ZERO, 2, 3), Fate::Dropped(DropReason::Cut));
        assert!(matches!(network.send(VirtualTime::ZERO, 3, 2), Fate::Arrives(_)));
        assert_eq!(network.counters().cut, 1);
    }
}
