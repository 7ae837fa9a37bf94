//! The seeded generator behind every random choice of a run.
//!
//! One seed is split into named streams, so that a new consumer (or one more draw by an old one) does not shift the
//! choices of all others: the network's losses stay the same when a client draws once more. Invariant: no code of this
//! crate draws from anywhere else while a seed runs.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// A deterministic stream of random choices.
#[derive(Clone, Debug)]
pub struct SeededRng {
    generator: Pcg64,
}

impl SeededRng {
    /// The stream called `name` of a run's `seed`. Equal arguments give equal streams, different names independent ones.
    pub fn stream(seed: u64, name: &str) -> Self {
        Self { generator: Pcg64::seed_from_u64(seed ^ fnv1a(name.as_bytes())) }
    }

    /// A child stream for `name`; draws once from this one.
    pub fn fork(&mut self, name: &str) -> Self {
        Self::stream(self.next_u64(), name)
    }

    /// Sixty-four random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.generator.random()
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.generator.random_range(0..bound) }
    }

    /// A number of the closed range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.generator.random_range(range)
    }

    /// True in `permille` of 1000 draws. Draws nothing when the answer is certain, so that a rate of zero costs nothing.
    pub fn chance(&mut self, permille: u32) -> bool {
        match permille {
            0 => false,
            1000.. => true,
            _ => self.below(1000) < u64::from(permille),
        }
    }

    /// One of `items`, or `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        let index = self.below(items.len() as u64) as usize;
        items.get(index)
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// The 64-bit FNV-1a hash of `bytes`: small, stable over platforms and versions, good enough to tell names apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    let offset = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(offset, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_names_differ() {
        let draw = |seed, name| {
            let mut rng = SeededRng::stream(seed, name);
            (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "network"), draw(7, "network"));
        assert_ne!(draw(7, "network"), draw(7, "faults"));
        assert_ne!(draw(7, "network"), draw(8, "network"));
    }

    #[test]
    fn certain_chances_draw_nothing() {
        let mut rng = SeededRng::stream(1, "a");
        let mut same = rng.clone();
        assert!(!rng.chance(0));
        assert!(rng.chance(1000));
        assert_eq!(rng.next_u64(), same.next_u64());
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut rng = SeededRng::stream(3, "shuffle");
        let mut items: Vec<u64> = (0..50).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
