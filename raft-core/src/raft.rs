//! stub

use slog::Logger;
use crate::{Config, Result, Storage};

/// What a node currently is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// State that need not survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// The leader this node knows, 0 if none.
    pub leader_id: u64,
    /// The role of this node.
    pub role: Role,
}

/// Raft
pub struct Raft<S: Storage> {
    store: S,
}

#[allow(missing_docs)]
impl<S: Storage> Raft<S> {
    pub fn new(config: &Config, store: S, logger: &Logger) -> Result<Self> {
        let _ = (config, logger);
        Ok(Raft { store })
    }
    pub fn id(&self) -> u64 { todo!() }
    pub fn term(&self) -> u64 { todo!() }
    pub fn vote(&self) -> u64 { todo!() }
    pub fn leader_id(&self) -> u64 { todo!() }
    pub fn role(&self) -> Role { todo!() }
    pub fn is_leader(&self) -> bool { todo!() }
    pub fn committed(&self) -> u64 { todo!() }
    pub fn applied(&self) -> u64 { todo!() }
    pub fn persisted(&self) -> u64 { todo!() }
    pub fn first_index(&self) -> u64 { todo!() }
    pub fn last_index(&self) -> u64 { todo!() }
    pub fn log_term(&self, index: u64) -> Option<u64> { let _ = index; todo!() }
    pub fn pending_reads(&self) -> usize { todo!() }
    pub fn store(&self) -> &S { &self.store }
    pub fn store_mut(&mut self) -> &mut S { &mut self.store }
}
