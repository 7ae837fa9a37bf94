//! What goes wrong in a cluster. Faults of one kind do not add up: each says what holds from then on.

use std::collections::BTreeSet;

use super::{Cluster, SETTLING};
use crate::network::LinkQuality;

impl Cluster {
    /// The stores of `side` and the others cannot reach each other; all other links are whole.
    pub fn partition(&mut self, side: &[u64]) {
        self.driver.partition(&side.iter().copied().collect());
    }

    /// A store that nobody reaches and that reaches nobody.
    pub fn isolate(&mut self, store: u64) {
        self.partition(&[store]);
    }

    /// All links are whole again. Loss stays as it is.
    pub fn reconnect(&mut self) {
        self.driver.partition(&BTreeSet::new());
    }

    /// Messages get lost, doubled, late and out of order: of a thousand so many are lost.
    pub fn lose_messages(&mut self, permille: u32) {
        self.driver.set_links(LinkQuality {
            drop_permille: permille,
            duplicate_permille: permille / 5,
            reorder_permille: permille / 5,
            min_delay: 50,
            max_delay: 5_000,
        });
    }

    /// A store's process ends without warning; what it had not synced may be lost.
    pub fn crash(&mut self, store: u64) {
        let step = self.driver.crash(store);
        self.must(step);
    }

    /// A store comes back, with what its disks hold.
    pub fn start_store(&mut self, store: u64) {
        let step = self.driver.start(store);
        self.must(step);
    }

    /// All stores crash, one right after the other.
    pub fn crash_all(&mut self) {
        for store in self.running() {
            self.crash(store);
        }
    }

    /// All stores that are down come back.
    pub fn start_all(&mut self) {
        for store in self.stores() {
            if !self.driver.is_running(store) {
                self.start_store(store);
            }
        }
    }

    /// Ids of the stores that run.
    pub fn running(&self) -> Vec<u64> {
        self.stores().into_iter().filter(|store| self.driver.is_running(*store)).collect()
    }

    /// All faults end: links are whole and lose nothing, all stores run.
    pub fn heal(&mut self) {
        self.driver.heal_network();
        self.start_all();
    }

    /// Waits until all replicas have applied the same and the scheduler knows all regions as they are.
    pub fn settle(&mut self) {
        self.wait("L-APPLY", "replicas have not come to the same state", SETTLING, |cluster| {
            cluster.driver.has_settled()
        });
    }
}
