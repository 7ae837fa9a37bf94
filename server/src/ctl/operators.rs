//! Members and leaders of regions: people order, the scheduler sees to it.

use std::time::{Duration, Instant};

use proto::operatorpb::{AddOperatorRequest, OperatorKind};
use proto::pdpb::OperatorStatus;

use super::{Ctl, Error, Result};

/// How long a command waits for what it has ordered.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What is wanted of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The peer on this store leads.
    TransferLeader {
        /// The store.
        store: u64,
    },
    /// This store has a peer.
    AddPeer {
        /// The store.
        store: u64,
        /// The peer has no vote.
        learner: bool,
    },
    /// This store has no peer.
    RemovePeer {
        /// The store.
        store: u64,
    },
    /// One store has a peer instead of another.
    MovePeer {
        /// The store that has one.
        from: u64,
        /// The store that gets one.
        to: u64,
    },
}

impl Ctl {
    /// Orders something at the scheduler and waits until it is done.
    ///
    /// # Errors
    /// The scheduler, which refuses what cannot be done; [`Error::NotDone`] if it was given up, replaced by another order, or takes too long: it
    /// may still be done then.
    pub async fn order(&self, region_id: u64, order: Order) -> Result<String> {
        let (kind, store_id, to_store_id) = match order {
            Order::TransferLeader { store } => (OperatorKind::TransferLeader, store, 0),
            Order::AddPeer { store, learner: false } => (OperatorKind::AddPeer, store, 0),
            Order::AddPeer { store, learner: true } => (OperatorKind::AddLearner, store, 0),
            Order::RemovePeer { store } => (OperatorKind::RemovePeer, store, 0),
            Order::MovePeer { from, to } => (OperatorKind::MovePeer, from, to),
        };
        let request = AddOperatorRequest { region_id, kind: kind as i32, store_id, to_store_id, ..Default::default() };
        let what = self.scheduler.add_operator(request).await?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (running, status) = self.scheduler.get_operator(region_id).await?;
            let status = if running == what { status } else { OperatorStatus::Replace };
            match status {
                OperatorStatus::Success => return Ok(format!("region {region_id}: {what}: done\n")),
                OperatorStatus::Running => tokio::time::sleep(PAUSE).await,
                other => return Err(Error::NotDone { what, how: name(other) }),
            }
        }
        Err(Error::NotDone { what, how: "it takes longer than a minute; `region operator` tells how it stands" })
    }

    /// What was ordered last for a region, and how it stands.
    ///
    /// # Errors
    /// The scheduler, which remembers no order for the region.
    pub async fn operator(&self, region_id: u64) -> Result<String> {
        let (what, status) = self.scheduler.get_operator(region_id).await?;
        Ok(format!("region {region_id}: {what}: {}\n", name(status)))
    }
}

fn name(status: OperatorStatus) -> &'static str {
    match status {
        OperatorStatus::Success => "done",
        OperatorStatus::Timeout => "given up after too long a time",
        OperatorStatus::Cancel => "impossible by now",
        OperatorStatus::Replace => "replaced by another order",
        OperatorStatus::Running => "under way",
    }
}
