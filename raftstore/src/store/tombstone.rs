//! What is left of a peer that was removed.
//!
//! A tombstone takes the place of the region's state. It names the peer, so that no late message brings it back: a message for this peer, or for
//! one with a smaller id, is for nobody. And it answers two kinds of messages that would otherwise wait for an answer for ever:
//!
//! - A sender that is not in the region either, at an older `conf_ver`, is told to go, as any member would tell it.
//! - A member that asks for the peer's vote has not heard that the peer was removed, and may need that vote as long as it has not: of two
//!   members the other one is stuck. So it is told that the entry which removed the peer is committed; raft-core takes that from a refused vote.
//!   Members learn it from their leader as a rule. A leader that applies its own removal is gone before it can be sure of that.

use prost::Message as _;
use proto::{
    eraftpb::{Message, MessageType},
    metapb::{Peer, Region},
    raft_serverpb::{PeerState, RaftMessage, RegionLocalState},
};
use storage::{Cf, WriteBatch};

use crate::keys;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Tombstone {
    /// The region.
    pub region_id: u64,
    /// The peer that was removed.
    pub peer: Peer,
    /// The region's `conf_ver`, as far as the peer knew it.
    pub conf_ver: u64,
    /// The members of the region, as far as the peer knew them.
    pub members: Vec<Peer>,
    /// Index and term of the entry that removed the peer; zeros if it was told by others.
    pub removed_by: (u64, u64),
}

impl Tombstone {
    /// The tombstone of a peer of `region`, which is as the peer knew it last.
    pub fn new(region: &Region, peer: Peer, removed_by: (u64, u64)) -> Self {
        let conf_ver = region.region_epoch.unwrap_or_default().conf_ver;
        Tombstone { region_id: region.id, peer, conf_ver, members: region.peers.clone(), removed_by }
    }

    /// Reads it back; `None` if the record is none of a tombstone.
    pub fn of_state(state: &RegionLocalState) -> Option<Self> {
        let region = state.region.as_ref().filter(|_| state.state() == PeerState::Tombstone)?;
        let peer = state.removed_records.first().copied().unwrap_or_default();
        Some(Tombstone::new(region, peer, (state.removed_at_index, state.removed_at_term)))
    }

    /// The answer to a message for the region, to which this store has no peer.
    pub fn answer(&self, message: &RaftMessage) -> Option<RaftMessage> {
        // lab:begin 3B tombstone::answer  hint="who does not know that it was removed? who does not know that this peer was?"
        let (to, from) = (message.to_peer?, message.from_peer?);
        let sent = message.region_epoch.unwrap_or_default();
        if to.id != self.peer.id || sent.conf_ver == 0 || sent.conf_ver >= self.conf_ver {
            return None;
        }
        let mut answer = RaftMessage {
            region_id: self.region_id,
            from_peer: Some(self.peer),
            to_peer: Some(from),
            region_epoch: Some(proto::metapb::RegionEpoch { conf_ver: self.conf_ver, ..sent }),
            ..Default::default()
        };
        if self.members.iter().all(|member| member.id != from.id) {
            answer.is_tombstone = !message.is_tombstone;
            return answer.is_tombstone.then_some(answer);
        }
        let request = message.message.as_ref()?;
        let msg_type = match request.msg_type() {
            MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
            MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
            _ => return None,
        };
        let (commit, commit_term) = self.removed_by;
        answer.message = Some(Message {
            msg_type: msg_type as i32,
            from: self.peer.id,
            to: from.id,
            term: request.term,
            reject: true,
            commit,
            commit_term,
            ..Default::default()
        });
        (commit_term != 0).then_some(answer)
        // lab:end
    }
}

/// Puts a tombstone in the place of everything that the kv engine has of a region, data included. A region without members was never
/// initialised: it has no range and no data.
pub(crate) fn put_tombstone(batch: &mut WriteBatch, region: &Region, peer: Peer, removed_by: (u64, u64)) {
    // lab:begin 3B tombstone::put_tombstone  hint="one batch: what must be there afterwards, and what must not?"
    let state = RegionLocalState {
        state: PeerState::Tombstone as i32,
        region: Some(region.clone()),
        removed_records: vec![peer],
        removed_at_index: removed_by.0,
        removed_at_term: removed_by.1,
        ..Default::default()
    };
    for cf in Cf::DATA.into_iter().filter(|_| !region.peers.is_empty()) {
        batch.delete_range(cf, region.start_key.clone(), region.end_key.clone());
    }
    batch.delete(Cf::Raft, keys::apply_state(region.id));
    batch.delete(Cf::Raft, keys::snapshot_raft_state(region.id));
    batch.put(Cf::Raft, keys::region_state(region.id), state.encode_to_vec());
    // lab:end
}
