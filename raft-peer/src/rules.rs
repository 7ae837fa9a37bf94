//! What must hold in every group, whoever its members are.
//!
//! One [`Rules`] watches one run and is told everything that becomes visible: what is written, committed, sent and applied. A broken rule
//! panics with its name.
//!
//! | rule | meaning |
//! |---|---|
//! | R-ELECT | at most one leader a term |
//! | R-VOTE | a node gives one vote a term, whatever crashes in between |
//! | R-MATCH | entries with the same index and term are equal, and so are those before them |
//! | R-COMMIT | at each index one entry is committed, for everybody and for ever |
//! | R-QUORUM | what a leader commits is on the durable disks of a quorum of its voters |
//! | R-APPLY | committed entries are applied in order, each once |
//! | R-ONCE | a proposal is applied at most once, and where it was promised to be |
//! | R-MONO | terms and commit indices of a running node never go back |
//! | R-READ | a read sees everything that was committed when it was asked for |

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfState, Entry, MessageType};

use crate::dice::{fold, fold_bytes};
use crate::disk::{Disk, Image, Stored};
use crate::machine::Machine;
use crate::member::{Packet, Role, View};

/// The memory of one run.
#[derive(Default)]
pub struct Rules {
    leaders: BTreeMap<u64, u64>,
    /// (term, voter) -> candidate.
    votes: BTreeMap<(u64, u64), u64>,
    /// (index, term) -> (term of the entry in front, hash of the entry).
    entries: BTreeMap<(u64, u64), (u64, u64)>,
    /// index -> term.
    committed: BTreeMap<u64, u64>,
    /// index -> chain of the state machine.
    chains: BTreeMap<u64, u64>,
    /// Payload of a proposal -> where it was applied.
    applied: BTreeMap<Bytes, u64>,
    /// Payload of a proposal -> where it was promised to be.
    promised: BTreeMap<Bytes, (u64, u64)>,
    /// Context of a read -> the highest commit index when it was asked for.
    reads: BTreeMap<Vec<u8>, u64>,
    /// The same for reads that were asked through the leader: the network may double request and answer.
    forwarded_reads: BTreeMap<Vec<u8>, u64>,
    answered_reads: u64,
    answered_forwarded_reads: u64,
}

impl Rules {
    /// The state that the founding members share is committed.
    pub fn founded(machine: &Machine) -> Self {
        let mut rules = Rules::default();
        rules.committed.insert(machine.applied, machine.term);
        rules.chains.insert(machine.applied, machine.chain);
        rules
    }

    /// The highest index that anybody has committed.
    pub fn highest_commit(&self) -> u64 {
        self.committed.keys().next_back().copied().unwrap_or(0)
    }

    /// The term of the entry that is committed at `index`.
    pub fn committed_term(&self, index: u64) -> Option<u64> {
        self.committed.get(&index).copied()
    }

    /// How many reads were answered.
    pub fn answered_reads(&self) -> u64 {
        self.answered_reads
    }

    /// A node has moved from `before` to `now`.
    pub fn on_move(&mut self, id: u64, before: &View, now: &View) {
        assert!(now.term >= before.term, "R-MONO: n{id} went from term {} to {}", before.term, now.term);
        assert!(now.commit >= before.commit, "R-MONO: n{id} went from commit {} to {}", before.commit, now.commit);
        assert!(
            now.commit <= now.last,
            "R-MONO: n{id} has committed {} of a log that ends at {}",
            now.commit,
            now.last
        );
        if now.role == Role::Leader {
            let leader = *self.leaders.entry(now.term).or_insert(id);
            assert_eq!(leader, id, "R-ELECT: two leaders in term {}", now.term);
        }
    }

    /// A node holds the entry (`index`, `term`) to be committed.
    pub fn on_commit(&mut self, id: u64, index: u64, term: u64) {
        let known = *self.committed.entry(index).or_insert(term);
        assert_eq!(known, term, "R-COMMIT: n{id} commits another entry at {index} than others");
    }

    /// A leader has committed up to `index`; `disks` are all disks of the run.
    pub fn on_leader_commit(&self, id: u64, index: u64, term: u64, members: &ConfState, disks: &BTreeMap<u64, &Disk>) {
        let holds = |voter: &&u64| {
            let Some(log) = disks.get(voter).map(|disk| disk.durable()) else { return false };
            log.truncated.0 > index || log.term(index) == Ok(term)
        };
        for half in [&members.voters, &members.voters_outgoing].into_iter().filter(|half| !half.is_empty()) {
            let have = half.iter().filter(holds).count();
            assert!(
                have > half.len() / 2,
                "R-QUORUM: n{id} commits {index} of term {term}, which {have} of {half:?} have on disk"
            );
        }
    }

    /// A node writes entries; `before` is the term of the entry in front of the first one.
    pub fn on_write(&mut self, id: u64, entries: &[Stored], mut before: u64) {
        for stored in entries {
            let entry = Entry::decode(stored.bytes.clone()).expect("a stored entry decodes");
            let head = fold(entry.entry_type as u64, entry.index);
            let hash = fold_bytes(fold_bytes(head, &entry.data), &entry.context);
            let known = *self.entries.entry((stored.index, stored.term)).or_insert((before, hash));
            assert_eq!(
                known,
                (before, hash),
                "R-MATCH: n{id} has another entry {} of term {}",
                stored.index,
                stored.term
            );
            before = stored.term;
        }
    }

    /// A node sends a message: it may be a vote.
    pub fn on_send(&mut self, packet: &Packet) {
        let (voter, candidate) = (packet.from, packet.to);
        let candidate = match packet.kind {
            MessageType::MsgRequestVoteResponse if !packet.reject => candidate,
            MessageType::MsgRequestVote => voter,
            _ => return,
        };
        let first = *self.votes.entry((packet.term, voter)).or_insert(candidate);
        assert_eq!(first, candidate, "R-VOTE: n{voter} votes twice in term {}", packet.term);
    }

    /// A proposal was accepted.
    pub fn on_promise(&mut self, payload: Bytes, at: (u64, u64)) {
        self.promised.insert(payload, at);
    }

    /// A node has applied an entry, and is at `machine` now.
    pub fn on_apply(&mut self, id: u64, entry: &Entry, machine: &Machine) {
        self.on_commit(id, entry.index, entry.term);
        self.check_chain(id, machine);
        if entry.data.is_empty() || entry.entry_type != 0 {
            return;
        }
        let at = *self.applied.entry(entry.data.clone()).or_insert(entry.index);
        assert_eq!(at, entry.index, "R-ONCE: n{id} applies a proposal again");
        let promised = self.promised.get(&entry.data).copied();
        assert_eq!(
            promised,
            Some((entry.index, entry.term)),
            "R-ONCE: n{id} applies a proposal where it was not promised"
        );
    }

    /// A node has installed a snapshot.
    pub fn on_install(&mut self, id: u64, image: &Image, machine: &Machine) {
        self.on_commit(id, image.index, image.term);
        self.check_chain(id, machine);
    }

    fn check_chain(&mut self, id: u64, machine: &Machine) {
        let chain = *self.chains.entry(machine.applied).or_insert(machine.chain);
        assert_eq!(chain, machine.chain, "R-APPLY: n{id} is in another state at {} than others", machine.applied);
    }

    /// How many answers came to reads that were asked through the leader.
    pub fn answered_forwarded_reads(&self) -> u64 {
        self.answered_forwarded_reads
    }

    /// A read was asked for through the leader.
    pub fn on_forwarded_read(&mut self, context: &[u8]) {
        let floor = self.highest_commit();
        self.forwarded_reads.insert(context.to_vec(), floor);
    }

    /// A read was asked for.
    pub fn on_read(&mut self, context: &[u8]) {
        let floor = self.highest_commit();
        self.reads.insert(context.to_vec(), floor);
    }

    /// A read may be answered once `index` is applied.
    pub fn on_read_confirmed(&mut self, id: u64, index: u64, context: &[u8]) {
        let forwarded = self.forwarded_reads.get(context).copied();
        self.answered_reads += u64::from(forwarded.is_none());
        self.answered_forwarded_reads += u64::from(forwarded.is_some());
        let floor = forwarded.or_else(|| self.reads.remove(context));
        assert!(floor.is_some(), "R-READ: n{id} answers a read that nobody asked for, or answers it twice");
        assert!(floor <= Some(index), "R-READ: n{id} answers a read at {index}, but {floor:?} was committed before it");
    }
}
