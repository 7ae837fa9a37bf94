//! Raft consensus for one group of nodes, and nothing else.
//!
//! This crate is a state machine. It starts no thread, reads no clock, opens no file and no socket, and draws its random numbers from a
//! seed: the same inputs give the same outputs, bit for bit. Its owner brings all that is missing, and drives a [`RawNode`] with five
//! kinds of input:
//!
//! | input | when |
//! |---|---|
//! | [`RawNode::tick`] | at a steady pace; elections and heartbeats are counted in ticks |
//! | [`RawNode::step`] | a message of another node has arrived |
//! | [`RawNode::propose`], [`RawNode::read_index`] | a client wants something |
//! | [`RawNode::propose_conf_change`], [`RawNode::transfer_leader`] | an operator wants something |
//! | [`RawNode::on_persisted`], [`RawNode::advance_apply_to`] | the disk or the state machine has finished something |
//!
//! What follows from them is collected in a [`Ready`]: entries and a hard state to write, messages to send, committed entries to apply,
//! reads that may be answered. The order in which this is to be done is the contract between both sides; [`ready`] has it in full. The
//! gist: **what a node says must be on its disk before it says it**, except that a leader may replicate entries while it writes them.
//!
//! # The synchronous form
//!
//! Whoever writes, sends and applies one Ready completely before taking the next one calls [`RawNode::advance`] and is done:
//!
//! ```
//! use raft_core::{Config, MemStorage, RawNode};
//!
//! let logger = slog::Logger::root(slog::Discard, slog::o!());
//! let config = Config { id: 1, seed: 7, ..Config::default() };
//! let mut node = RawNode::new(&config, MemStorage::with_voters([1]), &logger)?;
//!
//! // A group of one elects itself as soon as its time has come.
//! while !node.raft.is_leader() {
//!     node.tick();
//! }
//! let mut applied = Vec::new();
//! node.propose("".into(), "hello".into())?;
//! while node.has_ready() {
//!     let ready = node.ready();
//!     // 1. what may leave at once: send(ready.messages)
//!     // 2. write, and wait for the disk if `must_sync` says so
//!     node.mut_store().append(&ready.entries);
//!     if let Some(hard_state) = ready.hard_state {
//!         node.mut_store().set_hard_state(hard_state);
//!     }
//!     // 3. what had to wait for the disk: send(ready.persisted_messages)
//!     // 4. apply
//!     applied.extend(ready.committed_entries.iter().map(|entry| entry.data.clone()));
//!     node.advance(ready);
//! }
//! assert_eq!(applied, ["", "hello"]); // A leader's first entry is empty.
//! # Ok::<(), raft_core::Error>(())
//! ```
//!
//! # The asynchronous form
//!
//! A fast store does not wait. It takes Ready after Ready, hands the writes to a log writer that joins those of many groups into one
//! fsync, and reports by number: `on_persisted(n)` says that all Readies up to `n` are durable. Entries that are on their way stay
//! readable in memory, and if a new leader replaces them before they have arrived, the late report is believed only for what is still
//! true. Committed entries are handed out once this node itself has them on disk.
//!
//! # Where to find what
//!
//! | file | what it decides |
//! |---|---|
//! | `election.rs` | when a node stands for election, who gets a vote, who has won (project 2AA) |
//! | `replication.rs`, `log/` | what is in the log and what is committed (project 2AB) |
//! | `raw_node.rs`, `ready.rs` | what the owner has to do, and in which order (project 2AC) |
//! | `snapshot.rs` | how a node catches up when the log does not reach back far enough (project 2C) |
//! | `transfer.rs` | how a leader hands over (project 3A) |
//! | `membership/` | who belongs to the group, and how that changes (project 3A) |
//! | `prevote.rs`, `check_quorum.rs` | how a group is kept from needless elections, and from a leader that reaches nobody |
//! | `vote_commit.rs` | how a candidate learns what is committed |
//! | `priority.rs` | who should rather lead |
//! | `read_index.rs` | reads without log entries |
//! | `progress/` | how fast to send to whom |
//! | `quorum/` | who must agree: when an election is won, what is committed |
//! | `raft.rs`, `step.rs`, `validate.rs` | the state, the clock, and the way of a message to the code above |
//! | `storage.rs` | where the owner keeps the log |
//! | `config.rs` | what the owner sets, and what is refused |
//! | `status.rs`, `fingerprint.rs` | a picture of a node for people; what makes two nodes different |
//! | `error.rs`, `invariant.rs` | what can fail, and what must never |
//! | `rng.rs`, `util.rs` | random numbers from a seed; sizes of entries |
//!
//! # When something is wrong
//!
//! Nothing that comes over the network makes a node panic: what makes no sense is ignored and logged. A broken invariant does: the panic
//! names the rule (`R-ORDER`, `R-MONO`, ...) and the node. So does a storage that cannot return what it said it has.

#![deny(missing_docs)]

mod check_quorum;
mod config;
mod election;
mod error;
pub mod fingerprint;
mod invariant;
mod log;
pub mod membership;
mod prevote;
mod priority;
pub mod progress;
pub mod quorum;
mod raft;
mod raw_node;
mod read_index;
pub mod ready;
mod replication;
mod rng;
mod snapshot;
mod status;
mod step;
mod storage;
#[cfg(test)]
mod tests;
mod transfer;
mod util;
mod validate;
mod vote_commit;

pub use config::Config;
pub use error::{Error, Result};
pub use membership::{decode as decode_conf_change, is_conf_change};
pub use proto::eraftpb;
pub use raft::{Raft, Role, SoftState};
pub use raw_node::RawNode;
pub use ready::{ReadState, Ready};
pub use status::{MemberStatus, Status};
pub use storage::{MemStorage, RaftState, Storage};
pub use util::{entry_size, limit_size};
