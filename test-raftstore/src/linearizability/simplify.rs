//! Settles operations of unknown outcome before the search, without changing the answer.
//!
//! An operation of unknown outcome is concurrent with everything after it, which is what makes the search expensive.
//! Two rules take nearly all of them out, and both are exact:
//!
//! - **Observed**: if a value has one writer only, and an operation that surely happened observes it, then its writer
//!   happened before the first such observer returned. The writer becomes an ordinary operation that returns there.
//! - **Unobserved**: if nothing that happened (or may have) observes the value that an unknown operation writes, then
//!   removing that operation from any order leaves an order: what stands between it and the next write observes
//!   nothing. So it is dropped.
//!
//! What stays are mostly deletes, whose "absent" everybody writes. Equal effects of unknown outcome are interchangeable
//! and none of them ever returns, so the one invoked first can stand for the next: a [`Class`] is used up in order.

use std::collections::BTreeMap;

use super::register::{ABSENT, Effect, RegisterOperation, ValueId};

/// A history of one key, ready for the search.
#[derive(Clone, Debug, Default)]
pub struct Simplified {
    /// Operations that must be ordered, by invocation. `returned` is always set.
    pub required: Vec<RegisterOperation>,
    /// Operations that may be ordered or left out, grouped by effect.
    pub optional: Vec<Class>,
}

/// Interchangeable operations of unknown outcome, by invocation.
#[derive(Clone, Debug)]
pub struct Class {
    /// What each of them does.
    pub effect: Effect,
    /// The operations.
    pub operations: Vec<RegisterOperation>,
}

/// Applies the two rules until neither changes anything.
pub fn simplify(operations: &[RegisterOperation]) -> Simplified {
    let writers = count_writers(operations);
    let (mut required, mut optional): (Vec<_>, Vec<_>) =
        operations.iter().copied().partition(|operation| operation.returned.is_some());
    optional.retain(|operation| operation.effect.writes().is_some());
    loop {
        let before = (required.len(), optional.len());
        require_observed(&mut required, &mut optional, &writers);
        drop_unobserved(&required, &mut optional);
        if before == (required.len(), optional.len()) {
            break;
        }
    }
    required.sort_by_key(|operation| operation.invoked);
    Simplified { required, optional: group(optional) }
}

fn count_writers(operations: &[RegisterOperation]) -> BTreeMap<ValueId, usize> {
    let mut writers = BTreeMap::new();
    for value in operations.iter().filter_map(|operation| operation.effect.writes()) {
        *writers.entry(value).or_insert(0) += 1;
    }
    writers
}

fn require_observed(
    required: &mut Vec<RegisterOperation>,
    optional: &mut Vec<RegisterOperation>,
    writers: &BTreeMap<ValueId, usize>,
) {
    let mut first_seen: BTreeMap<ValueId, u64> = BTreeMap::new();
    for operation in required.iter() {
        if let (Some(value), Some(returned)) = (operation.effect.observes(), operation.returned) {
            first_seen.entry(value).and_modify(|first| *first = (*first).min(returned)).or_insert(returned);
        }
    }
    optional.retain(|operation| {
        let Some(value) = operation.effect.writes() else { return true };
        let sole_writer = value != ABSENT && writers.get(&value) == Some(&1);
        match first_seen.get(&value) {
            Some(seen) if sole_writer => {
                // Observed before it was invoked: no order will be found, and the observer will be shown as the reason.
                let returned = Some((*seen).max(operation.invoked));
                required.push(RegisterOperation { returned, ..*operation });
                false
            }
            _ => true,
        }
    });
}

fn drop_unobserved(required: &[RegisterOperation], optional: &mut Vec<RegisterOperation>) {
    let observed: std::collections::BTreeSet<ValueId> =
        required.iter().chain(optional.iter()).filter_map(|operation| operation.effect.observes()).collect();
    optional.retain(|operation| {
        operation.effect.writes().is_some_and(|value| value == ABSENT || observed.contains(&value))
    });
}

fn group(mut optional: Vec<RegisterOperation>) -> Vec<Class> {
    optional.sort_by_key(|operation| operation.invoked);
    let mut classes: BTreeMap<Effect, Vec<RegisterOperation>> = BTreeMap::new();
    for operation in optional {
        classes.entry(operation.effect).or_default().push(operation);
    }
    classes.into_iter().map(|(effect, operations)| Class { effect, operations }).collect()
}
