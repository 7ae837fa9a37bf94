//! A member with the machine around it: what takes its Readies, writes, syncs, sends and applies.
//!
//! The order is the Ready contract, in both forms. In the synchronous form a Ready is dealt with at once; in the asynchronous one its
//! write is in flight until [`Node::sync`], its held messages leave then, and its entries are applied when [`Node::apply`] comes.
//! What becomes visible is reported to the [`Rules`].
//!
//! Invariant: a node that is down has its disk and nothing else.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::Entry;

use crate::dice::Dice;
use crate::disk::{Disk, Image, Stored};
use crate::machine::Machine;
use crate::member::{Form, Kind, Member, Packet, Role, Setup, View, Work};
use crate::ours::Ours;
use crate::rules::Rules;
use crate::theirs::Theirs;

/// A running member.
pub struct Running {
    /// The member.
    pub member: Box<dyn Member>,
    form: Form,
    /// Messages that wait for a Ready to be durable.
    held: VecDeque<(u64, Vec<Packet>)>,
    to_apply: VecDeque<Stored>,
    seen: View,
    /// The last Ready for which a sync is under way.
    sync_due: u64,
    apply_due: bool,
}

/// A place in the group: running, or down with nothing but its disk.
pub struct Node {
    /// Its id.
    pub id: u64,
    /// What runs, if it is up.
    pub running: Option<Running>,
    /// The disk, if it is down.
    disk: Option<Disk>,
    /// The state machine in memory.
    pub machine: Machine,
    /// Counts the starts: what was scheduled in an earlier life is void.
    pub life: u64,
}

impl Node {
    /// A node that is down, with this disk.
    pub fn down(id: u64, disk: Disk) -> Self {
        Node { id, running: None, machine: disk.machine().clone(), disk: Some(disk), life: 0 }
    }

    /// The disk, up or down.
    pub fn disk(&self) -> &Disk {
        match (&self.running, &self.disk) {
            (Some(running), _) => running.member.disk(),
            (None, Some(disk)) => disk,
            (None, None) => panic!("n{} has lost its disk", self.id),
        }
    }

    /// A picture of the member, if it is up.
    pub fn view(&self) -> Option<View> {
        self.running.as_ref().map(|running| running.member.view())
    }

    /// True if it is up and leads.
    pub fn leads(&self) -> bool {
        self.view().is_some_and(|view| view.role == Role::Leader)
    }

    /// Starts it.
    pub fn start(&mut self, kind: Kind, setup: &Setup) {
        let disk = self.disk.take().expect("a node that is down has its disk");
        self.machine = disk.machine().clone();
        let member: Box<dyn Member> = match kind {
            Kind::Ours => Box::new(Ours::start(setup, disk)),
            Kind::Theirs => Box::new(Theirs::start(setup, disk)),
        };
        let seen = member.view();
        self.life += 1;
        let (held, to_apply) = (VecDeque::new(), VecDeque::new());
        self.running = Some(Running { member, form: setup.form, held, to_apply, seen, sync_due: 0, apply_due: false });
    }

    /// Pulls the plug: what was not synced may be lost.
    pub fn crash(&mut self, dice: &mut Dice) {
        let Some(running) = self.running.take() else { return };
        let mut disk = running.member.into_disk();
        disk.crash(dice);
        self.machine = disk.machine().clone();
        self.disk = Some(disk);
        self.life += 1;
    }

    /// Writes the state machine to disk, and makes the snapshot that was ordered.
    pub fn flush(&mut self) {
        if let Some(running) = &mut self.running {
            running.member.disk_mut().flush(&self.machine);
        }
    }

    /// Takes all Readies that are there. Returns the messages that leave now.
    pub fn poll(&mut self, rules: &mut Rules) -> Vec<Packet> {
        let mut out = Vec::new();
        while let Some(work) = self.running.as_mut().and_then(|running| running.member.ready()) {
            self.take(work, rules, &mut out);
        }
        out
    }

    /// Deals with a Ready, as far as its form allows.
    fn take(&mut self, mut work: Work, rules: &mut Rules, out: &mut Vec<Packet>) {
        self.report(&work, rules);
        let running = self.running.as_mut().expect("a Ready comes from a running member");
        out.append(&mut work.now);
        match running.form {
            Form::Sync => self.take_sync(work, rules, out),
            Form::Async => {
                running.to_apply.extend(work.committed);
                if work.snapshot.is_some() && running.member.waits_for_snapshots() {
                    running.held.push_back((work.number, work.later));
                    let packets = self.sync(work.number, rules);
                    out.extend(packets);
                    return;
                }
                // Without anything that must be durable, neither here nor before, nobody has to wait.
                if !work.must_sync && !running.member.disk().is_dirty() && running.held.is_empty() {
                    running.member.on_persisted(work.number);
                    out.extend(work.later);
                } else {
                    running.held.push_back((work.number, work.later));
                }
            }
        }
    }

    fn take_sync(&mut self, work: Work, rules: &mut Rules, out: &mut Vec<Packet>) {
        let running = self.running.as_mut().expect("a Ready comes from a running member");
        let image = if work.must_sync { running.member.disk_mut().sync(work.number) } else { None };
        out.extend(work.later);
        running.to_apply.extend(work.committed);
        if running.member.applies_before_advance() {
            self.install(image, rules);
            self.apply_queued(usize::MAX, rules);
            let light = self.running.as_mut().and_then(|running| running.member.advance());
            assert!(light.is_none(), "who applies first has nothing left over");
            return;
        }
        let light = running.member.advance().unwrap_or_default();
        out.extend(light.now);
        self.apply_queued(usize::MAX, rules);
        self.install(image, rules);
        let running = self.running.as_mut().expect("still running");
        running.to_apply.extend(light.committed);
        self.apply_queued(usize::MAX, rules);
        self.report_applied();
    }

    fn report_applied(&mut self) {
        let running = self.running.as_mut().expect("what applies is running");
        running.member.on_applied(self.machine.applied);
    }

    /// The disk reports that all writes in flight up to `number` are durable. Returns the messages that leave now.
    pub fn sync(&mut self, number: u64, rules: &mut Rules) -> Vec<Packet> {
        let Some(running) = self.running.as_mut() else { return Vec::new() };
        let image = running.member.disk_mut().sync(number);
        running.member.on_persisted(number);
        let mut out = Vec::new();
        while let Some((_, packets)) = running.held.front_mut().filter(|(at, _)| *at <= number) {
            out.append(packets);
            running.held.pop_front();
        }
        if image.is_some() {
            // What was committed before the snapshot comes before it.
            self.apply(usize::MAX, rules);
            self.install(image, rules);
            self.report_applied();
        }
        out
    }

    /// The number of a Ready whose write nobody has ordered to be synced yet; it counts as ordered from now on.
    pub fn order_sync(&mut self) -> Option<u64> {
        let running = self.running.as_mut()?;
        let number = running.held.back().map(|(number, _)| *number).filter(|number| *number > running.sync_due)?;
        running.sync_due = number;
        Some(number)
    }

    /// True if there are entries to apply and nobody has ordered that yet; it counts as ordered from now on.
    pub fn order_apply(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let order = !running.apply_due && !running.to_apply.is_empty();
        running.apply_due |= order;
        order
    }

    /// Applies up to `limit` entries of those that were handed over, and reports it.
    pub fn apply(&mut self, limit: usize, rules: &mut Rules) {
        if let Some(running) = &mut self.running {
            running.apply_due = false;
        }
        if self.apply_queued(limit, rules) > 0 {
            self.report_applied();
        }
    }

    fn apply_queued(&mut self, limit: usize, rules: &mut Rules) -> usize {
        let Some(running) = &mut self.running else { return 0 };
        // A snapshot that was taken in covers what was handed out before; its members are in force already.
        let first = running.member.view().first;
        running.to_apply.retain(|stored| stored.index >= first);
        let count = limit.min(running.to_apply.len());
        for stored in running.to_apply.drain(..count) {
            let entry = Entry::decode(stored.bytes.clone()).expect("a committed entry decodes");
            self.machine.apply(&entry);
            if entry.entry_type != 0 {
                let members = running.member.apply_change(&stored.bytes);
                self.machine.conf = Bytes::from(members.encode_to_vec());
            }
            rules.on_apply(self.id, &entry, &self.machine);
        }
        count
    }

    fn install(&mut self, image: Option<Image>, rules: &mut Rules) {
        if let Some(image) = image {
            self.machine = Machine::from_image(&image);
            rules.on_install(self.id, &image, &self.machine);
        }
    }

    /// Tells the rules what a Ready makes visible.
    fn report(&self, work: &Work, rules: &mut Rules) {
        let log = self.disk().written();
        if let Some(first) = work.entries.first() {
            let before = log.term(first.index - 1).expect("the entry in front of what is written is known");
            rules.on_write(self.id, &work.entries, before);
        }
        for (index, context) in &work.reads {
            rules.on_read_confirmed(self.id, *index, context);
        }
    }

    /// Compares with what was seen last: terms, leadership, commits. Returns true if this node committed as a leader.
    pub fn observe(&mut self, rules: &mut Rules) -> bool {
        let Some(running) = &mut self.running else { return false };
        let (before, now) = (running.seen, running.member.view());
        if before == now {
            return false;
        }
        running.seen = now;
        rules.on_move(self.id, &before, &now);
        for index in before.commit + 1..=now.commit {
            if let Some(term) = running.member.log_term(index) {
                rules.on_commit(self.id, index, term);
            }
        }
        now.role == Role::Leader && before.role == Role::Leader && before.term == now.term && now.commit > before.commit
    }
}

/// Checks that what a leader has just committed is on enough disks.
pub fn check_quorum_holds(nodes: &BTreeMap<u64, Node>, leader: u64, rules: &Rules) {
    let Some(member) = nodes.get(&leader).and_then(|node| node.running.as_ref()).map(|running| &running.member) else {
        return;
    };
    let view = member.view();
    let disks: BTreeMap<u64, &Disk> = nodes.iter().map(|(id, node)| (*id, node.disk())).collect();
    if let Some(term) = member.log_term(view.commit) {
        rules.on_leader_commit(leader, view.commit, term, &member.members(), &disks);
    }
}
