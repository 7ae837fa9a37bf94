//! What can happen next in a state of the search.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hasher;

use proto::eraftpb::MessageType;
use raft_core::{Role, fingerprint};

use super::Bounds;
use crate::group::{Action, Digest, World, describe};
use crate::invariants::Violation;

/// One move: an event, and everything that the node does about it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Something happens to a node.
    Act(Action, u64),
    /// A node dies and starts again.
    Crash(u64),
}

/// How much of the bounds is used up.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Used {
    proposals: u8,
    crashes: u8,
    copies: u8,
    beats: u8,
    /// How many nodes have stood for election. They do it for the first time in the order of their ids: any other order is the same but for
    /// the names.
    campaigned: u64,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Act(action, node) => write!(f, "n{node}: {action}"),
            Move::Crash(node) => write!(f, "n{node} crashes and starts again"),
        }
    }
}

/// All moves from here, each with what is used up afterwards.
pub(super) fn moves(world: &World, used: Used, bounds: &Bounds) -> Vec<(Move, Used)> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (position, message) in world.group.wire.iter().enumerate() {
        let mut digest = Digest::default();
        fingerprint::message(message, &mut digest);
        if !seen.insert(digest.finish()) {
            continue;
        }
        found.push((Move::Act(Action::Deliver(position), message.to), used));
        if used.copies < bounds.copies {
            let used = Used { copies: used.copies + 1, ..used };
            found.push((Move::Act(Action::DeliverCopy(position), message.to), used));
        }
    }
    for member in world.group.members.values() {
        let (id, marks) = (member.id, member.seen.marks);
        let leads = marks.role == Role::Leader;
        if !leads && marks.term < bounds.max_term && id <= used.campaigned + 1 {
            let used = Used { campaigned: used.campaigned.max(id), ..used };
            found.push((Move::Act(Action::Campaign(id), id), used));
        }
        if leads && used.proposals < bounds.proposals {
            let used = Used { proposals: used.proposals + 1, ..used };
            found.push((Move::Act(Action::Propose(id, 8), id), used));
        }
        if leads && used.beats < bounds.beats {
            let used = Used { beats: used.beats + 1, ..used };
            found.push((Move::Act(Action::Beat(id), id), used));
        }
        if used.crashes < bounds.crashes {
            found.push((Move::Crash(id), Used { crashes: used.crashes + 1, ..used }));
        }
    }
    found
}

/// Makes a move, and lets the node do all that follows on its side.
pub(super) fn make(world: &mut World, step: &Move) -> Result<(), Violation> {
    let node = match step {
        Move::Act(action, node) => {
            world.perform(action)?;
            *node
        }
        Move::Crash(node) => {
            world.perform(&Action::Crash(*node, 0, true))?;
            world.perform(&Action::Restart(*node))?;
            *node
        }
    };
    while world.perform(&Action::TakeReady(node))? {
        world.perform(&Action::Write(node, usize::MAX))?;
        world.perform(&Action::Apply(node, usize::MAX))?;
    }
    world.perform(&Action::Save(node))?;
    forget_dead_messages(world);
    Ok(())
}

/// Answers of a term that their receiver has left are ignored whenever they arrive: they need not be told apart from lost ones.
fn forget_dead_messages(world: &mut World) {
    use MessageType::{MsgAppendResponse, MsgHeartbeatResponse, MsgRequestVoteResponse};
    let members = &world.group.members;
    world.group.wire.retain(|message| {
        let answer = matches!(message.msg_type(), MsgAppendResponse | MsgHeartbeatResponse | MsgRequestVoteResponse);
        !(answer && members.get(&message.to).is_some_and(|to| to.seen.marks.term > message.term))
    });
}

/// The move in words, in the state in which it is made.
pub(super) fn in_words(world: &World, step: &Move) -> String {
    let message = |position: &usize| world.group.wire.get(*position).map(describe).unwrap_or_default();
    match step {
        Move::Act(Action::Deliver(position), _) => format!("{} arrives", message(position)),
        Move::Act(Action::DeliverCopy(position), _) => format!("{} arrives, a copy stays behind", message(position)),
        Move::Act(action, _) => action.to_string(),
        Move::Crash(_) => step.to_string(),
    }
}
