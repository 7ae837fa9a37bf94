//! What a seed decides before the run begins: how large the group is, who its members are, and how hostile the world is.

use crate::dice::Dice;
use crate::member::{Form, Kind, Setup};

/// Virtual time units in a tick.
pub const TICK: u64 = 10;

/// The frame of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it was drawn from.
    pub seed: u64,
    /// The founding members.
    pub founders: Vec<(u64, Kind)>,
    /// Virtual time of the hostile phase.
    pub duration: u64,
    /// Percent of messages that are lost.
    pub loss: u64,
    /// Percent of messages that arrive twice.
    pub duplicates: u64,
    /// Longest ordinary delay of a message.
    pub delay: u64,
    /// Percent of messages that take very long.
    pub stragglers: u64,
    /// Longest time of a sync.
    pub sync_time: u64,
    /// Longest time until entries are applied.
    pub apply_time: u64,
    /// Whether members crash, and lose what was not synced.
    pub crashes: bool,
    /// Whether the network is cut.
    pub partitions: bool,
    /// Whether the membership changes.
    pub changes: bool,
    /// Whether the leadership is transferred.
    pub transfers: bool,
    /// Whether members get priorities in elections, ask for reads through their leader, and for snapshots that they do not need.
    pub wishes: bool,
    /// Whether a member may be started as the other implementation after a crash.
    pub conversions: bool,
    /// Ask before an election.
    pub pre_vote: bool,
    /// Step down without a quorum.
    pub check_quorum: bool,
    /// Do not send messages that only tell a commit index.
    pub skip_commit_broadcast: bool,
    max_size_per_msg: u64,
    max_inflight_msgs: usize,
    max_committed_size_per_ready: u64,
    heartbeat_tick: usize,
}

impl Plan {
    /// The plan of this seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let size = dice.between(3, 5);
        let mut founders: Vec<(u64, Kind)> = (1..=size).map(|id| (id, some_kind(&mut dice))).collect();
        // Both kinds are there from the start.
        founders[0].1 = Kind::Ours;
        founders[1].1 = Kind::Theirs;
        let calm = dice.chance(15);
        Plan {
            seed,
            founders,
            duration: dice.between(150, 500) * TICK,
            loss: if calm { 0 } else { dice.pick(&[0, 1, 5, 20]).unwrap_or(0) },
            duplicates: if calm { 0 } else { dice.pick(&[0, 2, 10]).unwrap_or(0) },
            delay: dice.pick(&[1, 5, 15, 30]).unwrap_or(1),
            stragglers: if calm { 0 } else { dice.pick(&[0, 1, 5]).unwrap_or(0) },
            sync_time: dice.pick(&[0, 3, 15, 40]).unwrap_or(0),
            apply_time: dice.pick(&[0, 3, 20]).unwrap_or(0),
            crashes: dice.chance(75),
            partitions: dice.chance(75),
            changes: dice.chance(60),
            transfers: dice.chance(60),
            conversions: dice.chance(40),
            pre_vote: dice.chance(50),
            check_quorum: dice.chance(50),
            skip_commit_broadcast: dice.chance(20),
            max_size_per_msg: dice.pick(&[0, 100, 1000, 1 << 20]).unwrap_or(0),
            max_inflight_msgs: dice.pick(&[1, 2, 8, 256]).unwrap_or(256) as usize,
            max_committed_size_per_ready: dice.pick(&[0, 200, 1 << 20]).unwrap_or(0),
            heartbeat_tick: dice.between(1, 3) as usize,
            wishes: dice.chance(50),
        }
    }

    /// How a member of this group is set up for its next life.
    pub fn setup(&self, id: u64, dice: &mut Dice) -> Setup {
        Setup {
            id,
            form: if dice.chance(50) { Form::Sync } else { Form::Async },
            seed: dice.draw(),
            election_tick: 10,
            heartbeat_tick: self.heartbeat_tick,
            max_size_per_msg: self.max_size_per_msg,
            max_inflight_msgs: self.max_inflight_msgs,
            max_committed_size_per_ready: self.max_committed_size_per_ready,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            skip_commit_broadcast: self.skip_commit_broadcast,
        }
    }
}

/// Either implementation.
pub fn some_kind(dice: &mut Dice) -> Kind {
    if dice.chance(50) { Kind::Ours } else { Kind::Theirs }
}
