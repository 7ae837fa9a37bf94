//! Walks over a region that may be too large. Reads a snapshot and writes nothing; so it needs no order with anything else, and its
//! result is advice that the peer checks against what the region is by then.

use std::sync::Arc;

use proto::metapb::Region;
use storage::Engine;

use super::Worker;
use crate::{
    error::Result,
    message::{PeerMessage, SplitChecked},
    split::{CutPolicy, SplitLimits, check_region},
};

/// Which region is to be walked over, and what for.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitCheckTask {
    /// The region as its peer knows it.
    pub region: Arc<Region>,
    /// The number of the walk among those of the peer.
    pub walk: u64,
    /// When it is too large.
    pub limits: SplitLimits,
    /// What the walk is for.
    pub policy: CutPolicy,
}

impl<E: Engine> Worker<E> {
    pub(super) fn check_split(&self, task: &SplitCheckTask) -> Result<()> {
        let SplitCheckTask { region, walk, limits, policy } = task;
        let found = check_region(&self.engines.kv.snapshot(), region, limits, *policy)?;
        let checked = SplitChecked { walk: *walk, policy: *policy, found };
        // A region that is gone meanwhile no longer cares.
        let _ = self.router.report(region.id, PeerMessage::SplitChecked(checked));
        Ok(())
    }
}
