//! One member of a group, whichever implementation it is.
//!
//! The trait is what both `RawNode`s have in common, in words of neither: a message is a [`Packet`] of bytes, an entry is [`Stored`] bytes.
//! A test drives a `dyn Member` and cannot know whom it talks to.
//!
//! A member owns its disk. [`Member::ready`] puts what has to be written on it; making it durable is the driver's business.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfChangeV2, ConfState, Message, MessageType};

use crate::disk::{Disk, Image, Stored};

/// Which implementation a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// raft-core.
    Ours,
    /// The `raft` crate.
    Theirs,
}

/// How a member's Readies are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Written, synced, sent and applied before the next one is taken.
    Sync,
    /// Written in the background and reported by number.
    Async,
}

/// What a member currently is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or waits.
    Follower,
    /// Asks for votes, or whether it would get them.
    Candidate,
    /// Leads.
    Leader,
}

/// A picture of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The current term.
    pub term: u64,
    /// Whom it voted for in it.
    pub vote: u64,
    /// What it is.
    pub role: Role,
    /// The leader it knows, 0 if none.
    pub leader: u64,
    /// Its commit index.
    pub commit: u64,
    /// First index of its log.
    pub first: u64,
    /// Last index of its log.
    pub last: u64,
    /// Highest index that was reported as applied.
    pub applied: u64,
}

/// How one member is set up. Both implementations understand all of it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The member.
    pub id: u64,
    /// How its Readies are handled.
    pub form: Form,
    /// Seed of its election timeouts.
    pub seed: u64,
    /// Shortest election timeout in ticks.
    pub election_tick: usize,
    /// Ticks between heartbeats.
    pub heartbeat_tick: usize,
    /// Limit of an append message in bytes.
    pub max_size_per_msg: u64,
    /// How many appends may be on their way to one member.
    pub max_inflight_msgs: usize,
    /// Limit of the committed entries in a Ready in bytes.
    pub max_committed_size_per_ready: u64,
    /// Ask before an election.
    pub pre_vote: bool,
    /// Step down without a quorum, refuse votes while a leader is heard.
    pub check_quorum: bool,
    /// Do not send messages that only tell a commit index.
    pub skip_commit_broadcast: bool,
}

/// A message on the wire.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The sender.
    pub from: u64,
    /// The receiver.
    pub to: u64,
    /// What the message means.
    pub kind: MessageType,
    /// Its term.
    pub term: u64,
    /// Whether it is a refusal.
    pub reject: bool,
    /// The encoded message.
    pub bytes: Bytes,
}

impl Packet {
    /// A packet of the bytes that a member has encoded. The envelope is read from them.
    pub fn new(bytes: Bytes) -> Self {
        let message = Message::decode(bytes.clone()).expect("what a member sends decodes");
        Packet {
            from: message.from,
            to: message.to,
            kind: message.msg_type(),
            term: message.term,
            reject: message.reject,
            bytes,
        }
    }

    /// The message in a line, for people.
    pub fn describe(&self) -> String {
        let message = Message::decode(self.bytes.clone()).unwrap_or_default();
        let entries: Vec<(u64, u64)> = message.entries.iter().map(|entry| (entry.index, entry.term)).collect();
        format!(
            "n{} -> n{} {:?} term {} index {} log_term {} commit {} reject {} hint {} entries {entries:?}",
            self.from,
            self.to,
            self.kind,
            self.term,
            message.index,
            message.log_term,
            message.commit,
            self.reject,
            message.reject_hint
        )
    }
}

/// What a Ready asks its owner to do besides writing, which is done.
#[derive(Debug, Default)]
pub struct Work {
    /// Number of the Ready.
    pub number: u64,
    /// Whether what was written must be durable before `later` leaves.
    pub must_sync: bool,
    /// Entries that were written.
    pub entries: Vec<Stored>,
    /// A snapshot that was written.
    pub snapshot: Option<Image>,
    /// Entries to apply.
    pub committed: Vec<Stored>,
    /// Messages that may leave at once.
    pub now: Vec<Packet>,
    /// Messages that leave when this Ready and all before it are durable.
    pub later: Vec<Packet>,
    /// Reads that were confirmed: the index to wait for, and the context.
    pub reads: Vec<(u64, Vec<u8>)>,
}

/// One member.
pub trait Member {
    /// Which implementation it is.
    fn kind(&self) -> Kind;
    /// A picture of it.
    fn view(&self) -> View;
    /// The members that count for it.
    fn members(&self) -> ConfState;
    /// The term of its entry at `index`, `None` if that is compacted or not there.
    fn log_term(&self, index: u64) -> Option<u64>;
    /// Its disk.
    fn disk(&self) -> &Disk;
    /// Its disk.
    fn disk_mut(&mut self) -> &mut Disk;
    /// Takes its disk out, and forgets everything else.
    fn into_disk(self: Box<Self>) -> Disk;

    /// Time passes.
    fn tick(&mut self);
    /// A message arrives.
    fn step(&mut self, bytes: &Bytes);
    /// Campaigns, if it may.
    fn campaign(&mut self);
    /// Proposes an entry. Returns its index and term, `None` if it was refused.
    fn propose(&mut self, data: Bytes) -> Option<(u64, u64)>;
    /// Proposes a change of membership; `single` in the older form, if it is a single one. Returns its index and term.
    fn propose_change(&mut self, change: &ConfChangeV2, single: bool) -> Option<(u64, u64)>;
    /// Asks for a read. Returns false if it was refused.
    fn read(&mut self, context: Bytes) -> bool;
    /// Asks for a read at a node that need not lead: it asks its leader. Nothing may come of it.
    fn forward_read(&mut self, context: Bytes);
    /// Asks the leader for a snapshot that the log does not need. Returns false if it was refused.
    fn request_snapshot(&mut self) -> bool;
    /// Gives it another priority in elections.
    fn set_priority(&mut self, priority: i64);
    /// Asks for the leadership to be transferred.
    fn transfer(&mut self, to: u64);
    /// The transport could not reach a member.
    fn report_unreachable(&mut self, id: u64);
    /// The transport knows what became of a snapshot.
    fn report_snapshot(&mut self, id: u64, arrived: bool);

    /// The next Ready. What it writes is on the disk, in flight.
    fn ready(&mut self) -> Option<Work>;
    /// The Readies up to `number` are durable.
    fn on_persisted(&mut self, number: u64);
    /// In the synchronous form: the last Ready is dealt with. Returns what follows from that.
    fn advance(&mut self) -> Option<Work>;
    /// Whether nothing else may be asked of it while a snapshot is being written, in the asynchronous form.
    fn waits_for_snapshots(&self) -> bool;
    /// Whether, in the synchronous form, entries are applied before [`Member::advance`], which then reports them.
    fn applies_before_advance(&self) -> bool;
    /// Puts a change of membership into force, and returns the members then.
    fn apply_change(&mut self, entry: &Bytes) -> ConfState;
    /// Everything up to `index` is applied.
    fn on_applied(&mut self, index: u64);
}
