//! A small seeded generator of random numbers (splitmix64).
//!
//! Election timeouts are the only randomness in Raft. They must differ between nodes, and the same seed must give the same run, so
//! every node owns one generator and nothing here reads entropy from the system.

/// A generator owned by one node.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator for node `id`; nodes that share a seed draw different numbers.
    pub fn new(seed: u64, id: u64) -> Self {
        let mut rng = Rng { state: seed ^ id.wrapping_mul(0xD6E8_FEB8_6659_FD93) };
        rng.next_u64(); // Neighbouring seeds start close together; one step scatters them.
        rng
    }

    /// The next number, uniform over all 64-bit values.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `[0, bound)`; 0 if `bound` is 0. The bias of the modulo is far below anything an election could notice.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}
