//! A change of members as an entry of the log: one way in, one way out.
//!
//! The entry carries what raft-core needs (a `ConfChange`, or a `ConfChangeV2`), and in its context the whole command: with the epoch it was
//! made for, and with the stores of the peers. Both are read back together and must say the same. An entry without a context is an error, never
//! an empty command.

use prost::Message;
use proto::{
    eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeV2, Entry},
    raft_cmdpb::{AdminCmdType, AdminRequest, ChangePeerRequest, RaftCmdRequest},
};
use raft_core::membership::Change;

use crate::error::{Error, Result};

/// The changes that an admin command asks for; `None` if it is no change of members.
pub fn changes_of(request: &AdminRequest) -> Option<&[ChangePeerRequest]> {
    match request.cmd_type() {
        AdminCmdType::ChangePeer => request.change_peer.as_ref().map(std::slice::from_ref),
        AdminCmdType::ChangePeerV2 => request.change_peer_v2.as_ref().map(|v2| &v2.changes[..]),
        _ => None,
    }
}

/// What is proposed to raft-core for a command; `None` if it is no change of members.
pub fn encode(command: &RaftCmdRequest) -> Option<Change> {
    let request = command.admin_request.as_ref()?;
    let changes = changes_of(request)?;
    // lab:begin 3B membership::encode  hint="raft needs ids, the state machine the whole command: what would be missing when the entry is applied?"
    let context = command.encode_to_vec().into();
    Some(match (request.cmd_type(), changes) {
        (AdminCmdType::ChangePeer, [change]) => {
            let ConfChangeSingle { change_type, node_id } = single(change);
            Change::V1(ConfChange { change_type, node_id, context, ..Default::default() })
        }
        _ => {
            let transition = match changes.len() {
                0 | 1 => ConfChangeTransition::Auto,
                _ => ConfChangeTransition::Explicit,
            } as i32;
            Change::V2(ConfChangeV2 { transition, changes: changes.iter().map(single).collect(), context })
        }
    })
    // lab:end
}

/// The command and the change that an entry of the log carries.
///
/// # Errors
/// [`Error::Corrupted`] if it carries none, or two that contradict each other: this version has not written it.
pub fn decode(entry: &Entry) -> Result<(RaftCmdRequest, ConfChangeV2)> {
    // lab:begin 3B membership::decode  hint="the reverse of encode; what is not there is an error, not a default"
    let broken = |what: String| Error::Corrupted(format!("change of members at index {}: {what}", entry.index));
    let change = raft_core::decode_conf_change(entry)?;
    if change.context.is_empty() {
        return Err(broken("no command in its context".to_owned()));
    }
    let command = RaftCmdRequest::decode(change.context.clone()).map_err(|error| broken(error.to_string()))?;
    let same = |wanted: &[ChangePeerRequest]| {
        wanted.len() == change.changes.len() && wanted.iter().map(single).eq(change.changes.iter().cloned())
    };
    match command.admin_request.as_ref().and_then(changes_of) {
        Some(wanted) if same(wanted) => Ok((command, change)),
        _ => Err(broken("its command is another one".to_owned())),
    }
    // lab:end
}

fn single(change: &ChangePeerRequest) -> ConfChangeSingle {
    ConfChangeSingle { change_type: change.change_type, node_id: change.peer.map_or(0, |peer| peer.id) }
}
