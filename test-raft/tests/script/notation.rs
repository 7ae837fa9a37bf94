//! How things are written in a scenario's output: `n1@2` is node 1 in term 2, `4@2 "a"` the entry at index 4 of term 2 with payload
//! `a`. An entry without payload, such as the first one of every leader, is its position alone.

use prost::Message as _;
use raft_core::Role;
use raft_core::eraftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot,
};

/// `follower`, `pre-candidate`, `candidate`, `leader`.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

/// `4@2 "a"`, `5@2`, `6@2 members(v4 r1)`.
pub fn entry(entry: &Entry) -> String {
    let position = format!("{}@{}", entry.index, entry.term);
    match entry.entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => position,
        EntryType::EntryNormal => format!("{position} {:?}", String::from_utf8_lossy(&entry.data)),
        EntryType::EntryConfChange => match ConfChange::decode(&entry.data[..]) {
            Ok(change) => format!("{position} member({})", single(change.change_type(), change.node_id)),
            Err(_) => format!("{position} member(damaged)"),
        },
        EntryType::EntryConfChangeV2 => match ConfChangeV2::decode(&entry.data[..]) {
            Ok(change) if change.changes.is_empty() => format!("{position} members(leave joint)"),
            Ok(change) => format!("{position} members({})", changes(&change)),
            Err(_) => format!("{position} members(damaged)"),
        },
    }
}

fn single(change_type: ConfChangeType, id: u64) -> String {
    match change_type {
        ConfChangeType::AddNode => format!("v{id}"),
        ConfChangeType::RemoveNode => format!("r{id}"),
        ConfChangeType::AddLearnerNode => format!("l{id}"),
    }
}

fn changes(change: &ConfChangeV2) -> String {
    join(change.changes.iter().map(|c| single(c.change_type(), c.node_id)), " ")
}

/// Entries, separated by commas.
pub fn entries<'a>(list: impl IntoIterator<Item = &'a Entry>) -> String {
    join(list.into_iter().map(entry), ", ")
}

/// `voters=(1 2 3)`, in a joint configuration `voters=(1 2 4)&&(1 2 3)`.
pub fn members(state: &ConfState) -> String {
    let ids = |list: &[u64]| format!("({})", join(list.iter().map(u64::to_string), " "));
    let mut text = format!("voters={}", ids(&state.voters));
    if !state.voters_outgoing.is_empty() {
        text += &format!("&&{}", ids(&state.voters_outgoing));
    }
    if !state.learners.is_empty() {
        text += &format!(" learners={}", ids(&state.learners));
    }
    if !state.learners_next.is_empty() {
        text += &format!(" learners_next={}", ids(&state.learners_next));
    }
    if state.auto_leave {
        text += " auto_leave";
    }
    text
}

/// `last=5@1 voters=(1 2 3) data="a b"`.
pub fn snapshot(snapshot: &Snapshot) -> String {
    let data = String::from_utf8_lossy(&snapshot.data);
    let Some(metadata) = &snapshot.metadata else { return "without metadata".to_owned() };
    let members = metadata.conf_state.as_ref().map_or_else(|| "without members".to_owned(), members);
    format!("last={}@{} {members} data={data:?}", metadata.index, metadata.term)
}

/// What a write contains: `term=2 vote=n1 commit=4 entries=[5@2 "b"]`. Of the hard state only what differs from `old`.
pub fn write(old: &HardState, hard_state: Option<&HardState>, list: &[Entry], received: Option<&Snapshot>) -> String {
    let mut parts = Vec::new();
    if let Some(new) = hard_state {
        let number = |name: &str, old: u64, new: u64| (old != new).then(|| format!("{name}={new}"));
        parts.extend(number("term", old.term, new.term));
        if old.vote != new.vote {
            parts.push(if new.vote == 0 { "vote=none".to_owned() } else { format!("vote=n{}", new.vote) });
        }
        parts.extend(number("commit", old.commit, new.commit));
    }
    if let Some(received) = received {
        parts.push(format!("snapshot({})", snapshot(received)));
    }
    if !list.is_empty() {
        parts.push(format!("entries=[{}]", entries(list)));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" ") }
}

/// The kind of a message: `Append`, `VoteResponse`, ... Also what `type=` selects by.
pub fn kind(message: &Message) -> String {
    match MessageType::try_from(message.msg_type) {
        Ok(MessageType::MsgRequestVote) => "Vote".to_owned(),
        Ok(MessageType::MsgRequestVoteResponse) => "VoteResponse".to_owned(),
        Ok(MessageType::MsgRequestPreVote) => "PreVote".to_owned(),
        Ok(MessageType::MsgRequestPreVoteResponse) => "PreVoteResponse".to_owned(),
        Ok(known) => known.as_str_name().trim_start_matches("Msg").to_owned(),
        Err(_) => format!("Unknown({})", message.msg_type),
    }
}

/// A message without sender and receiver.
pub fn message(message: &Message) -> String {
    let kind = kind(message);
    let granted = if message.reject { "refused" } else { "granted" };
    let priority = if message.priority == 0 { String::new() } else { format!(" priority={}", message.priority) };
    let context = context(message);
    let detail = match message.msg_type() {
        MessageType::MsgRequestVote if !message.context.is_empty() => {
            format!("last={}@{}{priority} by order of the leader", message.index, message.log_term)
        }
        MessageType::MsgRequestVote => format!("last={}@{}{priority}", message.index, message.log_term),
        MessageType::MsgReadIndex => read(message),
        MessageType::MsgReadIndexResp => format!("{} index={}", read(message), message.index),
        MessageType::MsgTransferLeader => format!("target=n{}", message.from),
        MessageType::MsgRequestVoteResponse => granted.to_owned(),
        MessageType::MsgRequestPreVote => {
            format!("for term {} last={}@{}", message.term, message.index, message.log_term)
        }
        MessageType::MsgRequestPreVoteResponse if message.reject => granted.to_owned(),
        MessageType::MsgRequestPreVoteResponse => format!("{granted} for term {}", message.term),
        MessageType::MsgAppend => append(message),
        MessageType::MsgAppendResponse => append_response(message),
        MessageType::MsgHeartbeat => format!("commit={}{context}", message.commit),
        MessageType::MsgSnapshot => message.snapshot.as_deref().map_or_else(|| "empty".to_owned(), snapshot),
        _ => context.trim_start().to_owned(),
    };
    if detail.is_empty() { kind } else { format!("{kind} {detail}") }
}

fn append(message: &Message) -> String {
    let prev = format!("prev={}@{}", message.index, message.log_term);
    if message.entries.is_empty() {
        return format!("{prev} commit={}", message.commit);
    }
    format!("{prev} entries=[{}] commit={}", entries(&message.entries), message.commit)
}

fn append_response(message: &Message) -> String {
    let wants = if message.request_snapshot > 0 { " wants a snapshot" } else { "" };
    if message.reject {
        return format!("refused prev={} hint={}@{}{wants}", message.index, message.reject_hint, message.log_term);
    }
    format!("match={}{wants}", message.index)
}

/// The context of a read that is asked of the leader, or answered by it.
fn read(message: &Message) -> String {
    let context = message.entries.first().map(|entry| String::from_utf8_lossy(&entry.data));
    format!("{:?}", context.unwrap_or_default())
}

/// The round of a read confirmation that travels with a heartbeat.
fn context(message: &Message) -> String {
    match <[u8; 8]>::try_from(&message.context[..]) {
        Ok(round) => format!(" read_round={}", u64::from_be_bytes(round)),
        Err(_) if message.context.is_empty() => String::new(),
        Err(_) => format!(" context={:?}", String::from_utf8_lossy(&message.context)),
    }
}

fn join(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(separator)
}
