//! What a change of members makes of a region.

use proto::{
    eraftpb::{ConfChangeType, ConfState},
    metapb::{Peer, PeerRole, Region},
    raft_cmdpb::ChangePeerRequest,
};

use crate::{
    error::{Error, Result},
    region::peer_on_store,
};

/// Is the region between entering and leaving a joint configuration?
pub fn is_joint(region: &Region) -> bool {
    region.peers.iter().any(|peer| matches!(peer.role(), PeerRole::IncomingVoter | PeerRole::DemotingVoter))
}

/// The members of a region as raft-core knows them.
pub fn conf_state(region: &Region) -> ConfState {
    let with = |roles: &[PeerRole]| {
        region.peers.iter().filter(|peer| roles.contains(&peer.role())).map(|peer| peer.id).collect::<Vec<u64>>()
    };
    let outgoing = if is_joint(region) { with(&[PeerRole::Voter, PeerRole::DemotingVoter]) } else { Vec::new() };
    ConfState {
        voters: with(&[PeerRole::Voter, PeerRole::IncomingVoter]),
        learners: with(&[PeerRole::Learner]),
        voters_outgoing: outgoing,
        learners_next: with(&[PeerRole::DemotingVoter]),
        auto_leave: false,
    }
}

/// The region after these changes: one of them, several (a joint configuration is entered) or none (it is left).
///
/// # Errors
/// [`Error::AdminRefused`] for changes that make no sense in this region. It depends on the region and the changes alone, so every replica
/// comes to it.
pub fn region_after(region: &Region, changes: &[ChangePeerRequest]) -> Result<Region> {
    // lab:begin 3B membership::region_after  hint="who is there already, under which id, in which role? and by how much does conf_ver move?"
    let mut next = region.clone();
    let count = match changes {
        [] => leave_joint(&mut next)?,
        _ if is_joint(region) => return refuse(region, "the joint configuration must be left first"),
        changes => {
            for change in changes {
                apply_one(&mut next, change, changes.len() > 1)?;
            }
            check_together(region, &next, changes)?;
            changes.len() as u64
        }
    };
    let votes = |peer: &Peer| matches!(peer.role(), PeerRole::Voter | PeerRole::IncomingVoter);
    if !next.peers.iter().any(votes) {
        return refuse(region, "no voter would be left");
    }
    next.region_epoch.get_or_insert_default().conf_ver += count;
    Ok(next)
    // lab:end
}

/// Ends the joint configuration. Returns how many peers change their role.
fn leave_joint(region: &mut Region) -> Result<u64> {
    let mut changed = 0;
    for peer in &mut region.peers {
        let role = match peer.role() {
            PeerRole::IncomingVoter => PeerRole::Voter,
            PeerRole::DemotingVoter => PeerRole::Learner,
            PeerRole::Voter | PeerRole::Learner => continue,
        };
        peer.set_role(role);
        changed += 1;
    }
    match changed {
        0 => refuse(region, "there is no joint configuration to leave"),
        changed => Ok(changed),
    }
}

fn apply_one(region: &mut Region, change: &ChangePeerRequest, joint: bool) -> Result<()> {
    let Some(wanted) = change.peer.filter(|peer| peer.id != 0 && peer.store_id != 0) else {
        return refuse(region, "a change names no peer or no store");
    };
    let Ok(change_type) = ConfChangeType::try_from(change.change_type) else {
        return refuse(region, "a change of an unknown type");
    };
    let known = peer_on_store(region, wanted.store_id).copied();
    if known.is_some_and(|known| known.id != wanted.id) {
        return refuse(region, "the store has another peer of the region");
    }
    if known.is_none() && region.peers.iter().any(|peer| peer.id == wanted.id) {
        return refuse(region, "the peer is on another store");
    }
    let role = match (known.map(|peer| peer.role()), change_type) {
        (None, ConfChangeType::RemoveNode) => return refuse(region, "the peer is not in the region"),
        (Some(PeerRole::Voter), ConfChangeType::AddNode) => return refuse(region, "the peer is a voter already"),
        (Some(PeerRole::Learner), ConfChangeType::AddLearnerNode) => {
            return refuse(region, "the peer is a learner already");
        }
        (Some(PeerRole::Voter), ConfChangeType::RemoveNode) if joint => {
            return refuse(region, "a voter is made a learner before it is removed, if other peers change with it");
        }
        (Some(_), ConfChangeType::RemoveNode) => {
            region.peers.retain(|peer| peer.id != wanted.id);
            return Ok(());
        }
        (Some(PeerRole::Voter), ConfChangeType::AddLearnerNode) if joint => PeerRole::DemotingVoter,
        (_, ConfChangeType::AddLearnerNode) => PeerRole::Learner,
        (_, ConfChangeType::AddNode) if joint => PeerRole::IncomingVoter,
        (_, ConfChangeType::AddNode) => PeerRole::Voter,
    };
    match region.peers.iter_mut().find(|peer| peer.id == wanted.id) {
        Some(peer) => peer.set_role(role),
        None => region.peers.push(Peer { role: role as i32, ..wanted }),
    }
    Ok(())
}

/// Changes that are made together must be about different peers, and some vote must change: else nothing is joint about them.
fn check_together(region: &Region, next: &Region, changes: &[ChangePeerRequest]) -> Result<()> {
    if changes.len() < 2 {
        return Ok(());
    }
    let mut stores: Vec<u64> = changes.iter().filter_map(|change| change.peer).map(|peer| peer.store_id).collect();
    stores.sort_unstable();
    if stores.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse(region, "two changes for one store");
    }
    if !is_joint(next) {
        return refuse(region, "changes that leave all votes as they are go one by one");
    }
    Ok(())
}

fn refuse<T>(region: &Region, reason: &str) -> Result<T> {
    Err(Error::AdminRefused { region_id: region.id, reason: reason.to_owned() })
}
