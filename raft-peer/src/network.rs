//! The network between the members: it loses, delays, duplicates and reorders, and it can be cut.
//!
//! It decides the fate of a packet when it is sent; carrying it out is the group's business. A cut is directed, so links can fail one way.

use std::collections::BTreeSet;

use crate::dice::Dice;
use crate::plan::{Plan, TICK};

/// The network; see the module.
#[derive(Clone, Debug)]
pub struct Network {
    loss: u64,
    duplicates: u64,
    delay: u64,
    stragglers: u64,
    cuts: BTreeSet<(u64, u64)>,
}

impl Network {
    /// The network of this plan.
    pub fn new(plan: &Plan) -> Self {
        Network {
            loss: plan.loss,
            duplicates: plan.duplicates,
            delay: plan.delay,
            stragglers: plan.stragglers,
            cuts: BTreeSet::new(),
        }
    }

    /// Everything arrives from now on, soon and once.
    pub fn calm(&mut self) {
        *self = Network { loss: 0, duplicates: 0, delay: 2, stragglers: 0, cuts: BTreeSet::new() };
    }

    /// The delays after which copies of a packet arrive; none if it is lost.
    pub fn fate(&self, dice: &mut Dice) -> Vec<u64> {
        let copies = if dice.chance(self.loss) { 0 } else { 1 + usize::from(dice.chance(self.duplicates)) };
        (0..copies)
            .map(|_| {
                let longest = if dice.chance(self.stragglers) { 15 * TICK } else { self.delay };
                dice.between(1, longest)
            })
            .collect()
    }

    /// True if nothing gets from `from` to `to`.
    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Cuts between two sets of members, one way or both.
    pub fn cut(&mut self, left: &[u64], right: &[u64], both_ways: bool) {
        for (from, to) in left.iter().flat_map(|from| right.iter().map(move |to| (*from, *to))) {
            self.cuts.insert((from, to));
            if both_ways {
                self.cuts.insert((to, from));
            }
        }
    }

    /// Mends all cuts.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }
}
