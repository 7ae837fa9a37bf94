//! Stores on threads in the hands of a test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use prost::Message;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminRequest, AdminResponse, Request, Response};
use proto::raft_serverpb::{RaftApplyState, RegionLocalState};
use raftstore::peer::PeerStatus;
use raftstore::{AdminCommand, ReadCommand, RegionSnapshot, RequestHeader, WriteCommand, keys};
use storage::Cf;

use super::super::driver::{Driver, Pending, Step, Summary, lock};
use super::super::work::Work;
use super::disk::LabEngine;
use super::store::ThreadStore;
use super::{TICK, ThreadClient, ThreadCluster, client};
use crate::network::LinkQuality;
use crate::sim::SimScheduler;
use crate::sim::lab::{count_bytes, read_raw};
use crate::verdict::{Failure, FailureKind};

impl<E: LabEngine> Driver for ThreadCluster<E> {
    fn advance(&mut self, ticks: u64) -> Step {
        for _ in 0..ticks {
            self.check_alive()?;
            thread::sleep(TICK);
        }
        self.check_alive()
    }

    fn start_client(&mut self, work: Work) {
        let (id, stop, shared) = (work.client(), Arc::new(AtomicBool::new(false)), self.shared.clone());
        let asked_to_stop = stop.clone();
        let thread = thread::spawn(move || client::run(&shared, work, &asked_to_stop));
        self.clients.insert(id, ThreadClient { thread, stop });
    }

    fn abandon_client(&mut self, client: u64) {
        if let Some(client) = self.clients.get(&client) {
            client.stop.store(true, Ordering::Relaxed);
        }
    }

    fn finished_clients(&mut self) -> Vec<Work> {
        let done = self.clients.iter().filter(|(_, client)| client.thread.is_finished());
        let done: Vec<u64> = done.map(|(id, _)| *id).collect();
        let threads = done.into_iter().filter_map(|id| self.clients.remove(&id));
        threads.filter_map(|client| client.thread.join().ok()).filter(Work::is_done).collect()
    }

    fn describe_clients(&self) -> String {
        let history = lock(&self.shared.history);
        let open = history.records().iter().filter(|record| record.completed.is_none());
        open.map(|record| format!("{record}\n")).collect()
    }

    fn set_links(&mut self, quality: LinkQuality) {
        self.network.links().set_quality(quality);
    }

    fn partition(&mut self, side: &BTreeSet<u64>) {
        let all: Vec<u64> = self.stores.keys().copied().collect();
        self.network.links().partition(side, &all);
    }

    fn heal_network(&mut self) {
        self.network.links().heal();
    }

    fn crash(&mut self, id: u64) -> Step {
        lock(self.network.routers()).remove(&id);
        lock(self.network.folders()).remove(&id);
        let Some(store) = self.stores.get_mut(&id) else { return Ok(()) };
        match store.crash(&mut self.rng) {
            Ok(has_run) => self.crashes += u64::from(has_run),
            Err(error) => return Err(self.stopped_by_itself(id, &error)),
        }
        Ok(())
    }

    fn start(&mut self, store: u64) -> Step {
        self.run_store(store).map_err(|error| {
            let details = format!("store {store} does not start after a crash: {error}");
            self.verdict(FailureKind::Contract, "RESTART", details)
        })
    }

    fn is_running(&self, store: u64) -> bool {
        self.stores.get(&store).is_some_and(|store| store.running().is_some())
    }

    fn statuses(&self) -> Vec<PeerStatus> {
        let running = self.stores.values().filter_map(|store| store.running());
        running.flat_map(|running| running.router().statuses()).collect()
    }

    fn stored(&self, store: u64, cf: Cf, key: &[u8]) -> Option<Bytes> {
        self.stores.get(&store)?.stored(cf, key)
    }

    fn bytes_in(&self, store: u64, region: &Region) -> u64 {
        self.stores.get(&store).and_then(ThreadStore::kv).map_or(0, |kv| count_bytes(kv, region))
    }

    fn region_states(&self, store: u64) -> Vec<RegionLocalState> {
        self.stores.get(&store).map(ThreadStore::region_states).unwrap_or_default()
    }

    fn apply_state(&self, store: u64, region: u64) -> Option<RaftApplyState> {
        let record = self.stored(store, Cf::Raft, &keys::apply_state(region))?;
        RaftApplyState::decode(record).ok()
    }

    fn scheduler(&self) -> &SimScheduler {
        &self.shared.scheduler
    }

    fn now_ms(&self) -> u64 {
        self.shared.now().as_micros() / 1000
    }

    fn read_at(&mut self, store: u64, header: RequestHeader, key: Bytes) -> Step<Pending<Option<Bytes>>> {
        let (pending, callback) = Pending::new();
        let callback = Box::new(move |result: raftstore::Result<RegionSnapshot<E::Snapshot>>| {
            callback(result.map(|view| read_raw(&view.snapshot, &key)));
        });
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.read(ReadCommand { header, callback });
        }
        Ok(pending)
    }

    fn write_at(&mut self, store: u64, header: RequestHeader, request: Request) -> Step<Pending<Vec<Response>>> {
        let (pending, callback) = Pending::new();
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.write(WriteCommand { header, requests: vec![request], callback });
        }
        Ok(pending)
    }

    fn admin_at(&mut self, store: u64, header: RequestHeader, request: AdminRequest) -> Step<Pending<AdminResponse>> {
        let (pending, callback) = Pending::new();
        let router = lock(self.network.routers()).get(&store).cloned();
        if let Some(router) = router {
            router.admin(AdminCommand { header, request, callback });
        }
        Ok(pending)
    }

    fn has_settled(&self) -> bool {
        self.all_is_settled()
    }

    fn check_end(&mut self) -> Step {
        self.check_alive()?;
        self.check_all()
    }

    fn summary(&self) -> Summary {
        let network = self.network.links().counters();
        Summary {
            steps: 0,
            ticks: (self.shared.began.elapsed().as_micros() / TICK.as_micros()) as u64,
            outcomes: lock(&self.shared.history).count_outcomes(),
            crashes: self.crashes,
            snapshots: self.network.snapshots(),
            lost: network.lost,
            cut: network.cut,
            digest: 0,
        }
    }

    fn describe(&self) -> String {
        self.describe_peers() + &self.describe_clients()
    }

    fn verdict(&self, kind: FailureKind, id: &'static str, details: String) -> Box<Failure> {
        self.failed.set(true);
        let operations = lock(&self.shared.history).records().len() as u64;
        Box::new(Failure {
            kind,
            id,
            name: self.name.clone(),
            seed: self.shared.seed,
            step: operations,
            details: details.into(),
            trace: None,
            replay: String::new().into(),
        })
    }
}
