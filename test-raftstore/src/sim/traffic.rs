//! Clients' calls: on their way to a store, in it, and back.

use proto::metapb::{Peer, Region};
use raftstore::{ReadCommand, RequestHeader, WriteCommand};

use super::client::{Current, Reply, covers, read, read_from, write_request, written};
use super::client_check::{check_refusals, is_for_want_of_a_leader};
use super::driver::{Broken, Simulation};
use super::event::Event;
use super::external::External;
use super::finish::Stage;
use super::options::{HarnessLie, NOMINAL_TICK};
use super::read_check::check_read;
use super::world::{CallId, StoreAnswer};
use crate::history::{Answer, OperationId, Outcome};
use crate::verdict::FailureKind;
use crate::view::PeerRole;

/// How long a client waits for an operation, with all its attempts.
const OPERATION_TIMEOUT: u64 = 1_000_000;

impl Simulation {
    /// A client starts its next operation.
    pub(super) fn on_client_next(&mut self, id: u64) -> Result<(), Broken> {
        let drawing = self.stage.clients_draw();
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        let idle = self.options.scripted && client.work.is_none();
        if client.current.is_some() || idle || (client.script.is_none() && !drawing) {
            return Ok(());
        }
        let operation = client.next_operation(&self.workload, &self.scheduler, &self.history);
        let Some(operation) = operation else { return Ok(()) };
        if client.script.is_none() {
            client.drawn += 1;
            if !self.gate.admits(External::Operation { client: id, number: client.drawn }) {
                self.pause_client(id);
                return Ok(());
            }
        }
        let number = self.history.invoke(id, operation.clone(), self.clock.now());
        let text = operation.to_string();
        client.current = Some(Current { id: number, operation, call: 0, region: 0, refusals: 0, in_doubt: false });
        self.current = 0;
        let fields = vec![("client", id.into()), ("operation", (number as u64).into()), ("what", text.into())];
        self.note("invoke", 0, 0, fields);
        self.push_in(OPERATION_TIMEOUT, Event::Deadline { client: id, operation: number });
        self.on_client_call(id, number)
    }

    /// A client makes an attempt.
    pub(super) fn on_client_call(&mut self, id: u64, operation: OperationId) -> Result<(), Broken> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        let Some(current) = client.current.clone().filter(|current| current.id == operation) else { return Ok(()) };
        let Some(region) = client.region_of_operation(&current.operation, &self.scheduler) else {
            self.retry(id, operation, "no region known");
            return Ok(());
        };
        if !covers(&region, &current.operation) {
            // The region was split: no snapshot holds all that was to be read.
            self.complete(id, operation, Outcome::Failed);
            return Ok(());
        }
        let store = client.choose_store(&region);
        client.calls += 1;
        let call = CallId { client: id, call: client.calls };
        if let Some(current) = &mut client.current {
            current.call = call.call;
            current.region = region.id;
            // From here on until an answer says otherwise.
            current.in_doubt = true;
        }
        self.note("call", store, region.id, vec![("client", id.into()), ("call", call.call.into())]);
        if !self.client_loses() {
            let delay = self.rng.within(50..=1_000);
            self.push_in(delay, Event::Arrive { call, store, region: Box::new(region) });
        }
        Ok(())
    }

    fn client_loses(&mut self) -> bool {
        self.stage == Stage::Faults && self.rng.chance(self.client_loss_permille)
    }

    /// A call reaches its store.
    pub(super) fn on_arrive(&mut self, call: CallId, store: u64, region: &Region) -> Result<(), Broken> {
        let Some(current) = self.clients.get(&call.client).and_then(|client| client.current.clone()) else {
            return Ok(());
        };
        if current.call != call.call {
            return Ok(());
        }
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let (incarnation, data) = (sim_store.incarnation, sim_store.engines.kv.clone());
        let Some(running) = &sim_store.running else {
            return self.send_reply(
                call,
                store,
                Reply::Retry { cause: "connection refused", leader: None, regions: Vec::new() },
            );
        };
        let router = running.parts.router.clone();
        let peer = region.peers.iter().find(|peer| peer.store_id == store).copied().unwrap_or_default();
        let header = header(region, peer);
        self.note("arrive", store, region.id, vec![("client", call.client.into()), ("call", call.call.into())]);
        self.outstanding.insert(call, (store, incarnation));
        match write_request(&current.operation) {
            Some(request) => {
                let callback = self.answers.on_write(call);
                router.write(WriteCommand { header, requests: vec![request], callback });
                if self.options.harness_lie == Some(HarnessLie::AcknowledgeEarly)
                    && !matches!(current.operation, crate::history::Operation::CompareAndSwap { .. })
                {
                    self.send_reply(call, store, Reply::Done(Answer::Done))?;
                }
            }
            None if self.options.harness_lie == Some(HarnessLie::ReadLocally) => {
                self.outstanding.remove(&call);
                let answer = read_from(&current.operation, data.engine());
                self.send_reply(call, store, Reply::Done(answer))?;
            }
            None => router.read(ReadCommand { header, callback: self.answers.on_read(call) }),
        }
        self.after_step(store, &[])
    }

    /// Sends the answers that stores gave during a step back to their clients.
    pub(super) fn pick_up_answers(&mut self) -> Result<(), Broken> {
        for (call, answer) in self.answers.take() {
            let Some((store, incarnation)) = self.outstanding.remove(&call) else { continue };
            let running = self.stores.get(&store).filter(|sim_store| sim_store.incarnation == incarnation);
            let running = running.and_then(|sim_store| sim_store.running.as_ref());
            let alive = running.is_some_and(|running| !running.failing);
            if matches!(answer, StoreAnswer::Dropped) && alive {
                let details = format!(
                    "store {store} dropped the callback of call {} of client {} without calling it",
                    call.call, call.client
                );
                return Err(Broken { kind: FailureKind::Contract, id: "S-CB-ONCE", details });
            }
            if let StoreAnswer::Read(Ok(read)) = &answer {
                check_read(read).map_err(|details| {
                    let details = format!("store {store}: {details}");
                    Broken { kind: FailureKind::Safety, id: "S-READ-REGION", details }
                })?;
            }
            self.reply(call, store, answer);
        }
        Ok(())
    }

    /// Turns a store's answer into a reply and sends it.
    pub(super) fn reply(&mut self, call: CallId, store: u64, answer: StoreAnswer) {
        let current = self.clients.get(&call.client).and_then(|client| client.current.as_ref());
        let Some(current) = current.filter(|current| current.call == call.call) else { return };
        let reply = match answer {
            StoreAnswer::Written(result) => written(&current.operation, result),
            StoreAnswer::Read(result) => read(&current.operation, result),
            StoreAnswer::Admin => return,
            StoreAnswer::Dropped => Reply::InDoubt { cause: "connection broken" },
        };
        // Sending a reply changes nothing that could fail.
        let _ = self.send_reply(call, store, reply);
    }

    fn send_reply(&mut self, call: CallId, store: u64, reply: Reply) -> Result<(), Broken> {
        if !self.client_loses() {
            let delay = self.rng.within(50..=1_000);
            self.push_in(delay, Event::Reply { call, store, reply });
        }
        Ok(())
    }

    /// A reply reaches its client.
    pub(super) fn on_reply(&mut self, call: CallId, store: u64, reply: Reply) -> Result<(), Broken> {
        let Some(client) = self.clients.get_mut(&call.client) else { return Ok(()) };
        let Some(current) = client.current.as_mut().filter(|current| current.call == call.call) else { return Ok(()) };
        let operation = current.id;
        let region = current.region;
        let is_led = self.view.region(region).any(|peer| peer.role == PeerRole::Leader);
        let read_only = current.operation.is_read_only();
        client.learn(region, store, &reply);
        match reply {
            Reply::Done(answer) => self.complete(call.client, operation, Outcome::Ok(answer)),
            Reply::Retry { cause, leader, regions } => {
                let counts = is_led && !is_for_want_of_a_leader(cause, leader, &regions);
                if let Some(current) = &mut client.current {
                    current.in_doubt = false;
                    current.refusals += u32::from(counts);
                    // Answers to this call come too late from now on.
                    current.call = 0;
                }
                if self.stage == Stage::Reading {
                    check_refusals(client).map_err(|details| Broken {
                        kind: FailureKind::Stuck,
                        id: "L-CLIENT",
                        details,
                    })?;
                }
                self.retry(call.client, operation, cause);
            }
            Reply::InDoubt { cause } if read_only => self.retry(call.client, operation, cause),
            Reply::InDoubt { cause } => {
                *client.causes.entry(cause).or_default() += 1;
                self.complete(call.client, operation, Outcome::Unknown);
            }
        }
        Ok(())
    }

    fn retry(&mut self, id: u64, operation: OperationId, cause: &'static str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        *client.causes.entry(cause).or_default() += 1;
        let backoff = client.rng.within(1_000..=60_000);
        self.note("retry", 0, 0, vec![("client", id.into()), ("why", cause.into())]);
        self.push_in(backoff, Event::ClientCall { client: id, operation });
    }

    /// A client has waited long enough.
    pub(super) fn on_deadline(&mut self, id: u64, operation: OperationId) -> Result<(), Broken> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        let Some(current) = client.current.as_ref().filter(|current| current.id == operation) else { return Ok(()) };
        *client.causes.entry("timed out").or_default() += 1;
        let region = current.region;
        let outcome = if current.in_doubt { Outcome::Unknown } else { Outcome::Failed };
        client.learn(region, 0, &Reply::InDoubt { cause: "timed out" });
        self.complete(id, operation, outcome);
        Ok(())
    }

    fn complete(&mut self, id: u64, operation: OperationId, outcome: Outcome) {
        let now = self.clock.now();
        let text = outcome.to_string();
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let Some(current) = client.current.take() {
            if let Some(work) = &mut client.work {
                work.completed(&current.operation, &outcome);
            }
            if let Outcome::Ok(answer) = &outcome {
                client.remember(&current.operation, answer);
                if let Some(script) = &mut client.script {
                    script.pop_front();
                }
            }
        }
        self.history.complete(operation, outcome, now);
        let fields = vec![("client", id.into()), ("operation", (operation as u64).into()), ("outcome", text.into())];
        self.note("complete", 0, 0, fields);
        self.pause_client(id);
    }

    /// A client goes on to its next operation after a while.
    fn pause_client(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let pause = client.draw_pause(NOMINAL_TICK);
        self.push_in(pause, Event::ClientNext { client: id });
    }
}

pub(super) fn header(region: &Region, peer: Peer) -> RequestHeader {
    RequestHeader { region_id: region.id, epoch: region.region_epoch.unwrap_or_default(), peer, term: 0 }
}
