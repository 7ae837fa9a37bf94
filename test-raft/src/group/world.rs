//! The group, the rules that watch it, and the trace of what happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use proto::eraftpb::{ConfState, Message};
use raft_core::{Config, fingerprint};
use slog::Logger;

use super::{Breakage, Counts, Digest, Machine, Member, Trace};
use crate::invariants::Rules;

/// Where the log of a new group starts: founders begin with a snapshot here, so that a node that joins later needs one too.
pub const FOUNDED_AT: u64 = 1;

/// Nodes with a network between them.
#[derive(Clone, Debug)]
pub struct Group {
    /// All nodes, members or not.
    pub members: BTreeMap<u64, Member>,
    /// Messages that were sent and have not arrived, oldest first.
    pub wire: VecDeque<Message>,
    /// Messages that are held up.
    pub held_up: Vec<Message>,
    /// Links over which nothing gets through, as (from, to).
    pub cut: BTreeSet<(u64, u64)>,
    /// How many proposals and reads were made; each is numbered.
    pub asked: u64,
    /// The promise that is broken on purpose.
    pub breakage: Option<Breakage>,
}

/// A group, the rules that watch it, and the trace of what happened.
#[derive(Clone, Debug)]
pub struct World {
    /// The nodes.
    pub group: Group,
    /// What must hold.
    pub rules: Rules,
    /// What happened.
    pub trace: Trace,
    /// How many actions were performed.
    pub step: u64,
    /// How much happened.
    pub counts: Counts,
    pub(super) logger: Logger,
}

impl World {
    /// A group founded by `conf`, on nodes with these settings. Nodes that are not in `conf` start empty.
    pub fn new(configs: &[Config], conf: &ConfState, breakage: Option<Breakage>, trace: Trace) -> Self {
        let logger = Logger::root(slog::Discard, slog::o!());
        let founded = Machine { applied: FOUNDED_AT, term: 1, digest: 0, conf: conf.clone() };
        let member = |config: &Config| {
            let founder = [&conf.voters, &conf.learners].iter().any(|ids| ids.contains(&config.id));
            (config.id, Member::new(config.clone(), founder.then_some(&founded), &logger))
        };
        let group = Group {
            members: configs.iter().map(member).collect(),
            wire: VecDeque::new(),
            held_up: Vec::new(),
            cut: BTreeSet::new(),
            asked: 0,
            breakage,
        };
        let mut world = World { group, rules: Rules::default(), trace, step: 0, counts: Counts::default(), logger };
        for config in configs {
            world.observe_start(config.id).expect("a group that did nothing yet breaks no rule");
        }
        world
    }

    /// A hash of everything that decides what can happen from here on, timers excluded, and of what the rules remember.
    pub fn fingerprint(&self) -> u64 {
        let mut digest = Digest::default();
        for member in self.group.members.values() {
            member.fingerprint(&mut digest);
        }
        // The wire is a set here: the order in which messages were sent does not decide the order in which they arrive.
        let sent = |message: &Message| {
            let mut one = Digest::default();
            fingerprint::message(message, &mut one);
            one.finish()
        };
        let mut wire: Vec<u64> = self.group.wire.iter().map(sent).collect();
        wire.sort_unstable();
        wire.hash(&mut digest);
        self.rules.hash(&mut digest);
        digest.finish()
    }
}

impl Member {
    fn fingerprint(&self, digest: &mut Digest) {
        if let Some(node) = self.node() {
            node.fingerprint(digest);
        }
        (self.node().is_some(), self.disk(), self.writes.len(), self.synced).hash(digest);
        (&self.to_apply, &self.machine, &self.saved).hash(digest);
        for ready in &self.writes {
            (&ready.entries, &ready.hard_state, &ready.snapshot, ready.must_sync).hash(digest);
            ready.persisted_messages.iter().for_each(|message| fingerprint::message(message, digest));
        }
    }
}
