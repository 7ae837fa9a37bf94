//! Configuration of one Raft node.
//!
//! A plain value that the owner of the node fills in and hands to [`crate::RawNode::new`]; the few that may change afterwards
//! have setters there. Times are counted in ticks: what a tick is worth in milliseconds is the owner's business.

use crate::{Error, Result};

/// Settings of one Raft node. `Config { id, ..Config::default() }` is a production configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Identity of this node inside the group. Never 0, which means "nobody".
    pub id: u64,
    /// Ticks without a leader before an election; the actual timeout is random in `[election_tick, 2 * election_tick)`.
    pub election_tick: usize,
    /// Ticks between two heartbeats of a leader. Smaller than `election_tick`.
    pub heartbeat_tick: usize,
    /// Index up to which the state machine has applied the log already; entries up to here are not handed out again.
    pub applied: u64,
    /// Limit in bytes of the entries in one append message. 0 means one entry a message.
    pub max_size_per_msg: u64,
    /// How many append messages may be on their way to one follower. At least 1.
    pub max_inflight_msgs: usize,
    /// How many bytes of entries may be on their way to one follower. 0 means no limit.
    pub max_inflight_bytes: u64,
    /// How many bytes of entries a leader may have proposed but not committed; proposals past it are dropped with an error.
    /// 0 means no limit.
    pub max_uncommitted_size: u64,
    /// Limit in bytes of the committed entries in one `Ready`; at least one entry is always handed out. 0 means one entry a `Ready`.
    pub max_committed_size_per_ready: u64,
    /// How many entries past the own disk may be handed out to be applied once they are committed. 0: none, everything that is applied is
    /// also in the own log. With more, a state machine can be ahead of its log after a crash; [`crate::RawNode::new`] refuses that,
    /// so its owner has to replace such a log by an empty one that begins behind the applied index.
    pub apply_unpersisted_limit: u64,
    /// A voter refuses a candidate of lower priority than its own, unless that one's log is more up to date.
    pub priority: i64,
    /// A leader with nothing else to send does not tell its followers that the commit index has moved: they learn it with the next
    /// entries or the next heartbeat. Saves a message to each follower for every commit; followers apply a little later. Changes of
    /// membership are told at once all the same, and so is what a new leader commits first.
    pub skip_commit_broadcast: bool,
    /// Whether a node asks if it could win before it starts an election, so that one that was cut off does not depose a leader.
    pub pre_vote: bool,
    /// Whether a leader that reaches no quorum steps down, and nodes that hear a leader refuse to vote for another one.
    pub check_quorum: bool,
    /// Seed of the node's random numbers (election timeouts). The same seed and the same inputs give the same node.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            id: 0,
            election_tick: 10,
            heartbeat_tick: 2,
            applied: 0,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_inflight_bytes: 64 << 20,
            max_uncommitted_size: 64 << 20,
            max_committed_size_per_ready: 8 << 20,
            apply_unpersisted_limit: 0,
            priority: 0,
            skip_commit_broadcast: false,
            pre_vote: false,
            check_quorum: false,
            seed: 0,
        }
    }
}

impl Config {
    /// The configuration of the lab's tests: every feature beyond the basic algorithm is switched off and no limit is ever reached.
    pub fn lab() -> Self {
        Config {
            election_tick: 10,
            heartbeat_tick: 1,
            max_size_per_msg: u64::MAX,
            max_inflight_bytes: 0,
            max_uncommitted_size: 0,
            max_committed_size_per_ready: u64::MAX,
            pre_vote: false,
            check_quorum: false,
            ..Config::default()
        }
    }

    /// Refuses settings with which the node could not work. The error names the setting.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::ConfigInvalid(reason.to_owned()));
        if self.id == 0 {
            return refuse("id must not be 0");
        }
        if self.heartbeat_tick == 0 {
            return refuse("heartbeat_tick must be at least 1");
        }
        if self.election_tick <= self.heartbeat_tick {
            return refuse("election_tick must be larger than heartbeat_tick");
        }
        if self.max_inflight_msgs == 0 {
            return refuse("max_inflight_msgs must be at least 1");
        }
        Ok(())
    }
}
