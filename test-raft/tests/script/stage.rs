//! Setting the scene: `cluster`, `given`; and `forge`, which brings in a message from nowhere.

use raft_core::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry, HardState,
    Message, MessageType, Snapshot, SnapshotMetadata,
};
use raft_core::membership::Change;
use raft_core::{Config, MemStorage};

use super::cluster::Cluster;
use super::command::{Command, Ids};
use super::notation;

/// What all nodes have in common.
#[derive(Clone, Default)]
pub struct Stage {
    config: Config,
    members: ConfState,
}

impl Stage {
    /// Runs `cluster` and `given`.
    pub fn set(&mut self, cluster: &mut Cluster, command: &Command) -> Result<(), String> {
        match command {
            Command::Cluster { nodes, leader, .. } => {
                self.configure(command);
                *cluster = Cluster::default();
                for id in 1..=*nodes {
                    cluster.start_on(Config { id, ..self.config.clone() }, self.blank_disk())?;
                }
                leader.map_or(Ok(()), |id| elect(cluster, id))
            }
            Command::Given { id, log, term, vote, commit, blank } => {
                let mut store = if *blank == Some(true) { MemStorage::new() } else { self.blank_disk() };
                let entries = parse_entries(log.as_deref().unwrap_or_default(), 0)?;
                let last_term = entries.last().map_or(0, |entry| entry.term);
                store.append(&entries);
                let (vote, commit) = (vote.unwrap_or(0), commit.unwrap_or(0));
                store.set_hard_state(HardState { term: term.unwrap_or(last_term), vote, commit });
                cluster.start_on(Config { id: *id, ..self.config.clone() }, store)?;
                let line = super::describe::log(cluster.node(*id)?);
                cluster.say(line);
                Ok(())
            }
            _ => Err("not a command of the stage".to_owned()),
        }
    }

    fn configure(&mut self, command: &Command) {
        let Command::Cluster {
            nodes,
            voters,
            learners,
            leader: _,
            pre_vote,
            check_quorum,
            skip_commit_broadcast,
            inflight,
            inflight_bytes,
            message_bytes,
            apply_bytes,
            apply_unpersisted,
            uncommitted_bytes,
        } = command
        else {
            return;
        };
        let plain = Config { seed: 1, ..Config::lab() };
        self.config = Config {
            pre_vote: pre_vote.unwrap_or(false),
            check_quorum: check_quorum.unwrap_or(false),
            skip_commit_broadcast: skip_commit_broadcast.unwrap_or(false),
            max_inflight_msgs: inflight.unwrap_or(plain.max_inflight_msgs),
            max_inflight_bytes: inflight_bytes.unwrap_or(plain.max_inflight_bytes),
            max_size_per_msg: message_bytes.unwrap_or(plain.max_size_per_msg),
            max_committed_size_per_ready: apply_bytes.unwrap_or(plain.max_committed_size_per_ready),
            apply_unpersisted_limit: apply_unpersisted.unwrap_or(0),
            max_uncommitted_size: uncommitted_bytes.unwrap_or(plain.max_uncommitted_size),
            ..plain
        };
        let learners = learners.clone().unwrap_or(Ids::These(Vec::new())).among([]);
        let everybody = (1..=*nodes).filter(|id| !learners.contains(id));
        let voters = voters.clone().unwrap_or_default().among(everybody);
        self.members = ConfState { voters, learners, ..ConfState::default() };
    }

    /// The disk of a node that knows who the members are, and nothing else.
    fn blank_disk(&self) -> MemStorage {
        let mut store = MemStorage::new();
        store.set_conf_state(self.members.clone());
        store
    }

    /// Delivers a message that nobody has sent.
    pub fn forge(&self, cluster: &mut Cluster, command: &Command) -> Result<(), String> {
        let Command::Forge { to, .. } = command else { return Ok(()) };
        let message = forged(command)?;
        cluster.expect_anything();
        cluster.say(format!("forged: n{}@{} → n{to} {}", message.from, message.term, notation::message(&message)));
        let lines = cluster.lines();
        cluster.with(*to, |node, _| node.raw_mut().map_or(Ok(()), |raw| raw.step(message)))?;
        if cluster.lines() == lines {
            let line = format!("{} ignores it", cluster.node(*to)?.name());
            cluster.say(line);
        }
        Ok(())
    }
}

/// The message that a `forge` describes.
fn forged(command: &Command) -> Result<Message, String> {
    let Command::Forge { to, from, kind, term, index, log_term, commit, reject, hint, entries, snapshot, voters } =
        command
    else {
        return Err("not a forged message".to_owned());
    };
    let index = index.unwrap_or(0);
    let received = snapshot.as_deref().map(parse_position).transpose()?.map(|(index, term)| {
        let voters = voters.clone().unwrap_or(Ids::These(Vec::new())).among([]);
        let conf_state = Some(ConfState { voters, ..ConfState::default() });
        Snapshot { metadata: Some(SnapshotMetadata { conf_state, index, term }), ..Snapshot::default() }
    });
    Ok(Message {
        msg_type: message_type(kind)?,
        to: *to,
        from: *from,
        term: term.unwrap_or(0),
        index,
        log_term: log_term.unwrap_or(0),
        commit: commit.unwrap_or(0),
        reject: reject.unwrap_or(false),
        reject_hint: hint.unwrap_or(0),
        entries: parse_entries(entries.as_deref().unwrap_or_default(), index)?,
        snapshot: received.map(Box::new),
        ..Message::default()
    })
}

/// The number of a message's type: by the name that the output uses, or the number itself.
fn message_type(kind: &str) -> Result<i32, String> {
    let named = |number: &i32| {
        let known = MessageType::try_from(*number).is_ok();
        known && notation::kind(&Message { msg_type: *number, ..Message::default() }) == kind
    };
    (0..100).find(named).or_else(|| kind.parse().ok()).ok_or_else(|| format!("there is no message {kind:?}"))
}

/// Entries behind `index`: `1`, `1:a` by their terms, or `7@2` wherever one likes.
fn parse_entries(text: &str, mut index: u64) -> Result<Vec<Entry>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|_| format!("{part:?} is no number"));
    let mut entries = Vec::new();
    for word in text.split_whitespace() {
        let (position, data) = word.split_once(':').unwrap_or((word, ""));
        let term = match position.split_once('@') {
            Some((at, term)) => {
                index = number(at)?;
                number(term)?
            }
            None => {
                index += 1;
                number(position)?
            }
        };
        entries.push(Entry { index, term, data: data.to_owned().into(), ..Entry::default() });
    }
    Ok(entries)
}

fn parse_position(text: &str) -> Result<(u64, u64), String> {
    let (index, term) = text.split_once('@').ok_or_else(|| format!("{text:?} is no position"))?;
    Ok((index.parse().map_err(|_| text)?, term.parse().map_err(|_| text)?))
}

/// The change that a `conf` asks for.
pub fn parse_change(words: &[String], transition: Option<&str>) -> Result<Change, String> {
    if words == ["leave"] {
        return Ok(ConfChangeV2::default().into());
    }
    let mut changes = Vec::new();
    for word in words {
        let (kind, id) = word.split_at_checked(1).ok_or_else(|| format!("{word:?} is no change"))?;
        let change_type = match kind {
            "v" => ConfChangeType::AddNode,
            "l" => ConfChangeType::AddLearnerNode,
            "r" => ConfChangeType::RemoveNode,
            _ => return Err(format!("{word:?} is no change")),
        };
        let node_id = id.parse().map_err(|_| format!("{word:?} is no change"))?;
        changes.push(ConfChangeSingle { change_type: change_type as i32, node_id });
    }
    let transition = match transition {
        None | Some("auto") => ConfChangeTransition::Auto,
        Some("implicit") => ConfChangeTransition::Implicit,
        Some("explicit") => ConfChangeTransition::Explicit,
        Some("v1") => {
            let [one] = changes[..] else { return Err("the older form has one change".to_owned()) };
            return Ok(
                ConfChange { change_type: one.change_type, node_id: one.node_id, ..ConfChange::default() }.into()
            );
        }
        Some(other) => return Err(format!("there is no transition {other:?}")),
    };
    Ok(ConfChangeV2 { transition: transition as i32, changes, ..ConfChangeV2::default() }.into())
}

/// Makes a node the leader, with its first entry committed and known to all, and tells the outcome only.
fn elect(cluster: &mut Cluster, id: u64) -> Result<(), String> {
    cluster.with(id, |node, _| node.raw_mut().map_or(Ok(()), |raw| raw.campaign()))?;
    cluster.stabilize()?;
    cluster.take_output()?;
    let line = super::describe::status(cluster.node(id)?);
    cluster.say(line.lines().next().unwrap_or_default());
    Ok(())
}
