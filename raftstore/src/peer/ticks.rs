//! What a peer does from time to time, by name. All of it is counted in ticks of the raft clock; the driver decides how long a
//! tick is.

use crate::config::Config;

/// Something that a peer does from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerTick {
    /// The clock of raft-core: elections and heartbeats.
    Raft,
    /// A leader reports its region to the scheduler.
    RegionHeartbeat,
    /// A leader looks whether its log can be compacted.
    LogGc,
    /// A leader looks whether its region is too large.
    SplitCheck,
}

impl PeerTick {
    /// All of them, in the order in which those that are due at the same tick are handled.
    pub const ALL: [PeerTick; 4] = [PeerTick::Raft, PeerTick::RegionHeartbeat, PeerTick::LogGc, PeerTick::SplitCheck];

    /// Ticks between two of its kind.
    pub fn interval(self, config: &Config) -> u64 {
        match self {
            PeerTick::Raft => 1,
            PeerTick::RegionHeartbeat => config.region_heartbeat_ticks,
            PeerTick::LogGc => config.log_gc_ticks,
            PeerTick::SplitCheck => config.split_check_ticks,
        }
    }
}

/// The clock of one peer.
#[derive(Debug)]
pub(super) struct Ticks {
    now: u64,
    /// Peers of different regions do the same thing at different ticks, so that a store does not do everything at once.
    offset: u64,
}

impl Ticks {
    pub(super) fn new(region_id: u64) -> Self {
        Ticks { now: 0, offset: region_id }
    }

    /// Ticks since the peer was loaded.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// One tick later. Returns what is due.
    pub(super) fn advance(&mut self, config: &Config) -> impl Iterator<Item = PeerTick> + use<> {
        self.now += 1;
        let count = self.now.wrapping_add(self.offset);
        let due = PeerTick::ALL.map(|tick| count.is_multiple_of(tick.interval(config)).then_some(tick));
        due.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_at_its_interval_and_regions_take_turns() {
        let config = Config { region_heartbeat_ticks: 4, log_gc_ticks: 3, ..Config::default() };
        let ticks_of = |region_id: u64, wanted: PeerTick| {
            let mut ticks = Ticks::new(region_id);
            let due = (1..=12).filter(|_| ticks.advance(&config).any(|tick| tick == wanted));
            due.collect::<Vec<u64>>()
        };
        assert_eq!(ticks_of(7, PeerTick::Raft).len(), 12);
        assert_eq!(ticks_of(8, PeerTick::RegionHeartbeat), [4, 8, 12]);
        assert_eq!(ticks_of(9, PeerTick::RegionHeartbeat), [3, 7, 11]);
        assert_eq!(ticks_of(9, PeerTick::LogGc), [3, 6, 9, 12]);
    }
}
