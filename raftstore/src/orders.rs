//! What the scheduler orders in its answer to a leader's report, as an admin command for that leader.
//!
//! An order names the epoch that it was made for and the peer it is meant for; whoever is somebody else by now refuses it. The scheduler repeats
//! what it wants with every report until it sees it done, so nobody waits for the answer.

use proto::{
    pdpb::{ChangePeer, RegionHeartbeatResponse},
    raft_cmdpb::{AdminCmdType, AdminRequest, ChangePeerRequest, ChangePeerV2Request, TransferLeaderRequest},
};

use crate::command::RequestHeader;

/// The command that an answer orders; `None` if it orders nothing.
pub fn command_of(answer: RegionHeartbeatResponse) -> Option<(RequestHeader, AdminRequest)> {
    let header = RequestHeader {
        region_id: answer.region_id,
        epoch: answer.region_epoch.unwrap_or_default(),
        peer: answer.target_peer.unwrap_or_default(),
        term: 0,
    };
    let request = if let Some(transfer) = answer.transfer_leader {
        let transfer_leader = Some(TransferLeaderRequest { peer: transfer.peer, peers: transfer.peers });
        AdminRequest { cmd_type: AdminCmdType::TransferLeader as i32, transfer_leader, ..Default::default() }
    } else if let Some(change) = answer.change_peer {
        let change_peer = Some(change_of(change));
        AdminRequest { cmd_type: AdminCmdType::ChangePeer as i32, change_peer, ..Default::default() }
    } else {
        let changes = answer.change_peer_v2?.changes.into_iter().map(change_of).collect();
        let change_peer_v2 = Some(ChangePeerV2Request { changes });
        AdminRequest { cmd_type: AdminCmdType::ChangePeerV2 as i32, change_peer_v2, ..Default::default() }
    };
    Some((header, request))
}

fn change_of(change: ChangePeer) -> ChangePeerRequest {
    ChangePeerRequest { change_type: change.change_type, peer: change.peer }
}

#[cfg(test)]
mod tests {
    use proto::{
        eraftpb::ConfChangeType,
        metapb::{Peer, RegionEpoch},
        pdpb::{ChangePeerV2, TransferLeader},
    };

    use super::*;

    #[test]
    fn each_order_becomes_the_command_for_the_epoch_and_the_peer_it_was_made_for() {
        let peer = |id: u64| Peer { id, store_id: id, ..Default::default() };
        let change = |id: u64| ChangePeer { peer: Some(peer(id)), change_type: ConfChangeType::RemoveNode as i32 };
        let epoch = RegionEpoch { conf_ver: 4, version: 2 };
        let region_epoch = Some(epoch);
        let answer =
            RegionHeartbeatResponse { region_id: 7, region_epoch, target_peer: Some(peer(1)), ..Default::default() };
        assert!(command_of(answer.clone()).is_none(), "nothing is ordered");
        let transfer_leader = Some(TransferLeader { peer: Some(peer(2)), ..Default::default() });
        let (header, request) = command_of(RegionHeartbeatResponse { transfer_leader, ..answer.clone() }).unwrap();
        assert_eq!((header.region_id, header.epoch, header.peer), (7, epoch, peer(1)));
        assert_eq!(request.transfer_leader.unwrap().peer, Some(peer(2)));
        let (_, request) =
            command_of(RegionHeartbeatResponse { change_peer: Some(change(3)), ..answer.clone() }).unwrap();
        assert_eq!((request.cmd_type(), request.change_peer.unwrap().peer), (AdminCmdType::ChangePeer, Some(peer(3))));
        let change_peer_v2 = Some(ChangePeerV2 { changes: vec![change(3), change(4)] });
        let (_, request) = command_of(RegionHeartbeatResponse { change_peer_v2, ..answer }).unwrap();
        assert_eq!(request.change_peer_v2.unwrap().changes.len(), 2);
    }
}
