//! What can happen next in a state of the search.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hasher;

use proto::eraftpb::MessageType;
use raft_core::{Role, fingerprint};

use super::Bounds;
use crate::group::{Action, Digest, Member, MemberRole, Reshape, Transition, World, describe};
use crate::invariants::Violation;

/// One move: an event, and everything that the node does about it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Something happens to a node.
    Act(Action, u64),
    /// The same, and the node's disk takes its time.
    ActSlowly(Action, u64),
    /// A node dies, with some of the waiting writes done, and starts again.
    Crash(u64, usize),
}

/// How much of the bounds is used up.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Used {
    proposals: u8,
    crashes: u8,
    copies: u8,
    beats: u8,
    delays: u8,
    changes: u8,
    reads: u8,
    /// How many nodes have stood for election. They do it for the first time in the order of their ids: any other order is the same but for
    /// the names.
    campaigned: u64,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Act(action, node) => write!(f, "n{node}: {action}"),
            Move::ActSlowly(action, node) => write!(f, "n{node}: {action}, its disk takes its time"),
            Move::Crash(node, 0) => write!(f, "n{node} crashes and starts again"),
            Move::Crash(node, kept) => write!(f, "n{node} crashes, {kept} more writes were done, and starts again"),
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
        wishes(member, used, bounds, &mut found);
        if used.crashes < bounds.crashes {
            let used = Used { crashes: used.crashes + 1, ..used };
            found.extend((0..=member.writes.len()).map(|kept| (Move::Crash(id, kept), used)));
        }
    }
    if used.delays < bounds.delays {
        slow_down(&mut found);
    }
    let waiting = world.group.members.values().filter(|member| !member.writes.is_empty());
    found.extend(waiting.map(|member| (Move::Act(Action::Write(member.id, 1), member.id), used)));
    found
}

/// Changes of membership and reads that a node may be asked for.
fn wishes(member: &Member, used: Used, bounds: &Bounds, found: &mut Vec<(Move, Used)>) {
    let (id, marks) = (member.id, member.seen.marks);
    let leads = marks.role == Role::Leader;
    if leads && used.changes < bounds.changes {
        let used = Used { changes: used.changes + 1, ..used };
        let removal =
            |transition| Reshape { changes: vec![(MemberRole::Gone, bounds.nodes)], transition, old_form: false };
        for transition in [Transition::Auto, Transition::Implicit] {
            found.push((Move::Act(Action::Change(id, removal(transition)), id), used));
        }
    }
    if used.reads < bounds.reads {
        let used = Used { reads: used.reads + 1, ..used };
        if leads && member.node().is_some_and(|node| node.raft.committed_in_term()) {
            found.push((Move::Act(Action::Read(id), id), used));
        } else if !leads && marks.leader != 0 {
            found.push((Move::Act(Action::ForwardRead(id), id), used));
        }
    }
}

/// Each move may also meet a slow disk.
fn slow_down(found: &mut Vec<(Move, Used)>) {
    let slow = |(step, used): &(Move, Used)| match step {
        Move::Act(action, node) => {
            Some((Move::ActSlowly(action.clone(), *node), Used { delays: used.delays + 1, ..*used }))
        }
        _ => None,
    };
    let slower: Vec<_> = found.iter().filter_map(slow).collect();
    found.extend(slower);
}

/// Makes a move, and lets the node do all that follows on its side. Returns false if it came to nothing.
pub(super) fn make(world: &mut World, step: &Move) -> Result<bool, Violation> {
    let node = match step {
        Move::Act(action, node) | Move::ActSlowly(action, node) => {
            if !world.perform(action)? {
                return Ok(false);
            }
            *node
        }
        Move::Crash(node, kept) => {
            world.perform(&Action::Crash(*node, *kept, true))?;
            world.perform(&Action::Restart(*node))?;
            *node
        }
    };
    // A disk that is behind takes its time for what follows, too.
    let behind = world.group.members.get(&node).is_some_and(|member| !member.writes.is_empty());
    let slow = behind || matches!(step, Move::ActSlowly(..));
    while world.perform(&Action::TakeReady(node))? {
        if !slow {
            world.perform(&Action::Write(node, usize::MAX))?;
        }
        world.perform(&Action::Apply(node, usize::MAX))?;
    }
    if matches!(step, Move::ActSlowly(..))
        && world.group.members.get(&node).is_some_and(|member| member.writes.is_empty())
    {
        return Ok(false); // There was nothing to write.
    }
    world.perform(&Action::Save(node))?;
    forget_dead_messages(world);
    Ok(true)
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
        Move::ActSlowly(action, node) => {
            format!("{}, its disk takes its time", in_words(world, &Move::Act(action.clone(), *node)))
        }
        Move::Act(Action::Deliver(position), _) => format!("{} arrives", message(position)),
        Move::Act(Action::DeliverCopy(position), _) => format!("{} arrives, a copy stays behind", message(position)),
        Move::Act(action, _) => action.to_string(),
        Move::Crash(..) => step.to_string(),
    }
}
