//! The commands of a scenario. `docs/scenarios.md` has them with examples.

use std::str::FromStr;

/// Nodes: `2`, `1-3`, `"1 3 5"`, or `all`.
#[derive(Clone, Debug, Default)]
pub enum Ids {
    #[default]
    All,
    These(Vec<u64>),
}

impl FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().map_err(|_| format!("{part:?} is no node"));
        if text == "all" {
            return Ok(Ids::All);
        }
        let mut ids = Vec::new();
        for part in text.split_whitespace() {
            match part.split_once('-') {
                Some((first, last)) => ids.extend(number(first)?..=number(last)?),
                None => ids.push(number(part)?),
            }
        }
        Ok(Ids::These(ids))
    }
}

impl Ids {
    /// The ids, `all` being those of `everybody`.
    pub fn among(&self, everybody: impl IntoIterator<Item = u64>) -> Vec<u64> {
        match self {
            Ids::All => everybody.into_iter().collect(),
            Ids::These(ids) => ids.clone(),
        }
    }
}

/// One line of a scenario.
#[derive(goldenscript::Command)]
pub enum Command {
    // ---- setting the scene ----
    /// Starts nodes 1 to `nodes`; the group consists of `voters` (all nodes, if not given) and `learners`.
    Cluster {
        #[arg(key)]
        nodes: u64,
        #[arg(key)]
        voters: Option<Ids>,
        #[arg(key)]
        learners: Option<Ids>,
        /// This node is elected, and its first entry is committed and known to all, before the scenario begins.
        #[arg(key)]
        leader: Option<u64>,
        #[arg(key)]
        pre_vote: Option<bool>,
        #[arg(key)]
        check_quorum: Option<bool>,
        #[arg(key)]
        skip_commit_broadcast: Option<bool>,
        /// Limits of the window, in messages and in bytes.
        #[arg(key)]
        inflight: Option<usize>,
        #[arg(key)]
        inflight_bytes: Option<u64>,
        /// Limits in bytes; an entry counts its payload and 24.
        #[arg(key)]
        message_bytes: Option<u64>,
        #[arg(key)]
        apply_bytes: Option<u64>,
        /// How many committed entries may be applied before the own disk has them.
        #[arg(key)]
        apply_unpersisted: Option<u64>,
        /// Payload bytes that may be proposed and not committed.
        #[arg(key)]
        uncommitted_bytes: Option<u64>,
    },
    /// The node starts on a disk with this log, a term for each entry, each with a payload if there is a colon: `log="1 1:a 2:b"`.
    Given {
        id: u64,
        #[arg(key)]
        log: Option<String>,
        #[arg(key)]
        term: Option<u64>,
        #[arg(key)]
        vote: Option<u64>,
        #[arg(key)]
        commit: Option<u64>,
        /// True for a disk that does not even know who the members are.
        #[arg(key)]
        blank: Option<bool>,
    },
    /// Shows `disk` (writes) and `progress` (how the leader sees its followers) from here on; `nothing` hides them again.
    Show(Vec<String>),

    // ---- what happens to nodes ----
    /// The nodes start an election, one after the other.
    Campaign(Ids),
    /// Proposes entries on a node, all before its next Ready.
    Propose { id: u64, payloads: Vec<String> },
    /// Time passes on some nodes, tick by tick. With `until=campaign` only until the role or the term changes.
    Tick {
        ids: Ids,
        count: Option<usize>,
        #[arg(key)]
        until: Option<String>,
    },
    /// Asks for a linearizable read. With `forward=true` a follower asks its leader.
    Read {
        id: u64,
        context: String,
        #[arg(key, optional)]
        forward: bool,
    },
    /// The leader sends heartbeats now.
    Ping(u64),
    /// How much a node wants to lead: voters refuse candidates of lower priority, unless those have longer logs.
    Priority { id: u64, value: i64 },
    /// The node asks its leader for a snapshot.
    RequestSnapshot(u64),
    /// Proposes a change of membership: `v4` makes node 4 a voter, `l4` a learner, `r4` removes it; `leave` leaves a joint configuration.
    /// `transition` is `auto` (joint only if needed), `implicit` (joint, left by the leader) or `explicit` (joint, left by `leave`); `v1` is
    /// the older form with one change.
    Conf {
        id: u64,
        changes: Vec<String>,
        #[arg(key)]
        transition: Option<String>,
    },
    /// The leader `id` is told to hand over to another node.
    Transfer { id: u64, to: u64 },
    /// `disk 2 slow`: writes wait. `disk 2 write`, `disk 2 write 1`: all or the first of them reach the disk. `disk 2 fast`: no more waiting.
    Disk { ids: Ids, action: String, count: Option<usize> },
    /// The same for the state machine: `apply 2 slow`, `apply 2 run`, `apply 2 fast`.
    Apply { ids: Ids, action: String, count: Option<usize> },
    /// The nodes stop at once. Writes that wait are lost, except for the first `kept`.
    Crash {
        ids: Ids,
        #[arg(key, optional)]
        kept: usize,
    },
    /// Starts nodes that are down on what their disks hold.
    Restart(Ids),
    /// Makes a snapshot of a node's state machine.
    Snapshot(u64),
    /// Drops a node's log up to an index; makes a snapshot first, unless `snapshot=false`.
    Compact {
        id: u64,
        index: u64,
        #[arg(key)]
        snapshot: Option<bool>,
    },
    /// Tells the leader how sending a snapshot went: `report 1 3 delivered`, `report 1 3 lost`; or `report 1 3 unreachable`.
    Report { id: u64, about: u64, what: String },

    // ---- what happens to messages ----
    /// Delivers what is on the wire now, or a part of it.
    Deliver {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key = "type")]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Delivers until nothing is left on the wire.
    Stabilize,
    /// Loses messages that are on the wire.
    Drop {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key = "type")]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Puts messages aside, until `release` puts them back on the wire.
    Hold {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key = "type")]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// See `hold`.
    Release,
    /// Puts a second copy of messages on the wire.
    Duplicate {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key = "type")]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Cuts these nodes, which still see each other, off from the rest.
    Partition(Ids),
    /// Cuts one direction of one link.
    Cut {
        #[arg(key)]
        from: u64,
        #[arg(key)]
        to: u64,
    },
    /// Mends all links.
    Heal,
    /// A message that no honest node has sent. `type` is the name or the number of its kind.
    Forge {
        to: u64,
        #[arg(key)]
        from: u64,
        #[arg(key = "type")]
        kind: String,
        #[arg(key)]
        term: Option<u64>,
        #[arg(key)]
        index: Option<u64>,
        #[arg(key)]
        log_term: Option<u64>,
        #[arg(key)]
        commit: Option<u64>,
        #[arg(key)]
        reject: Option<bool>,
        #[arg(key)]
        hint: Option<u64>,
        /// Terms of entries, from `index + 1` on, or positions: `"5@2 7@2"`.
        #[arg(key)]
        entries: Option<String>,
        /// Position of a snapshot whose members are `voters`.
        #[arg(key)]
        snapshot: Option<String>,
        #[arg(key)]
        voters: Option<Ids>,
    },

    // ---- questions ----
    /// Role, log and commit index; on a leader also its followers.
    Status(Option<Ids>),
    /// The logs; the bar stands behind what is committed.
    Log(Option<Ids>),
    /// What the state machines have applied.
    State(Option<Ids>),
    /// The members, as the nodes know them.
    Members(Option<Ids>),
}
