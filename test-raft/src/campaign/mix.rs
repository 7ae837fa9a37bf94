//! What a seed's group is like, and what may go wrong in it.

use std::fmt;

use proto::eraftpb::ConfState;
use raft_core::Config;

use crate::group::Rng;

/// What a seed's group is like, and what may go wrong in it. Rates are in 1/1000.
#[derive(Clone, Debug)]
pub struct Mix {
    /// How many nodes there are, members or not.
    pub nodes: u64,
    /// How many of them found the group as voters; one more founds it as a learner if `learner`.
    pub voters: u64,
    /// Whether there is a learner from the start.
    pub learner: bool,
    /// Length of the phase with faults.
    pub actions: u64,
    /// Messages that are lost.
    pub drop: u64,
    /// Messages that arrive twice.
    pub copy: u64,
    /// Messages that are held up until long after.
    pub hold_up: u64,
    /// Messages that overtake others.
    pub reorder: u64,
    /// Whether nodes crash.
    pub crashes: bool,
    /// Whether links are cut.
    pub cuts: bool,
    /// Whether members come and go.
    pub changes: bool,
    /// Whether nodes differ in their priority.
    pub priorities: bool,
    /// Nodes with a disk that is four times as slow.
    pub slow_disks: Vec<u64>,
    /// The settings of all nodes; id 0.
    pub config: Config,
}

impl Mix {
    /// The mix of `seed`.
    pub fn draw(rng: &mut Rng, seed: u64) -> Self {
        let nodes = 3 + rng.below(5);
        let voters = (3 + rng.below(3)).min(nodes);
        let unreliable = rng.chance(800);
        let mut rate = |most: u64| if unreliable { rng.below(most) } else { 0 };
        let (drop, copy, hold_up, reorder) = (rate(200), rate(100), rate(60), rate(500));
        let slow = rng.below(3) * 300;
        Mix {
            nodes,
            voters,
            learner: nodes > voters && rng.chance(500),
            actions: 1500,
            drop,
            copy,
            hold_up,
            reorder,
            crashes: rng.chance(800),
            cuts: rng.chance(600),
            changes: rng.chance(600),
            priorities: rng.chance(400),
            slow_disks: (1..=nodes).filter(|_| rng.chance(slow)).collect(),
            config: draw_config(rng, seed),
        }
    }

    /// The settings of each node.
    pub fn configs(&self) -> Vec<Config> {
        (1..=self.nodes).map(|id| Config { id, ..self.config.clone() }).collect()
    }

    /// The members at the start.
    pub fn founders(&self) -> ConfState {
        let learners = if self.learner { vec![self.voters + 1] } else { Vec::new() };
        ConfState { voters: (1..=self.voters).collect(), learners, ..ConfState::default() }
    }
}

fn draw_config(rng: &mut Rng, seed: u64) -> Config {
    Config {
        apply_unpersisted_limit: rng.pick(&[0, 0, 0, 2, 100]),
        election_tick: rng.pick(&[5, 10]),
        heartbeat_tick: rng.pick(&[1, 2, 3]),
        max_size_per_msg: rng.pick(&[0, 100, 1 << 20]),
        max_inflight_msgs: rng.pick(&[1, 2, 4, 256]),
        max_inflight_bytes: rng.pick(&[0, 200]),
        max_uncommitted_size: rng.pick(&[0, 300]),
        max_committed_size_per_ready: rng.pick(&[0, 200, 1 << 20]),
        skip_commit_broadcast: rng.chance(300),
        pre_vote: rng.chance(500),
        check_quorum: rng.chance(500),
        seed,
        ..Config::default()
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mix {
            nodes,
            voters,
            learner,
            drop,
            copy,
            hold_up,
            reorder,
            crashes,
            cuts,
            changes,
            priorities,
            slow_disks,
            config,
            ..
        } = self;
        write!(f, "{nodes} nodes, {voters} voters")?;
        for (on, what) in [
            (*learner, "a learner"),
            (config.pre_vote, "pre-vote"),
            (config.check_quorum, "check-quorum"),
            (config.skip_commit_broadcast, "no commit broadcast"),
            (*crashes, "crashes"),
            (*cuts, "partitions"),
            (*changes, "membership changes"),
            (*priorities, "priorities"),
            (config.apply_unpersisted_limit > 0, "early applying"),
        ] {
            if on {
                write!(f, ", {what}")?;
            }
        }
        write!(f, "; of 1000 messages {drop} lost, {copy} doubled, {hold_up} held up, {reorder} reordered")?;
        if slow_disks.is_empty() { Ok(()) } else { write!(f, "; slow disks {slow_disks:?}") }
    }
}
