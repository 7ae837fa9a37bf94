//! Mail to the scheduler on its way, and somebody who has regions split now and then.

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, BatchSplitRequest, SplitRequest};
use raftstore::AdminCommand;
use raftstore::split::bound_for_raw;

use super::driver::{Broken, Simulation};
use super::event::Event;
use super::external::External;
use super::finish::Stage;
use super::traffic::header;
use super::world::{CallId, SchedulerMail};

/// Microseconds between two wishes of the operator, on average.
pub const OPERATOR_INTERVAL: u64 = 700_000;
/// The operator as a caller; no client has this number.
pub const OPERATOR: u64 = u64::MAX;

impl Simulation {
    /// Hands what a store has sent to the scheduler to the network.
    pub(super) fn send_mail(&mut self, store: u64) {
        for mail in self.scheduler.take_mail() {
            let lost = self.stage == Stage::Faults && self.rng.chance(self.mail_loss_permille);
            self.note_mail(store, &mail, lost);
            if !lost {
                let delay = self.rng.within(100..=5_000);
                self.push_in(delay, Event::Mail { store, mail });
            }
        }
    }

    fn note_mail(&mut self, store: u64, mail: &SchedulerMail, lost: bool) {
        let fields = vec![("what", mail.name().into()), ("lost", u64::from(lost).into())];
        self.trace.record(self.current, "mail", store, 0, fields);
    }

    pub(super) fn on_mail(&mut self, store: u64, mail: SchedulerMail) -> Result<(), Broken> {
        self.note("mail arrives", store, 0, vec![("what", mail.name().into())]);
        let now_ms = self.clock.now().as_micros() / 1000;
        if let Some(answer) = self.scheduler.deliver(mail, now_ms) {
            self.send_order(store, answer);
        }
        // An answer is in the store's mailbox by now, or in that of a life that is over.
        self.after_step(store, &[])
    }

    /// Somebody has a region split, at a key or in the middle, and does not care about the answer.
    pub(super) fn on_operator(&mut self) -> Result<(), Broken> {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        self.current = 0;
        let interval = self.rng.within(OPERATOR_INTERVAL / 2..=OPERATOR_INTERVAL * 3 / 2);
        self.push_in(interval, Event::Operator);
        self.wishes += 1;
        if !self.gate.admits(External::Wish(self.wishes)) {
            return Ok(());
        }
        let regions = self.scheduler.regions();
        let Some(region) = self.rng.pick(&regions).cloned() else { return Ok(()) };
        let leader = self.scheduler.leader(region.id).map(|leader| leader.store_id);
        let Some(store) = leader.or_else(|| self.rng.pick(&region.peers).map(|peer| peer.store_id)) else {
            return Ok(());
        };
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let incarnation = sim_store.incarnation;
        let Some(router) = sim_store.running.as_ref().map(|running| running.parts.router.clone()) else {
            return Ok(());
        };
        let keys = self.draw_split_keys(&region);
        self.operator_calls += 1;
        let call = CallId { client: OPERATOR, call: self.operator_calls };
        self.note("split wanted", store, region.id, vec![("keys", (keys.len() as u64).into())]);
        self.outstanding.insert(call, (store, incarnation));
        let peer = region.peers.iter().find(|peer| peer.store_id == store).copied().unwrap_or_default();
        let requests = keys.into_iter().map(|split_key| SplitRequest { split_key, ..Default::default() }).collect();
        let splits = Some(BatchSplitRequest { requests, ..Default::default() });
        let request = AdminRequest { cmd_type: AdminCmdType::BatchSplit as i32, splits, ..Default::default() };
        router.admin(AdminCommand { header: header(&region, peer), request, callback: self.answers.on_admin(call) });
        self.after_step(store, &[])
    }

    /// Bounds near keys of the workload, inside the region or not; or none, which means the middle.
    fn draw_split_keys(&mut self, region: &Region) -> Vec<Bytes> {
        let all: Vec<Bytes> = self.workload.keys.iter().flatten().cloned().collect();
        let wanted = self.rng.within(0..=2);
        let mut keys: Vec<Bytes> = (0..wanted)
            .filter_map(|_| {
                let key = self.rng.pick(&all)?;
                // Keys of the last region share their first bytes: behind them only encodings of longer keys differ.
                bound_for_raw(key).filter(|bound| *bound > region.start_key)
            })
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}
