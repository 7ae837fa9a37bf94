//! stub
use bytes::Bytes;
use proto::eraftpb::Message;
use slog::Logger;
use crate::status::Status;
use crate::{Config, Raft, Ready, Result, Storage};

/// The node as its owner sees it.
pub struct RawNode<S: Storage> {
    /// The algorithm.
    pub raft: Raft<S>,
}

#[allow(missing_docs)]
impl<S: Storage> RawNode<S> {
    pub fn new(config: &Config, store: S, logger: &Logger) -> Result<Self> { Ok(RawNode { raft: Raft::new(config, store, logger)? }) }
    pub fn tick(&mut self) -> bool { todo!() }
    pub fn campaign(&mut self) -> Result<()> { todo!() }
    pub fn propose(&mut self, _context: Bytes, _data: Bytes) -> Result<(u64, u64)> { todo!() }
    pub fn step(&mut self, _message: Message) -> Result<()> { todo!() }
    pub fn read_index(&mut self, _request_ctx: Bytes) -> Result<()> { todo!() }
    pub fn has_ready(&self) -> bool { todo!() }
    pub fn ready(&mut self) -> Ready { todo!() }
    pub fn on_persisted(&mut self, _number: u64) { todo!() }
    pub fn advance(&mut self, _ready: Ready) { todo!() }
    pub fn advance_apply_to(&mut self, _index: u64) { todo!() }
    pub fn report_unreachable(&mut self, _id: u64) { todo!() }
    pub fn report_snapshot(&mut self, _id: u64, _ok: bool) { todo!() }
    pub fn status(&self) -> Status { todo!() }
    pub fn store(&self) -> &S { self.raft.store() }
    pub fn mut_store(&mut self) -> &mut S { self.raft.store_mut() }
}
