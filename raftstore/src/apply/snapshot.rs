//! Takes the engine snapshot from which a region's snapshot is made. Here, because only behind everything that waits to be applied
//! do data, region state and applied index belong together.

use storage::Engine;

use super::ApplyWorker;
use crate::{
    error::Result,
    message::{PeerMessage, SnapshotRequest},
    worker::{GenerateTask, Task},
};

impl<E: Engine> ApplyWorker<E> {
    pub(super) fn start_snapshot(&mut self, request: SnapshotRequest) -> Result<()> {
        let SnapshotRequest { region_id, ticket, applied, term } = request;
        if ticket.is_cancelled() {
            self.metrics.snapshots_cancelled.inc();
            return Ok(());
        }
        // lab:begin 2C apply::start_snapshot  hint="what lies in the engine, and what does the applied index say? the term is the entry's, not today's"
        self.flush()?;
        let Some(region) = self.take(region_id)? else { return Ok(()) };
        let index = region.state.applied_index;
        // Of an entry that was applied before the last start only the peer knows the term.
        let term = region.term.or_else(|| (index == applied && term > 0).then_some(term));
        match term {
            Some(term) => {
                ticket.set_index(index);
                let (snapshot, region) = (self.kv.snapshot(), region.region.clone());
                let task = GenerateTask { snapshot, region, index, term, ticket };
                // A store that stops has no workers left.
                let _ = self.background.send(Task::Generate(Box::new(task)));
            }
            None => {
                let _ = self.router.report(region_id, PeerMessage::SnapshotGenerated { ticket, snapshot: None });
            }
        }
        self.regions.insert(region_id, region);
        Ok(())
        // lab:end
    }
}
