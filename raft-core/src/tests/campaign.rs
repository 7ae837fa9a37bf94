//! Groups of three to five nodes under seeded loss, reordering, duplication, slow disks and crashes that lose what was not written.
//!
//! Each node's disk is a queue of Readies; a crash throws the unwritten ones away and starts the node again from its storage. After every
//! step the invariants of Raft's figure 3 are checked on all logs: election safety (R-ELECT), log matching (R-LOG-MATCH), leader
//! completeness (R-COMPLETE), state machine safety (R-APPLY-SAME), and that nothing goes back (R-MONO). At the end the faults stop, and
//! the group must elect a leader and commit (L-LEADER, L-COMMIT).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proto::eraftpb::{Entry, Message, MessageType};

use super::harness::logger;
use crate::rng::Rng;
use crate::{Config, MemStorage, RawNode, Ready, Storage};

/// Applied index and number of the state machine's last snapshot; both survive crashes.
struct Member {
    raw: RawNode<MemStorage>,
    /// Readies that are handed out and not written.
    disk: VecDeque<Ready>,
    /// Applied index as the state machine has it on disk.
    applied: u64,
    term: u64,
    commit: u64,
}

struct World {
    rng: Rng,
    size: u64,
    seed: u64,
    restarts: u64,
    members: BTreeMap<u64, Member>,
    wire: Vec<Message>,
    /// Leader of each term.
    leaders: BTreeMap<u64, u64>,
    /// Term and payload of each committed entry, as the first node to apply it saw it.
    history: BTreeMap<u64, (u64, Bytes)>,
    proposals: u64,
    faults: bool,
}

fn start(id: u64, seed: u64, applied: u64, storage: MemStorage) -> RawNode<MemStorage> {
    let config = Config {
        id,
        applied,
        seed,
        max_inflight_msgs: 4,
        max_size_per_msg: 100,
        max_committed_size_per_ready: 200,
        pre_vote: seed % 2 == 1,
        check_quorum: seed % 4 >= 2,
        ..Config::default()
    };
    RawNode::new(&config, storage, &logger()).expect("a storage that raft has written")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 0);
        let size = 3 + rng.below(3);
        let storage = MemStorage::with_voters(1..=size);
        let member = |id| Member {
            raw: start(id, seed, 0, storage.clone()),
            disk: VecDeque::new(),
            applied: 0,
            term: 0,
            commit: 0,
        };
        let members = (1..=size).map(|id| (id, member(id))).collect();
        World {
            rng,
            size,
            seed,
            restarts: 0,
            members,
            wire: Vec::new(),
            leaders: BTreeMap::new(),
            history: BTreeMap::new(),
            proposals: 0,
            faults: true,
        }
    }

    fn member(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).expect("a member")
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    /// Takes a Ready, sends what may leave at once, applies, and queues the rest for the disk.
    fn take_ready(&mut self, id: u64) {
        let member = self.member(id);
        if !member.raw.has_ready() {
            return;
        }
        let mut ready = member.raw.ready();
        let messages = std::mem::take(&mut ready.messages);
        let committed = std::mem::take(&mut ready.committed_entries);
        member.disk.push_back(ready);
        self.apply(id, committed);
        self.wire.extend(messages);
    }

    fn apply(&mut self, id: u64, entries: Vec<Entry>) {
        for entry in entries {
            let member = self.members.get_mut(&id).expect("a member");
            assert_eq!(
                entry.index,
                member.applied + 1,
                "R-APPLY-SAME: n{id} skips or repeats an entry, seed {}",
                self.seed
            );
            member.applied = entry.index;
            let seen = self.history.entry(entry.index).or_insert((entry.term, entry.data.clone()));
            assert_eq!(*seen, (entry.term, entry.data), "R-APPLY-SAME: n{id} at {}, seed {}", entry.index, self.seed);
        }
        let member = self.member(id);
        let applied = member.applied;
        member.raw.advance_apply_to(applied);
    }

    /// The disk finishes some of the queued writes.
    fn write_disk(&mut self, id: u64) {
        let writes = 1 + self.rng.below(3);
        let member = self.member(id);
        let mut number = 0;
        let mut messages = Vec::new();
        for _ in 0..writes {
            let Some(ready) = member.disk.pop_front() else { break };
            number = ready.number;
            write(member.raw.mut_store(), &ready);
            // The state machine takes over a snapshot together with its write.
            member.applied = member.applied.max(snapshot_index(&ready));
            messages.extend(ready.persisted_messages);
        }
        if number > 0 {
            member.raw.on_persisted(number);
            member.raw.advance_apply_to(member.applied);
        }
        self.wire.extend(messages);
    }

    /// The node dies; what it had not written is gone, except for a prefix that made it to the disk unnoticed.
    fn crash(&mut self, id: u64) {
        self.restarts += 1;
        let seed = self.seed + 1000 * self.restarts;
        let survivors = self.rng.below(3);
        let member = self.member(id);
        let mut storage = member.raw.store().clone();
        for ready in member.disk.drain(..).take(survivors as usize) {
            write(&mut storage, &ready);
            member.applied = member.applied.max(snapshot_index(&ready));
        }
        let applied = member.applied;
        member.raw = start(id, seed, applied, storage);
        (member.term, member.commit) = (0, 0);
    }

    /// One message arrives, twice, late, or never.
    fn deliver(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        let reorder = self.faults && self.chance(30);
        let position = if reorder { self.rng.below(self.wire.len() as u64) as usize } else { 0 };
        let message = self.wire.remove(position);
        let lost = self.faults && self.chance(10);
        if message.msg_type() == MessageType::MsgSnapshot {
            // The transport of snapshots always reports.
            self.member(message.from).raw.report_snapshot(message.to, !lost);
        }
        if lost {
            return;
        }
        if self.faults && self.chance(5) {
            self.wire.push(message.clone());
        }
        let member = self.member(message.to);
        member.raw.step(message).expect("members only");
    }

    fn propose(&mut self) {
        let id = 1 + self.rng.below(self.size);
        self.proposals += 1;
        let data = Bytes::from(self.proposals.to_be_bytes().to_vec());
        // Refused by all but leaders.
        drop(self.member(id).raw.propose(Bytes::new(), data));
    }

    /// A member throws away the applied beginning of its log.
    fn compact(&mut self, id: u64) {
        let member = self.member(id);
        let applied = member.applied.min(member.raw.raft.persisted());
        let store = member.raw.mut_store();
        if member.disk.iter().all(|ready| ready.snapshot.is_none())
            && applied >= store.first_index().expect("memory") + 5
        {
            store.create_snapshot(applied, Bytes::new()).expect("in the log");
            store.compact(applied - 2);
        }
    }

    fn step(&mut self) {
        let id = 1 + self.rng.below(self.size);
        match self.rng.below(100) {
            0..=3 => drop(self.member(id).raw.tick()),
            4..=7 => self.propose(),
            8..=32 => self.take_ready(id),
            33..=49 => self.write_disk(id),
            50 if self.chance(15) => self.crash(id),
            51 => self.member(id).raw.report_unreachable(1 + id % 3),
            52 => self.compact(id),
            _ => self.deliver(),
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        for (id, member) in &mut self.members {
            let raft = &member.raw.raft;
            let (term, commit) = (raft.term(), raft.committed());
            assert!(term >= member.term && commit >= member.commit, "R-MONO: n{id}, seed {seed}");
            (member.term, member.commit) = (term, commit);
            assert!(raft.applied() <= commit && commit <= raft.last_index(), "R-ORDER: n{id}, seed {seed}");
            if raft.is_leader() {
                let leader = *self.leaders.entry(term).or_insert(*id);
                assert_eq!(leader, *id, "R-ELECT: two leaders in term {term}, seed {seed}");
                for (index, (entry_term, _)) in self.history.iter().filter(|(index, _)| **index >= raft.first_index()) {
                    let own = raft.log_term(*index);
                    assert!(
                        own == Some(*entry_term) || self.leaders.keys().any(|later| *later > term),
                        "R-COMPLETE: leader n{id}@{term} has {own:?} at {index} instead of {entry_term}, seed {seed}"
                    );
                }
            }
        }
    }

    /// Logs that have the same term at an index are equal up to there.
    fn check_log_matching(&self) {
        let logs: Vec<BTreeMap<u64, (u64, Bytes)>> = self
            .members
            .values()
            .map(|member| {
                let raft = &member.raw.raft;
                let entries = raft.log.slice(raft.first_index(), raft.last_index() + 1, u64::MAX).unwrap_or_default();
                entries.into_iter().map(|e| (e.index, (e.term, e.data))).collect()
            })
            .collect();
        for (a, left) in logs.iter().enumerate() {
            for right in &logs[a + 1..] {
                let common: Vec<u64> = left.keys().filter(|i| right.contains_key(i)).copied().collect();
                let agree = common.iter().rev().find(|i| left[i].0 == right[i].0).copied().unwrap_or(0);
                for index in common.iter().filter(|i| **i <= agree) {
                    assert_eq!(left[index], right[index], "R-LOG-MATCH at {index}, seed {}", self.seed);
                }
            }
        }
    }

    /// No faults any more: everybody hears, ticks, writes and applies.
    fn heal(&mut self) {
        self.faults = false;
        let target = self.history.len() as u64;
        for _ in 0..400 {
            for id in 1..=self.size {
                self.member(id).raw.tick();
                self.take_ready(id);
                self.write_disk(id);
            }
            for _ in 0..self.wire.len() {
                self.deliver();
            }
            self.propose();
            self.check();
            if self.members.values().all(|m| m.applied > target + 5) {
                return;
            }
        }
        let stuck: Vec<String> = self.members.values().map(|m| m.raw.status().to_string()).collect();
        panic!("L-COMMIT: no progress after the faults, seed {}\n{}", self.seed, stuck.join("\n"));
    }
}

fn snapshot_index(ready: &Ready) -> u64 {
    ready.snapshot.as_ref().and_then(|s| s.metadata.as_ref()).map_or(0, |m| m.index)
}

fn write(storage: &mut MemStorage, ready: &Ready) {
    if let Some(snapshot) = &ready.snapshot {
        storage.apply_snapshot(snapshot.clone()).expect("newer");
    }
    storage.append(&ready.entries);
    if let Some(hard_state) = ready.hard_state {
        storage.set_hard_state(hard_state);
    }
}

#[test]
fn groups_survive_loss_reordering_and_crashes() {
    let (mut committed, mut elections, mut restarts) = (0, 0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        for step in 0..4000 {
            world.step();
            world.check();
            if step % 100 == 0 {
                world.check_log_matching();
            }
        }
        world.heal();
        world.check_log_matching();
        committed += world.history.len();
        elections += world.leaders.len();
        restarts += world.restarts;
    }
    println!("{committed} entries committed, {elections} terms with a leader, {restarts} crashes");
    assert!(
        committed > 6000 && elections > 400 && restarts > 1000,
        "the faults leave room for work, and the work for faults"
    );
}
