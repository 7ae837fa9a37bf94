//! The way of a store on threads to the scheduler.

use std::sync::Arc;
use std::time::Instant;

use proto::metapb::Region;
use proto::pdpb::{RegionHeartbeatRequest, StoreStats};
use raftstore::orders::command_of;
use raftstore::{AdminCommand, RegionCallback, SchedulerLink, SplitIdsCallback};
use storage::Engine;

use super::super::driver::lock;
use super::network::Routers;
use crate::sim::SimScheduler;

/// A scheduler that hears at once, and whose orders are there at once.
pub struct NearScheduler<E: Engine> {
    /// The scheduler of the cluster.
    pub scheduler: Arc<SimScheduler>,
    /// The stores that get its orders.
    pub routers: Routers<E>,
    /// The beginning of its time.
    pub began: Instant,
}

impl<E: Engine> NearScheduler<E> {
    fn pass_on(&self) {
        for mail in self.scheduler.take_mail() {
            let answer = self.scheduler.deliver(mail, self.began.elapsed().as_millis() as u64);
            let Some((header, request)) = answer.and_then(command_of) else { continue };
            let router = lock(&self.routers).get(&header.peer.store_id).cloned();
            if let Some(router) = router {
                // What is not done is ordered again with the next report.
                router.admin(AdminCommand { header, request, callback: Box::new(drop) });
            }
        }
    }
}

impl<E: Engine> SchedulerLink for NearScheduler<E> {
    fn region_heartbeat(&self, heartbeat: RegionHeartbeatRequest) {
        self.scheduler.region_heartbeat(heartbeat);
        self.pass_on();
    }

    fn store_heartbeat(&self, stats: StoreStats) {
        self.scheduler.store_heartbeat(stats);
    }

    fn ask_split(&self, region: Region, new_regions: u32, callback: SplitIdsCallback) {
        self.scheduler.ask_split(region, new_regions, callback);
        self.pass_on();
    }

    fn ask_region(&self, region_id: u64, callback: RegionCallback) {
        self.scheduler.ask_region(region_id, callback);
        self.pass_on();
    }

    fn report_split(&self, parts: Vec<Region>) {
        self.scheduler.report_split(parts);
        self.pass_on();
    }
}
