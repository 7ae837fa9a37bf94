//! What the driver does when the power of a watched store has failed: after the event in which it did, the store is gone.
//!
//! What the store had sent and answered in that event before its last change has left it.

use super::point::{Files, Image, Outage};
use crate::sim::Simulation;
use crate::sim::options::NOMINAL_TICK;
use crate::sim::store::SimStore;

/// How long a store is down that nobody misses.
const SHORT: u64 = 3 * NOMINAL_TICK;
/// How long one is down that the others go on without: they elect a leader and serve.
const LONG: u64 = 40 * NOMINAL_TICK;

impl Simulation {
    /// Has the power of a store failed in the event that is being handled?
    pub(in crate::sim) fn is_struck(&self, store: u64) -> bool {
        self.options.watch.as_ref().is_some_and(|watch| watch.is_struck(store))
    }

    /// An event is over.
    pub(in crate::sim) fn end_event(&mut self) {
        if let Some(watch) = &self.options.watch {
            watch.next_event();
            self.strike_down();
        }
    }

    /// Takes down the store whose power has failed, if there is one.
    pub(in crate::sim) fn strike_down(&mut self) {
        let strike = self.options.watch.as_ref().and_then(super::Watch::take_strike);
        let Some((store, strike)) = strike else { return };
        let down = if strike.outage == Outage::Long { LONG } else { SHORT };
        self.power_fails(store, down, |store, _| store.crash_to(strike.image));
        if strike.outage == Outage::Everywhere {
            let running = self.stores.values().filter(|store| store.running.is_some());
            for other in running.map(|store| store.id).collect::<Vec<_>>() {
                self.power_fails(other, SHORT, |store, _| store.crash_to(Image::default()));
            }
        }
    }
}

impl SimStore {
    /// The power fails; of what was not synced this survives.
    fn crash_to(&mut self, image: Image) {
        self.stop();
        let survivors = |all: bool| if all { usize::MAX } else { 0 };
        self.engines.kv = self.engines.kv.crash_to(survivors(image.kv));
        self.engines.raft = self.engines.raft.crash_to(survivors(image.raft));
        self.snapshot_dir = match image.files {
            Files::Nothing => self.snapshot_dir.crash(0),
            Files::Names => self.snapshot_dir.crash(usize::MAX),
            Files::Everything => self.snapshot_dir.crash_late(),
        };
    }
}
