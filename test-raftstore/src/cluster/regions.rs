//! Changes of regions, ordered by the test.

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, AdminResponse, BatchSplitRequest, SplitRequest};
use raftstore::split::bound_for_raw;

use super::driver::{Reaction, header};
use super::{Cluster, ELECTION, PATIENCE};
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
