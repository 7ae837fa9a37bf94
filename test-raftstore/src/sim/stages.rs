//! The steps of a store: tick, poll, persist, apply, delivery; and what the driver does after each.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::eraftpb::MessageType;
use proto::raft_serverpb::{PeerState, RaftMessage};
use raftstore::Engines;

use super::driver::{Broken, Simulation};
use super::event::Event;
use super::meta_check::check_restoring;
use super::options::HarnessLie;
use super::records::{Records, in_use};
use super::size_check::check_bound;
use super::store::{Polled, Running, Stores};
use crate::network::Fate;
use crate::trace::Field;
use crate::verdict::FailureKind;
use crate::view::{DiskProbe, DurableEntry, PeerKey, PeerRole, Promise, SentMessage};

/// Looks at the disks of all stores, running or not.
struct Disks<'a>(&'a Stores);

impl DiskProbe for Disks<'_> {
    fn durable_entry(&self, store: u64, region: u64, peer: u64, index: u64) -> DurableEntry {
        self.0.get(&store).map_or(DurableEntry::Missing, |store| store.durable_entry(region, peer, index))
    }
}

impl Simulation {
    /// The stages of a store, if it is still in that life.
    pub(super) fn running(&mut self, store: u64, incarnation: u64) -> Option<&mut Running> {
        let store = self.stores.get_mut(&store)?;
        if store.incarnation == incarnation { store.running.as_mut() } else { None }
    }

    /// Notes that the event being handled is this one.
    pub(super) fn note(&mut self, kind: &'static str, store: u64, region: u64, fields: Vec<(&'static str, Field)>) {
        self.current = self.trace.record(self.current, kind, store, region, fields);
    }

    pub(super) fn on_tick(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.parts.router.tick();
        self.current = 0;
        self.note("tick", store, 0, Vec::new());
        let interval = self.stores[&store].tick_micros;
        self.push_in(interval, Event::Tick { store, incarnation });
        self.after_step(store, &[])
    }

    pub(super) fn on_poll(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.poll_scheduled = false;
        let polled = match self.stores.get_mut(&store) {
            Some(sim_store) => sim_store.poll(&mut self.view),
            None => return Ok(()),
        };
        match polled {
            Ok(Some(Polled { key, observed, checked })) => {
                self.note("poll", store, key.region, Vec::new());
                checked.and_then(|()| self.check_size(key)).map_err(|(id, details)| {
                    let details = format!("store {store} region {}: {details}", key.region);
                    Broken { kind: FailureKind::Safety, id, details }
                })?;
                self.note_role(key, observed.leadership_before);
                self.after_step(store, if observed.changed { std::slice::from_ref(&key) } else { &[] })
            }
            Ok(None) => self.after_step(store, &[]),
            Err(error) => self.on_fatal(store, Failed::Raft, error),
        }
    }

    /// Notes what a peer is, if it was not so before.
    fn note_role(&mut self, key: PeerKey, before: Option<(PeerRole, u64)>) {
        let Some(peer) = self.view.peers.get(&key) else { return };
        let (role, term) = (peer.role, peer.term);
        if before == Some((role, term)) {
            return;
        }
        let name = match role {
            PeerRole::Follower => "follower",
            PeerRole::Candidate => "candidate",
            PeerRole::Leader => "leader",
        };
        let fields = vec![("peer", peer.peer.into()), ("role", name.into()), ("term", term.into())];
        self.trace.record(self.current, "role", key.store, key.region, fields);
    }

    pub(super) fn on_persist(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.persist_scheduled = false;
        let Some(writer) = &mut running.parts.log_writer else { return Ok(()) };
        match writer.round() {
            Ok(tasks) => {
                self.note("persist", store, 0, vec![("tasks", (tasks as u64).into())]);
                self.check_regions(store)?;
                self.after_step(store, &[])
            }
            Err(error) => self.on_fatal(store, Failed::LogWriter, error),
        }
    }

    pub(super) fn on_apply(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.apply_scheduled = false;
        match running.parts.apply_workers[0].round() {
            Ok(tasks) => {
                self.note("apply", store, 0, vec![("tasks", (tasks as u64).into())]);
                self.check_applied_state(store)?;
                self.after_step(store, &[])
            }
            Err(error) => self.on_fatal(store, Failed::Apply, error),
        }
    }

    pub(super) fn on_work(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.work_scheduled = false;
        match running.parts.workers[0].round() {
            Ok(tasks) => {
                self.background_tasks += tasks as u64;
                self.note("work", store, 0, vec![("tasks", (tasks as u64).into())]);
                self.check_logs_on_disk(store)?;
                self.check_applied_state(store)?;
                self.after_step(store, &[])
            }
            Err(error) => self.on_fatal(store, Failed::Worker, error),
        }
    }

    /// Looks for holes in the logs of a store.
    pub(super) fn check_logs_on_disk(&mut self, store: u64) -> Result<(), Broken> {
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let states = sim_store.region_states();
        let hole = in_use(&states).into_iter().find_map(|region| sim_store.check_log_on_disk(region.id).err());
        hole.map_or(Ok(()), |details| Err(Broken { kind: FailureKind::Safety, id: "WRITE-ORDER", details }))
    }

    /// Checks the records of a store's regions, unless they are those that were checked last. Returns them.
    fn check_regions(&mut self, store: u64) -> Result<Records, Broken> {
        let Some(sim_store) = self.stores.get_mut(&store) else { return Ok(Records::default()) };
        let states = sim_store.region_states();
        let last = sim_store.checked.replace(states.clone());
        if last.is_some_and(|last| Arc::ptr_eq(&last, &states)) {
            return Ok(states);
        }
        let broken = |id, details| Broken { kind: FailureKind::Safety, id, details };
        check_restoring(store, &states).map_err(|details| broken("S-SNAP-RANGE", details))?;
        let checked = self.region_records.check(store, &in_use(&states));
        checked.map_err(|(id, details)| broken(id, details))?;
        self.check_members(store, &states)?;
        Ok(states)
    }

    /// Checks the regions of a store, and compares its data with that of others at the same applied index.
    pub(super) fn check_applied_state(&mut self, store: u64) -> Result<(), Broken> {
        let states = self.check_regions(store)?;
        let Some(sim_store) = self.stores.get(&store) else { return Ok(()) };
        let broken = |id, details| Broken { kind: FailureKind::Safety, id, details };
        let Engines { kv, raft } = &sim_store.engines;
        // While a snapshot is being restored there is neither the old data nor the new.
        let whole = states.iter().filter(|state| state.state() == PeerState::Normal);
        for region in whole.filter_map(|state| state.region.as_ref()) {
            let checked = self.applied_states.check(store, region, kv);
            let Some(applied) = checked.map_err(|details| broken("R-APPLY-SAME", details))? else { continue };
            let checked = self.region_history.check(region, applied, raft, kv);
            checked.map_err(|(id, details)| broken(id, format!("store {store}: {details}")))?;
        }
        Ok(())
    }

    /// S-SIZE: a region is no larger than its peer believes it to be at the most.
    fn check_size(&self, key: PeerKey) -> Result<(), (&'static str, String)> {
        let Some(peer) = self.view.peers.get(&key) else { return Ok(()) };
        let (Some(bound), Some(size)) = (peer.size_bound, self.applied_states.size(key.region, peer.applied)) else {
            return Ok(());
        };
        check_bound(bound, size).map_err(|details| ("S-SIZE", format!("at index {}: {details}", peer.applied)))
    }

    pub(super) fn on_deliver(&mut self, from: u64, to: u64, message: RaftMessage) -> Result<(), Broken> {
        let region = message.region_id;
        if self.network.is_cut(from, to) {
            self.network.count_cut_under_way();
            self.note("drop", to, region, vec![("from", from.into()), ("why", "cut".into())]);
            return Ok(());
        }
        let Some(running) = self.stores.get_mut(&to).and_then(|store| store.running.as_mut()) else {
            self.note("drop", to, region, vec![("from", from.into()), ("why", "down".into())]);
            return Ok(());
        };
        running.parts.router.raft_message(message);
        self.note("deliver", to, region, vec![("from", from.into())]);
        self.after_step(to, &[])
    }

    /// Everything that follows from a step of `store`: messages leave, answers leave, stages with work are scheduled, and the
    /// invariants are checked on the peers that have changed.
    pub(super) fn after_step(&mut self, store: u64, changed: &[PeerKey]) -> Result<(), Broken> {
        self.invariants.check(&mut self.view, changed, &Disks(&self.stores))?;
        let messages = self.stores.get(&store).map(|store| store.outbox.take()).unwrap_or_default();
        for message in messages {
            self.send(store, message)?;
        }
        self.send_mail(store);
        self.pick_up_answers()?;
        self.schedule_stages(store);
        Ok(())
    }

    fn send(&mut self, from: u64, mut message: RaftMessage) -> Result<(), Broken> {
        if let Some(lie) = self.options.harness_lie {
            self.tell_lie(lie, &mut message);
        }
        let (to_peer, from_peer) = (message.to_peer.unwrap_or_default(), message.from_peer.unwrap_or_default());
        let to = to_peer.store_id;
        let Some(inner) = &message.message else {
            self.send_without_content(from, message);
            return Ok(());
        };
        let key = PeerKey { store: from, region: message.region_id };
        let kind = inner.msg_type();
        let promise = promise(kind, inner.reject, from_peer.id, to_peer.id);
        let sent = SentMessage { key, from: from_peer.id, to: to_peer.id, term: inner.term, promise };
        self.invariants.on_send(&sent)?;
        let fate = self.network.send(self.clock.now(), from, to);
        let mut fields = vec![
            ("to", to.into()),
            ("type", kind.as_str_name().into()),
            ("term", inner.term.into()),
            ("index", inner.index.into()),
            ("log_term", inner.log_term.into()),
            ("entries", (inner.entries.len() as u64).into()),
            ("commit", inner.commit.into()),
            ("reject", u64::from(inner.reject).into()),
        ];
        if kind == MessageType::MsgSnapshot {
            return self.send_snapshot(from, message, fate, fields);
        }
        match fate {
            Fate::Dropped(reason) => {
                fields.push(("lost", reason.name().into()));
                self.trace.record(self.current, "send", from, key.region, fields);
            }
            Fate::Arrives(arrivals) => {
                let cause = self.trace.record(self.current, "send", from, key.region, fields);
                for at in arrivals {
                    let event = Event::Deliver { from, to, message: Box::new(message.clone()) };
                    self.queue.push(at, super::event::Queued { cause, event });
                }
            }
        }
        Ok(())
    }

    /// A message that is not raft's: a tombstone, or a question.
    fn send_without_content(&mut self, from: u64, message: RaftMessage) {
        let to = message.to_peer.map_or(0, |peer| peer.store_id);
        let kind = if message.is_tombstone { "tombstone" } else { "check stale peer" };
        let fields = vec![("to", to.into()), ("type", kind.into())];
        let cause = self.trace.record(self.current, "send", from, message.region_id, fields);
        if let Fate::Arrives(arrivals) = self.network.send(self.clock.now(), from, to) {
            for at in arrivals {
                let event = Event::Deliver { from, to, message: Box::new(message.clone()) };
                self.queue.push(at, super::event::Queued { cause, event });
            }
        }
    }

    fn tell_lie(&mut self, lie: HarnessLie, message: &mut RaftMessage) {
        let Some(inner) = &mut message.message else { return };
        match (lie, inner.msg_type()) {
            (HarnessLie::GrantEveryVote, MessageType::MsgRequestVoteResponse) => inner.reject = false,
            (HarnessLie::AcceptEveryAppend, MessageType::MsgAppendResponse) => inner.reject = false,
            (HarnessLie::CorruptEntries, MessageType::MsgAppend) if self.crash_rng.chance(20) => {
                if let Some(entry) = inner.entries.first_mut() {
                    entry.data = Default::default();
                }
            }
            _ => {}
        }
    }

    fn schedule_stages(&mut self, store: u64) {
        let inline = !self.layout.log_writer;
        let Some(sim_store) = self.stores.get_mut(&store) else { return };
        let (incarnation, sync) = (sim_store.incarnation, sim_store.sync_micros);
        let Some(running) = &mut sim_store.running else { return };
        let mut due = Vec::new();
        if !running.poll_scheduled && !running.parts.pollers[0].ready().is_empty() {
            running.poll_scheduled = true;
            // A poller that writes for itself cannot go on before its sync is done.
            let busy = if inline { sync } else { 0 };
            due.push((busy + self.rng.within(1..=20), Event::Poll { store, incarnation }));
        }
        if let Some(writer) = &running.parts.log_writer
            && !running.persist_scheduled
            && !writer.tasks().is_empty()
        {
            running.persist_scheduled = true;
            due.push((self.rng.within(sync / 2..=sync * 3 / 2), Event::Persist { store, incarnation }));
        }
        if !running.apply_scheduled && !running.parts.apply_workers[0].tasks().is_empty() {
            running.apply_scheduled = true;
            due.push((self.rng.within(5..=500), Event::Apply { store, incarnation }));
        }
        if !running.work_scheduled && !running.parts.workers[0].tasks().is_empty() {
            running.work_scheduled = true;
            due.push((self.rng.within(100..=self.work_micros), Event::Work { store, incarnation }));
        }
        for (micros, event) in due {
            self.push_in(micros, event);
        }
    }

    /// A stage has failed. With an injected disk fault that is the end of the process: that stage does nothing more, the others
    /// go on until the store stops a little later. Without one it is a bug.
    fn on_fatal(&mut self, store: u64, stage: Failed, error: raftstore::Error) -> Result<(), Broken> {
        self.note("fatal", store, 0, vec![("stage", stage.name().into()), ("error", error.to_string().into())]);
        let struck = self.is_struck(store);
        if !is_injected(&error) && !struck {
            let details = format!("store {store}: stage {} failed: {error}", stage.name());
            return Err(Broken { kind: FailureKind::Contract, id: "STORE-ERROR", details });
        }
        let Some(sim_store) = self.stores.get_mut(&store) else { return Ok(()) };
        let incarnation = sim_store.incarnation;
        if let Some(running) = &mut sim_store.running {
            running.failing = true;
            // What counts as scheduled is not scheduled again.
            match stage {
                Failed::Raft => running.poll_scheduled = true,
                Failed::LogWriter => running.persist_scheduled = true,
                Failed::Apply => running.apply_scheduled = true,
                Failed::Worker => running.work_scheduled = true,
            }
        }
        if struck {
            return self.after_step(store, &[]); // the store goes down at the end of this event
        }
        let until_stopped = self.crash_rng.within(1..=50_000);
        self.push_in(until_stopped, Event::Die { store, incarnation });
        self.after_step(store, &[])
    }

    pub(super) fn on_die(&mut self, store: u64, incarnation: u64) -> Result<(), Broken> {
        if self.running(store, incarnation).is_none() {
            return Ok(());
        }
        let down = self.crash_rng.within(50_000..=1_000_000);
        self.crash(BTreeSet::from([store]), down)
    }
}

/// Whether an error comes from a fault of the plan.
pub(super) fn is_injected(error: &raftstore::Error) -> bool {
    matches!(error, raftstore::Error::Engine(storage::Error::Io { .. } | storage::Error::DiskFull { .. }))
}

/// Which stage has failed.
#[derive(Clone, Copy)]
enum Failed {
    Raft,
    LogWriter,
    Apply,
    Worker,
}

impl Failed {
    fn name(self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::LogWriter => "log writer",
            Self::Apply => "apply",
            Self::Worker => "background",
        }
    }
}

/// What the sender of a message can never take back.
fn promise(kind: MessageType, reject: bool, from: u64, to: u64) -> Promise {
    match kind {
        MessageType::MsgRequestVote => Promise::Vote { candidate: from },
        MessageType::MsgRequestVoteResponse if !reject => Promise::Vote { candidate: to },
        MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse => Promise::Nothing,
        _ => Promise::Term,
    }
}
