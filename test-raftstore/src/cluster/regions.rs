//! Changes of regions, ordered by the test.

use bytes::Bytes;
use proto::metapb::{PeerRole, Region};
use proto::raft_cmdpb::{
    AdminCmdType, AdminRequest, AdminResponse, BatchSplitRequest, SplitRequest, TransferLeaderRequest,
};
use raftstore::split::bound_for_raw;
use scheduler::state::OperatorKind;

use super::driver::{Reaction, header};
use super::{Cluster, ELECTION, PATIENCE, SETTLING};
use crate::verdict::FailureKind;

impl Cluster {
    /// Orders a change from one store, for a region as the test knows it, and waits so long for the answer.
    pub fn admin_at(
        &mut self,
        store: u64,
        region: &Region,
        request: AdminRequest,
        ticks: u64,
    ) -> Reaction<AdminResponse> {
        let step = self.driver.admin_at(store, header(region, store), request);
        let pending = self.must(step);
        self.await_answer(&pending, ticks)
    }

    /// Asks the leader of a key's region, once, to hand over to the peer on a store.
    #[track_caller]
    pub fn ask_transfer(&mut self, key: &str, store: u64) -> Reaction<AdminResponse> {
        let (leader, region) = (self.leader(key), self.region(key));
        let peer = region.peers.iter().find(|peer| peer.store_id == store).copied();
        let transfer_leader = Some(TransferLeaderRequest { peer, peers: Vec::new() });
        let cmd_type = AdminCmdType::TransferLeader as i32;
        self.admin_at(leader, &region, AdminRequest { cmd_type, transfer_leader, ..Default::default() }, ELECTION)
    }

    /// Has a key's region led by the peer on a store. One request has to be enough.
    #[track_caller]
    pub fn transfer_leader(&mut self, key: &str, store: u64) {
        let answer = self.ask_transfer(key, store);
        if !matches!(answer, Reaction::Answered(Ok(_))) {
            self.fail(
                FailureKind::Stuck,
                "L-CONF",
                format!("a transfer to store {store} was answered with {answer:?}"),
            );
        }
        let what = format!("store {store} does not lead the region of {key}");
        self.wait("L-CONF", &what, PATIENCE, |cluster| cluster.leader_now(key) == Some(store));
    }

    /// The stores of a region's members, in order. Those without a vote are not counted.
    pub fn members(&self, key: &str) -> Vec<u64> {
        let region = self.region(key);
        let voters = region.peers.iter().filter(|peer| peer.role() == PeerRole::Voter);
        let mut stores: Vec<u64> = voters.map(|peer| peer.store_id).collect();
        stores.sort_unstable();
        stores
    }

    /// Has the scheduler order something of a region's leader, with each of its reports until that is done.
    pub fn order(&mut self, region: u64, kind: OperatorKind) -> bool {
        self.driver.scheduler().add_operator(region, kind, self.driver.now_ms())
    }

    /// Whether the scheduler wants something of a region.
    pub fn is_ordered(&self, region: u64) -> bool {
        self.driver.scheduler().running_operator(region).is_some()
    }

    #[track_caller]
    fn must_change(&mut self, key: &str, kind: OperatorKind, done: impl Fn(&Self) -> bool) {
        let what = format!("the scheduler wants to {kind}, and that is not done");
        let mut ordered = false;
        self.wait("L-CONF", &what, SETTLING, |cluster| {
            let region = cluster.region(key).id;
            ordered = ordered || cluster.order(region, kind);
            ordered && !cluster.is_ordered(region) && done(cluster)
        });
    }

    /// Has a key's region get a peer on a store, and waits until it votes.
    #[track_caller]
    pub fn add_peer(&mut self, key: &str, store: u64) {
        let kind = OperatorKind::AddPeer { store_id: store, learner: false };
        self.must_change(key, kind, |cluster| cluster.members(key).contains(&store));
    }

    /// Has a key's region lose its peer on a store, and waits until that is gone, data and all.
    #[track_caller]
    pub fn remove_peer(&mut self, key: &str, store: u64) {
        let region = self.region(key).id;
        self.must_change(key, OperatorKind::RemovePeer { store_id: store }, |cluster| {
            !cluster.members(key).contains(&store)
        });
        let what = format!("store {store} still has its peer of region {region}");
        self.wait("L-ORPHAN", &what, SETTLING, |cluster| cluster.regions_on(store).iter().all(|on| on.id != region));
    }

    /// Splits a region so that a new one begins at `key`, and waits until that is so.
    #[track_caller]
    pub fn split(&mut self, key: &str) -> Vec<Region> {
        let Some(bound) = bound_for_raw(key.as_bytes()) else {
            self.fail(FailureKind::Contract, "TEST", format!("no region can begin at {key:?}"));
        };
        for _ in 0..PATIENCE / ELECTION {
            if self.region(key).start_key == bound {
                break;
            }
            let leader = self.leader(key);
            let region = self.region(key);
            // Whatever the answer: what counts is what the regions are afterwards.
            self.admin_at(leader, &region, split_request(bound.clone()), ELECTION);
        }
        let leader = self.leader(key);
        let regions = self.regions_on(leader);
        if self.region(key).start_key != bound {
            let report = self.driver.describe();
            self.fail(FailureKind::Stuck, "L-SPLIT", format!("no region begins at {key:?}\n{report}"));
        }
        regions
    }
}

fn split_request(split_key: Bytes) -> AdminRequest {
    let requests = vec![SplitRequest { split_key, ..Default::default() }];
    let splits = Some(BatchSplitRequest { requests, ..Default::default() });
    AdminRequest { cmd_type: AdminCmdType::BatchSplit as i32, splits, ..Default::default() }
}
