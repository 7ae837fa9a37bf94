//! Whether a message for a region without a peer here makes one.
//!
//! | what is known | what becomes of the message |
//! |---|---|
//! | a peer has come into being meanwhile | it goes there |
//! | a split has made the region, its peer is about to come | a vote is kept, everything else is sent again |
//! | another region of this store has some of the keys | the same: this store has not applied a split yet, or has to be told of it by a snapshot of that region |
//! | the peer was destroyed, and the message is not for a younger one | its tombstone may have an answer ([`Tombstone`]) |
//! | the region's replica here is out of order | it is dropped |
//! | nothing | an uninitialised peer is made |
//!
//! Only a message that may be the first one makes a peer, and only the first ones carry the range of the region. Everything is decided
//! and done under the lock of the store's regions, as splits and snapshots are (S-DISJOINT, S-META-AGREE).

use std::sync::Arc;

use proto::raft_serverpb::{PeerState, RaftMessage, RegionLocalState};
use slog::{debug, info};
use storage::{Cf, Engine};

use super::Tombstone;
use crate::{
    batch::Router,
    error::Result,
    keys,
    peer::{Peer, PeerContext, is_initial},
    peer_storage::read,
};

/// Handles a message that found no peer.
pub(super) fn on_raft_message<E: Engine>(
    message: RaftMessage,
    router: &Router<E>,
    context: &Arc<PeerContext<E>>,
) -> Result<Option<RaftMessage>> {
    let record: Option<RegionLocalState> = read(&context.engines.kv, Cf::Raft, &keys::region_state(message.region_id))?;
    let mut meta = context.meta.lock();
    // Between the router's look and this one, the peer may have come into being.
    if router.has_peer(message.region_id) {
        drop(meta);
        router.raft_message(message);
        return Ok(None);
    }
    // A snapshot that could not be restored: the replica is out of order.
    if record.as_ref().is_some_and(|record| record.state() == PeerState::Applying) {
        router.metrics().messages_dropped.inc();
        return Ok(None);
    }
    // lab:begin 3B store::on_raft_message  hint="row by row of the table above: is a peer about to come, may this message make one, has a tombstone an answer?"
    let about_to_come = meta.region(message.region_id).is_some()
        || meta.overlapping(&message.start_key, &message.end_key).next().is_some();
    if about_to_come && is_vote(&message) {
        meta.keep_early_vote(message);
        return Ok(None);
    }
    let wanted = !about_to_come && may_create(&message, record.as_ref(), context.store_id);
    let Some(to) = message.to_peer.filter(|_| wanted) else {
        drop(meta);
        router.metrics().messages_dropped.inc();
        let from = message.from_peer.as_ref().map_or(0, |p| p.store_id);
        debug!(context.logger, "dropped a message for a region without a peer here";
            "region" => message.region_id, "from_store" => from);
        return Ok(record.as_ref().and_then(Tombstone::of_state).and_then(|tombstone| tombstone.answer(&message)));
    };
    let peer = Peer::uninitialized(context.clone(), message.region_id, to)?;
    info!(context.logger, "made a peer for a message"; "region" => message.region_id, "peer" => to.id);
    router.metrics().peers_created.inc();
    meta.put_uninitialized(message.region_id, to.id);
    router.register(Box::new(peer));
    drop(meta);
    router.raft_message(message);
    Ok(None)
    // lab:end
}

fn is_vote(message: &RaftMessage) -> bool {
    use proto::eraftpb::MessageType::{MsgRequestPreVote, MsgRequestVote};
    let kind = message.message.as_ref().map(|inner| inner.msg_type());
    matches!(kind, Some(MsgRequestVote | MsgRequestPreVote))
}

/// May a message make a peer, as far as it and the record of the region say?
fn may_create(message: &RaftMessage, record: Option<&RegionLocalState>, store_id: u64) -> bool {
    let first = message.message.as_ref().is_some_and(is_initial);
    let for_us = message.to_peer.is_some_and(|to| to.store_id == store_id && to.id != 0);
    let allowed = match record {
        None => true,
        // Ids of peers only grow: one that is not larger is that of the removed peer, or of an even older one.
        Some(state) if state.state() == PeerState::Tombstone => {
            state.removed_records.iter().all(|removed| message.to_peer.is_some_and(|to| to.id > removed.id))
        }
        Some(_) => false,
    };
    first && for_us && allowed
}

#[cfg(test)]
mod tests {
    use proto::{
        eraftpb::{Message, MessageType},
        metapb::{self, Region, RegionEpoch},
    };

    use super::*;

    fn heartbeat(conf_ver: u64) -> RaftMessage {
        RaftMessage {
            region_id: 7,
            to_peer: Some(metapb::Peer { id: 70, store_id: 2, ..Default::default() }),
            region_epoch: Some(RegionEpoch { conf_ver, version: 1 }),
            message: Some(Message { msg_type: MessageType::MsgHeartbeat as i32, ..Default::default() }),
            ..Default::default()
        }
    }

    /// The record of a region whose peer `removed` was removed, if the state says so.
    fn record(state: PeerState, removed: u64) -> RegionLocalState {
        let removed_records = vec![metapb::Peer { id: removed, store_id: 2, ..Default::default() }];
        RegionLocalState { state: state as i32, region: Some(Region::default()), removed_records, ..Default::default() }
    }

    #[test]
    fn only_a_first_message_for_this_store_makes_a_peer() {
        assert!(may_create(&heartbeat(1), None, 2));
        assert!(!may_create(&heartbeat(1), None, 3));
        assert!(!may_create(&RaftMessage { to_peer: None, ..heartbeat(1) }, None, 2));
        let mut later = heartbeat(1);
        later.message.as_mut().unwrap().commit = 6;
        assert!(!may_create(&later, None, 2), "its sender believes that this peer has a log");
        let append = Message { msg_type: MessageType::MsgAppend as i32, ..Default::default() };
        assert!(!may_create(&RaftMessage { message: Some(append), ..heartbeat(1) }, None, 2));
    }

    #[test]
    fn a_destroyed_peer_never_comes_back_but_a_younger_one_may() {
        for removed in [70, 71] {
            assert!(!may_create(&heartbeat(9), Some(&record(PeerState::Tombstone, removed)), 2));
        }
        assert!(may_create(&heartbeat(9), Some(&record(PeerState::Tombstone, 69)), 2));
        for state in [PeerState::Normal, PeerState::Applying] {
            assert!(!may_create(&heartbeat(9), Some(&record(state, 3)), 2), "{state:?}");
        }
    }
}
