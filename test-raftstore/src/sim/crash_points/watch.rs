//! Numbers what one store does to its disks, and lets its power fail at a number.
//!
//! Whatever changes a disk of the store (its two engines, its folder of snapshots) goes through [`Watch::around`]. While the window is open
//! each change has a number. At the number of a [`Strike`] the change is refused, or is the last one: from then on every change is refused,
//! so that the stage unwinds as it does with a failing disk, until the driver takes the store down and leaves what the strike says.
//!
//! A second strike counts what the store changes while it starts after the first one.

use std::sync::{Arc, Mutex, MutexGuard};

use super::point::{Moment, Strike, Unsynced};
use super::records::Description;
use super::rows::Mark;

/// One change of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which disk.
    pub disk: Disk,
    /// What was changed.
    pub what: Description,
    /// The event of the run in which it happened: changes of one event have no effect on others in between.
    pub event: u64,
    /// What a crash could lose just before it.
    pub before: Unsynced,
    /// What a crash could lose just after it.
    pub after: Unsynced,
}

/// A disk of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The engine of the data.
    Kv,
    /// The engine of the logs.
    Raft,
    /// The folder of snapshots.
    Files,
}

#[derive(Debug, Default)]
struct State {
    store: u64,
    /// Changes are numbered now.
    open: bool,
    /// The store is starting.
    starting: bool,
    /// Strikes still to come; the first one is next.
    strikes: Vec<Strike>,
    /// How many strikes there have been.
    lives: usize,
    /// The power has failed, and the driver does not know yet.
    struck: Option<Strike>,
    /// What was changed in the window up to the first strike; in the start after it.
    effects: [Vec<Effect>; 2],
    unsynced: Unsynced,
    event: u64,
    /// Changes of this kind are not synced, whatever the store asks for.
    loose: Option<Mark>,
}

impl State {
    /// Where a change is noted, if it has a number.
    fn list(&mut self) -> Option<&mut Vec<Effect>> {
        match (self.lives, self.open, self.starting) {
            (0, true, _) => Some(&mut self.effects[0]),
            (1, _, true) => Some(&mut self.effects[1]),
            _ => None,
        }
    }

    /// Strikes if it is due at this moment of the last change.
    fn strike(&mut self, moment: Moment) {
        let Some(number) = self.list().map(|effects| effects.len()) else { return };
        if self.strikes.first().is_some_and(|strike| strike.number == number && strike.moment == moment) {
            self.struck = Some(self.strikes.remove(0));
        }
    }
}

/// See the module. Clones watch the same store.
#[derive(Clone, Debug)]
pub struct Watch {
    state: Arc<Mutex<State>>,
}

impl Watch {
    /// Watches `store`. Its power fails at the first of `strikes`, and at the second one while it starts again.
    pub fn new(store: u64, strikes: Vec<Strike>) -> Self {
        Self { state: Arc::new(Mutex::new(State { store, strikes, ..State::default() })) }
    }

    /// The same, with a store whose disks do not sync writes of this kind: a bug that has to be noticed.
    pub fn loosened(self, loose: Option<Mark>) -> Self {
        self.state().loose = loose;
        self
    }

    /// Is this change one of those that are not synced?
    pub(in crate::sim) fn is_loose(&self, what: &Description) -> bool {
        self.state().loose.is_some_and(|loose| what.marks.contains(&loose))
    }

    /// The store.
    pub fn store(&self) -> u64 {
        self.state().store
    }

    /// Changes are numbered from here on.
    pub fn open(&self) {
        self.state().open = true;
    }

    /// Are changes numbered?
    pub(in crate::sim) fn is_open(&self) -> bool {
        self.state().open
    }

    /// Changes are not numbered any more.
    pub fn close(&self) {
        self.state().open = false;
    }

    /// What the store changed in the window, up to the first strike.
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects[0].clone()
    }

    /// What it changed in its start after the first strike, up to the second one.
    pub fn recovery(&self) -> Vec<Effect> {
        self.state().effects[1].clone()
    }

    /// Strikes that have not come.
    pub fn outstanding(&self) -> usize {
        self.state().strikes.len()
    }

    /// Changes a disk, unless the power has failed. `unsynced` tells what that disk could lose.
    ///
    /// # Errors
    /// Those of the change; `stopped` if the power has failed.
    pub fn around<T, E>(
        &self,
        disk: Disk,
        what: impl FnOnce() -> Description,
        unsynced: impl Fn(&mut Unsynced),
        change: impl FnOnce() -> Result<T, E>,
        stopped: impl Fn() -> E,
    ) -> Result<T, E> {
        {
            let mut state = self.state();
            let (before, event) = (state.unsynced, state.event);
            if state.struck.is_some() {
                return Err(stopped());
            }
            if let Some(effects) = state.list() {
                effects.push(Effect { disk, what: what(), event, before, after: before });
            }
            state.strike(Moment::Before);
            if state.struck.is_some() {
                return Err(stopped());
            }
        }
        let changed = change()?;
        let mut state = self.state();
        unsynced(&mut state.unsynced);
        let after = state.unsynced;
        if let Some(effect) = state.list().and_then(|effects| effects.last_mut()) {
            effect.after = after;
        }
        state.strike(Moment::After);
        if state.struck.is_some() { Err(stopped()) } else { Ok(changed) }
    }

    /// Has the power of this store failed, with the driver still to do what follows from it?
    pub(in crate::sim) fn is_struck(&self, store: u64) -> bool {
        let state = self.state();
        state.struck.is_some() && state.store == store
    }

    /// The driver does what follows: the disks are found as the strike says, with nothing un-synced.
    pub(in crate::sim) fn take_strike(&self) -> Option<(u64, Strike)> {
        let mut state = self.state();
        let strike = state.struck.take()?;
        state.lives += 1;
        state.unsynced = Unsynced::default();
        Some((state.store, strike))
    }

    /// An event is over.
    pub(in crate::sim) fn next_event(&self) {
        self.state().event += 1;
    }

    /// The store starts, or has started.
    pub(in crate::sim) fn set_starting(&self, starting: bool) {
        self.state().starting = starting;
    }

    /// A simulation has one thread; a poisoned lock only means that it panicked, which is reported by itself.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::point::{Image, Outage};
    use super::*;

    fn strike(number: usize, moment: Moment) -> Strike {
        Strike { number, moment, image: Image::default(), outage: Outage::default() }
    }

    /// Makes changes until one is refused; returns which were made.
    fn changes(watch: &Watch, names: &[&'static str]) -> Vec<&'static str> {
        let mut made = Vec::new();
        for name in names {
            let what = || Description { name: (*name).to_owned(), ..Description::default() };
            let change = || {
                made.push(*name);
                Ok(())
            };
            if watch.around(Disk::Kv, what, |_| (), change, || ()).is_err() {
                break;
            }
        }
        made
    }

    #[test]
    fn the_power_fails_before_or_after_a_change_of_the_window() {
        for (moment, last) in [(Moment::Before, 2), (Moment::After, 3)] {
            let watch = Watch::new(1, vec![strike(2, moment)]);
            assert_eq!(changes(&watch, &["a"]), ["a"]);
            watch.open();
            assert_eq!(changes(&watch, &["b", "c", "d"]), ["b", "c", "d"][..last - 1]);
            assert!(watch.is_struck(1) && !watch.is_struck(2));
            assert_eq!(changes(&watch, &["e"]), [""; 0], "nothing reaches a disk without power");
            assert_eq!(watch.effects().len(), 2);
            assert_eq!(watch.take_strike(), Some((1, strike(2, moment))));
            assert_eq!(changes(&watch, &["f"]), ["f"]);
            assert_eq!(watch.effects().len(), 2, "the second life is not in the window");
        }
    }

    #[test]
    fn a_second_strike_counts_the_changes_of_the_start() {
        let watch = Watch::new(1, vec![strike(1, Moment::Before), strike(2, Moment::After)]);
        watch.open();
        assert_eq!(changes(&watch, &["a"]), [""; 0]);
        watch.take_strike();
        assert_eq!(changes(&watch, &["b"]), ["b"], "the store has not started");
        watch.set_starting(true);
        assert_eq!(changes(&watch, &["c", "d", "e"]), ["c", "d"]);
        assert!(watch.is_struck(1) && watch.outstanding() == 0);
        assert_eq!(watch.recovery().len(), 2);
    }
}
