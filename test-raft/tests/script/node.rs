//! One node of a scenario: a [`RawNode`] with a disk and a state machine, both of which can be made to wait.
//!
//! Everything that happens to the node goes through [`Node::work`], which does what the Readies ask for and writes down, as
//! [`Event`]s, what has changed since the last time.

use std::collections::{BTreeMap, VecDeque};

use raft_core::eraftpb::{Entry, EntryType, HardState, Message, Snapshot};
use raft_core::{Config, MemStorage, RawNode, Ready, Result, decode_conf_change, is_conf_change};

use super::notation;
use super::tell::Told;

/// Something to be told, in order.
pub enum Event {
    /// A line of output.
    Line(String),
    /// A message that leaves the node. What becomes of it is the network's affair.
    Send(Box<Envelope>),
}

impl Event {
    fn send(envelope: Envelope) -> Self {
        Event::Send(Box::new(envelope))
    }
}

/// A message with its sender and the term that one was in. The message itself may say something else: a pre-vote speaks of a later term,
/// and a request for a transfer that is passed on names the target.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub sender: u64,
    pub sender_term: u64,
    pub message: Message,
}

/// What a scenario wants to see besides the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show {
    /// Writes, also those of a fast disk.
    pub disk: bool,
    /// How a leader sees its followers.
    pub progress: bool,
}

/// A key-value store without keys: it remembers the payloads in the order in which they were applied.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub applied: u64,
    pub values: Vec<String>,
}

/// A Ready whose write is not durable yet.
struct Write {
    number: u64,
    /// False if nothing is to be written: only the messages wait, for the writes before.
    is_write: bool,
    hard_state: Option<HardState>,
    entries: Vec<Entry>,
    snapshot: Option<Box<Snapshot>>,
    messages: Vec<Envelope>,
}

/// Running, or what it left on its disk.
enum Life {
    Up(Box<RawNode<MemStorage>>),
    Down(Box<MemStorage>),
}

/// One node; see the module.
pub struct Node {
    pub id: u64,
    pub show: Show,
    pub disk_waits: bool,
    pub apply_waits: bool,
    pub machine: Machine,
    /// The log as the Readies have told it, so that entries can be named by their payload.
    pub log: BTreeMap<u64, Entry>,
    config: Config,
    life: Life,
    pub(super) told: Told,
    writes: VecDeque<Write>,
    to_apply: VecDeque<Entry>,
}

impl Node {
    /// A node that starts on this disk. Its state machine has applied what is committed there.
    pub fn start(config: Config, store: MemStorage) -> Result<Self> {
        let commit = store.hard_state().commit;
        let mut node = Node {
            id: config.id,
            show: Show::default(),
            disk_waits: false,
            apply_waits: false,
            machine: Machine { applied: commit, values: Vec::new() },
            log: BTreeMap::new(),
            config,
            life: Life::Down(Box::new(store)),
            told: Told::default(),
            writes: VecDeque::new(),
            to_apply: VecDeque::new(),
        };
        node.restart()?;
        node.machine.values = node.log.range(..=commit).filter_map(|(_, entry)| payload(entry)).collect();
        Ok(node)
    }

    /// Starts the node on what its disk holds. The state machine has not forgotten anything.
    pub fn restart(&mut self) -> Result<()> {
        let Life::Down(store) = &self.life else { return Ok(()) };
        let config = Config { applied: self.machine.applied, ..self.config.clone() };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, (**store).clone(), &logger)?;
        self.log = store.all_entries().iter().map(|entry| (entry.index, entry.clone())).collect();
        self.told = Told {
            term: raw.raft.term(),
            vote: raw.raft.vote(),
            committed: raw.raft.committed(),
            members: raw.raft.tracker().conf_state(),
            ..Told::default()
        };
        self.life = Life::Up(Box::new(raw));
        Ok(())
    }

    /// Stops the node at once. Of the writes that wait, the first `kept` reach the disk all the same; their messages are never sent.
    /// Returns the numbers of the others.
    pub fn crash(&mut self, kept: usize) -> Vec<u64> {
        let Life::Up(raw) = &self.life else { return Vec::new() };
        let mut store = raw.store().clone();
        let mut lost = Vec::new();
        for (position, write) in self.writes.drain(..).filter(|write| write.is_write).enumerate() {
            if position < kept {
                put(&mut store, &write);
            } else {
                lost.push(write.number);
            }
        }
        self.to_apply.clear();
        self.life = Life::Down(Box::new(store));
        lost
    }

    /// The running node.
    pub fn raw(&self) -> Option<&RawNode<MemStorage>> {
        match &self.life {
            Life::Up(raw) => Some(raw),
            Life::Down(_) => None,
        }
    }

    /// The running node.
    pub fn raw_mut(&mut self) -> Option<&mut RawNode<MemStorage>> {
        match &mut self.life {
            Life::Up(raw) => Some(raw),
            Life::Down(_) => None,
        }
    }

    /// `n1@2`; without a term while the node is down.
    pub fn name(&self) -> String {
        match &self.life {
            Life::Up(raw) => format!("n{}@{}", self.id, raw.raft.term()),
            Life::Down(_) => format!("n{}", self.id),
        }
    }

    /// Does everything that the node wants done, and tells what has changed.
    pub fn work(&mut self, out: &mut Vec<Event>) {
        let committed = self.told.committed;
        while let Some(ready) = self.raw_mut().and_then(|raw| raw.has_ready().then(|| raw.ready())) {
            self.tell_state(out);
            self.tell_log(&ready, out);
            self.tell_commit(out);
            self.process(ready, committed, out);
        }
        self.tell_state(out);
        self.tell_unapplied(committed, out);
        self.tell_progress(out);
    }

    /// One Ready, in the order that the contract asks for.
    fn process(&mut self, mut ready: Ready, committed_before: u64, out: &mut Vec<Event>) {
        let messages = std::mem::take(&mut ready.messages);
        out.extend(self.sealed(messages).into_iter().map(Event::send));
        for read in &ready.read_states {
            let context = String::from_utf8_lossy(&read.request_ctx).into_owned();
            self.line(out, &format!("may answer read {context:?} at index {}", read.index));
        }
        for context in &ready.dropped_reads {
            self.line(out, &format!("gives up read {:?}", String::from_utf8_lossy(context)));
        }
        let committed_entries = std::mem::take(&mut ready.committed_entries);
        self.write(ready, out);
        self.to_apply.extend(committed_entries);
        if !self.apply_waits {
            self.apply(usize::MAX, committed_before, out);
        }
    }

    fn write(&mut self, ready: Ready, out: &mut Vec<Event>) {
        let is_write = ready.has_write();
        let old = self.writes.iter().rev().find_map(|w| w.hard_state).or(self.raw().map(|r| *r.store().hard_state()));
        let (old, new) = (old.unwrap_or_default(), ready.hard_state);
        let content = notation::write(&old, new.as_ref(), &ready.entries, ready.snapshot.as_deref());
        let write = Write {
            number: ready.number,
            is_write,
            hard_state: ready.hard_state,
            entries: ready.entries,
            snapshot: ready.snapshot,
            messages: self.sealed(ready.persisted_messages),
        };
        if self.disk_waits && (is_write || !self.writes.is_empty()) {
            if is_write {
                self.line(out, &format!("begins write {}: {content}", write.number));
            }
            for Envelope { message, .. } in &write.messages {
                self.line(out, &format!("holds back for n{}: {}", message.to, notation::message(message)));
            }
            self.writes.push_back(write);
        } else {
            if is_write && self.show.disk {
                let lazily = if ready.must_sync { "" } else { " lazily" };
                self.line(out, &format!("writes{lazily} {content}"));
            }
            self.writes.push_back(write);
            self.make_durable(1, out);
        }
    }

    /// The first `count` waiting writes become durable, with what waits for them only.
    pub fn finish_writes(&mut self, count: usize, out: &mut Vec<Event>) {
        let mut upto = 0;
        let mut writes = 0;
        for write in &self.writes {
            writes += usize::from(write.is_write);
            if writes > count {
                break;
            }
            if write.is_write {
                self.line(out, &format!("write {} is on disk", write.number));
            }
            upto += 1;
        }
        self.make_durable(upto, out);
        self.work(out);
    }

    /// Writes the first `count` of the waiting Readies, reports them by the number of the last, and sends what had to wait.
    fn make_durable(&mut self, count: usize, out: &mut Vec<Event>) {
        let done: Vec<Write> = self.writes.drain(..count).collect();
        let Life::Up(raw) = &mut self.life else { return };
        for write in &done {
            put(raw.mut_store(), write);
        }
        if let Some(last) = done.last() {
            raw.on_persisted(last.number);
        }
        for write in done {
            if let Some(received) = &write.snapshot {
                self.restore(received, out);
            }
            out.extend(write.messages.into_iter().map(Event::send));
        }
    }

    fn restore(&mut self, received: &Snapshot, out: &mut Vec<Event>) {
        let index = received.metadata.as_ref().map_or(0, |metadata| metadata.index);
        let values = String::from_utf8_lossy(&received.data);
        let values = values.split_whitespace().map(str::to_owned).collect();
        self.machine = Machine { applied: index, values };
        self.line(out, &format!("restores snapshot {}", notation::snapshot(received)));
        if let Some(raw) = self.raw_mut() {
            raw.advance_apply_to(index);
        }
    }

    /// Applies up to `count` of the entries that wait for it. Those up to `untold` were committed earlier, so they are named here.
    pub fn apply(&mut self, count: usize, untold: u64, out: &mut Vec<Event>) {
        let mut late = Vec::new();
        for _ in 0..count.min(self.to_apply.len()) {
            let Some(entry) = self.to_apply.pop_front() else { break };
            self.machine.values.extend(payload(&entry));
            if is_conf_change(&entry) {
                self.apply_conf_change(&entry, out);
            }
            self.machine.applied = entry.index;
            if let Some(raw) = self.raw_mut() {
                raw.advance_apply_to(entry.index);
            }
            if entry.index <= untold {
                late.push(entry);
            }
        }
        if !late.is_empty() {
            self.line(out, &format!("applies {}", notation::entries(&late)));
        }
    }

    /// Every node that applies the entry changes its members, or meets the same error and changes nothing.
    fn apply_conf_change(&mut self, entry: &Entry, out: &mut Vec<Event>) {
        let Life::Up(raw) = &mut self.life else { return };
        match decode_conf_change(entry).and_then(|change| raw.apply_conf_change(change)) {
            Ok(members) => raw.mut_store().set_conf_state(members),
            Err(error) => self.line(out, &format!("cannot apply {}: {error}", notation::entry(entry))),
        }
    }

    /// Makes a snapshot of the state machine as it is.
    pub fn make_snapshot(&mut self) -> Result<Option<Snapshot>> {
        let (applied, data) = (self.machine.applied, self.machine.values.join(" "));
        match self.raw_mut() {
            Some(raw) => raw.mut_store().create_snapshot(applied, data.into()).map(Some),
            None => Ok(None),
        }
    }

    /// Drops the log up to `index`, as far as it is applied. Returns the last index that is gone.
    pub fn compact(&mut self, index: u64) -> u64 {
        let index = index.min(self.machine.applied);
        if let Some(raw) = self.raw_mut() {
            raw.mut_store().compact(index);
        }
        self.log.retain(|at, _| *at > index);
        index
    }

    /// Messages with the term in which they were written, which may be over when they leave.
    fn sealed(&self, messages: Vec<Message>) -> Vec<Envelope> {
        let (sender, sender_term) = (self.id, self.told.term);
        messages.into_iter().map(|message| Envelope { sender, sender_term, message }).collect()
    }

    /// Adds a line about this node.
    pub fn line(&self, out: &mut Vec<Event>, text: &str) {
        out.push(Event::Line(format!("{} {text}", self.name())));
    }
}

/// How a leader sees one follower: `replicate match=3 next=5 inflight=1 paused`.
pub fn describe(member: &raft_core::MemberStatus) -> String {
    let mut text = format!("{} match={} next={}", member.state, member.matched, member.next);
    if member.inflight > 0 {
        text += &format!(" inflight={}", member.inflight);
    }
    if member.paused {
        text += " paused";
    }
    text
}

fn put(store: &mut MemStorage, write: &Write) {
    if let Some(snapshot) = write.snapshot.as_deref() {
        store.apply_snapshot(snapshot.clone()).expect("a snapshot that raft has taken in");
    }
    store.append(&write.entries);
    if let Some(hard_state) = write.hard_state {
        store.set_hard_state(hard_state);
    }
}

fn payload(entry: &Entry) -> Option<String> {
    let is_command = entry.entry_type() == EntryType::EntryNormal && !entry.data.is_empty();
    is_command.then(|| String::from_utf8_lossy(&entry.data).into_owned())
}
