//! The depth-first search for an order of one key's operations.
//!
//! An operation may come next if no operation that is still to be ordered returned before it was invoked. Each
//! configuration is entered once (Lowe's memoisation). A read that fits the present value is taken at once and never
//! taken back: it changes nothing, so whatever order exists from here exists with that read in front.
//!
//! Two more rules leave out configurations that cannot succeed, or whose success another one shares:
//!
//! - a value with one writer never comes back, so it is not overwritten while an observer of it is still to be ordered;
//! - an operation of unknown outcome is taken only directly before one that observes what it wrote. Further ahead it
//!   could be moved there, since it never returns; before a write it could be left out.

use std::collections::{BTreeMap, HashSet};

use super::linearized_set::LinearizedSet;
use super::register::{ABSENT, Effect, ValueId};
use super::simplify::Simplified;

/// How a search ended.
#[derive(Clone, Debug)]
pub enum SearchResult {
    /// All required operations were ordered.
    Ordered {
        /// Configurations visited.
        configurations: usize,
    },
    /// No order exists.
    Stuck(Deepest),
    /// The limit was reached first.
    OverLimit {
        /// Configurations visited.
        configurations: usize,
    },
}

/// The farthest that any order came.
#[derive(Clone, Debug, Default)]
pub struct Deepest {
    /// One such order.
    pub order: Vec<Step>,
    /// The register's value after it.
    pub value: ValueId,
    /// Required operations (indices) that may come next in time, but do not fit the value or lead nowhere.
    pub next: Vec<usize>,
    required_in_order: usize,
}

/// One step of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The required operation with this index.
    Required(usize),
    /// The next unused operation of the class with this index.
    Optional {
        /// Which class.
        class: usize,
        /// Which of its operations.
        number: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    ordered: LinearizedSet,
    used: Vec<u32>,
    value: ValueId,
}

struct Frame {
    configuration: Configuration,
    ordered_count: usize,
    /// The steps that led here from the frame below.
    steps: Vec<Step>,
    /// What may come next and has not been tried.
    untried: Vec<Step>,
}

/// A search over one simplified history.
pub struct Search<'a> {
    history: &'a Simplified,
    limit: usize,
    /// The required observers of each value that has one writer.
    observers: BTreeMap<ValueId, Vec<usize>>,
    // Membership only: its order is never looked at.
    visited: HashSet<Configuration>,
    deepest: Deepest,
}

impl<'a> Search<'a> {
    /// A search that visits at most `limit` configurations.
    pub fn new(history: &'a Simplified, limit: usize) -> Self {
        let observers = observers_of_unique_values(history);
        Self { history, limit, observers, visited: HashSet::new(), deepest: Deepest::default() }
    }

    /// A search that may also overwrite values that are still to be observed. It finds no order that the other does not,
    /// but when there is none it comes farther in an order that people expect.
    pub fn for_explanation(history: &'a Simplified, limit: usize) -> Self {
        Self { observers: BTreeMap::new(), ..Self::new(history, limit) }
    }

    /// Runs it.
    pub fn run(mut self) -> SearchResult {
        let start =
            Configuration { ordered: LinearizedSet::new(), used: vec![0; self.history.optional.len()], value: ABSENT };
        let mut stack = vec![self.enter(start, 0, Vec::new())];
        while let Some(frame) = stack.last_mut() {
            if frame.ordered_count == self.history.required.len() {
                return SearchResult::Ordered { configurations: self.visited.len() };
            }
            if self.visited.len() > self.limit {
                return SearchResult::OverLimit { configurations: self.visited.len() };
            }
            let Some(step) = frame.untried.pop() else {
                self.note_dead_end(&stack);
                stack.pop();
                continue;
            };
            let ordered_count = frame.ordered_count + usize::from(matches!(step, Step::Required(_)));
            let next = self.after(&frame.configuration, step);
            if !self.visited.contains(&next) {
                let entered = self.enter(next, ordered_count, vec![step]);
                stack.push(entered);
            }
        }
        SearchResult::Stuck(self.deepest)
    }

    fn after(&self, configuration: &Configuration, step: Step) -> Configuration {
        let mut next = configuration.clone();
        let effect = match step {
            Step::Required(index) => {
                next.ordered.insert(index);
                self.history.required[index].effect
            }
            Step::Optional { class, .. } => {
                next.used[class] += 1;
                self.history.optional[class].effect
            }
        };
        next.value = effect.apply(next.value).expect("invariant: only steps that fit the value are tried");
        next
    }

    /// Takes all reads that fit, then lists what else may come next.
    fn enter(&mut self, mut configuration: Configuration, mut ordered_count: usize, mut steps: Vec<Step>) -> Frame {
        self.visited.insert(configuration.clone());
        loop {
            let (next_in_time, _) = self.next_in_time(&configuration.ordered);
            let reads: Vec<usize> = next_in_time
                .into_iter()
                .filter(|index| self.history.required[*index].effect == Effect::Read(configuration.value))
                .collect();
            if reads.is_empty() {
                break;
            }
            ordered_count += reads.len();
            for index in reads {
                configuration.ordered.insert(index);
                steps.push(Step::Required(index));
            }
        }
        let untried = self.untried(&configuration);
        Frame { configuration, ordered_count, steps, untried }
    }

    /// Steps to try, best last: first operations that return early, optional ones only when all else failed.
    fn untried(&self, configuration: &Configuration) -> Vec<Step> {
        let (next_in_time, first_return) = self.next_in_time(&configuration.ordered);
        let available = |class: usize| {
            let number = configuration.used[class] as usize;
            let operation = self.history.optional[class].operations.get(number)?;
            (operation.invoked < first_return).then_some(number)
        };
        let observed_next = |value: ValueId| {
            let required =
                next_in_time.iter().any(|index| self.history.required[*index].effect.observes() == Some(value));
            let mut classes = self.history.optional.iter().enumerate();
            required
                || classes.any(|(class, other)| other.effect.observes() == Some(value) && available(class).is_some())
        };
        let mut steps = Vec::with_capacity(next_in_time.len());
        for (class, candidates) in self.history.optional.iter().enumerate() {
            let Some(number) = available(class) else { continue };
            let after = candidates.effect.apply(configuration.value);
            let useful = after.is_some_and(|next| next != configuration.value && observed_next(next));
            if useful && self.may_leave_value(configuration, None) {
                steps.push(Step::Optional { class, number });
            }
        }
        let mut required: Vec<usize> =
            next_in_time.iter().copied().filter(|index| self.fits(configuration, *index)).collect();
        required.sort_by_key(|index| std::cmp::Reverse(self.history.required[*index].returned));
        steps.extend(required.into_iter().map(Step::Required));
        steps
    }

    fn fits(&self, configuration: &Configuration, index: usize) -> bool {
        match self.history.required[index].effect.apply(configuration.value) {
            Some(after) => after == configuration.value || self.may_leave_value(configuration, Some(index)),
            None => false,
        }
    }

    /// Whether nobody but `except` still has to observe the present value, in case it never comes back.
    fn may_leave_value(&self, configuration: &Configuration, except: Option<usize>) -> bool {
        self.observers.get(&configuration.value).is_none_or(|observers| {
            observers.iter().all(|index| Some(*index) == except || configuration.ordered.contains(*index))
        })
    }

    /// Required operations that nothing unordered precedes, and the earliest return among all unordered ones.
    fn next_in_time(&self, ordered: &LinearizedSet) -> (Vec<usize>, u64) {
        let mut found = Vec::new();
        let mut first_return = u64::MAX;
        let first = ordered.first_missing();
        for (index, operation) in self.history.required.iter().enumerate().skip(first) {
            // Sorted by invocation: all that follow are invoked, and so return, later still.
            if operation.invoked > first_return {
                break;
            }
            if !ordered.contains(index) {
                first_return = first_return.min(operation.returned.unwrap_or(u64::MAX));
                found.push(index);
            }
        }
        (found, first_return)
    }

    fn note_dead_end(&mut self, stack: &[Frame]) {
        let Some(top) = stack.last() else { return };
        let deeper = top.ordered_count > self.deepest.required_in_order || self.deepest.next.is_empty();
        if !deeper {
            return;
        }
        let order = stack.iter().flat_map(|frame| frame.steps.iter().copied()).collect();
        let (next, _) = self.next_in_time(&top.configuration.ordered);
        self.deepest = Deepest { order, value: top.configuration.value, next, required_in_order: top.ordered_count };
    }
}

fn observers_of_unique_values(history: &Simplified) -> BTreeMap<ValueId, Vec<usize>> {
    let mut writers: BTreeMap<ValueId, usize> = BTreeMap::new();
    let optional = history.optional.iter().flat_map(|class| &class.operations);
    for value in history.required.iter().chain(optional).filter_map(|operation| operation.effect.writes()) {
        *writers.entry(value).or_default() += 1;
    }
    let mut observers: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
    for (index, operation) in history.required.iter().enumerate() {
        let unique = |value: &ValueId| *value != ABSENT && writers.get(value) == Some(&1);
        if let Some(value) = operation.effect.observes().filter(unique) {
            observers.entry(value).or_default().push(index);
        }
    }
    observers
}
