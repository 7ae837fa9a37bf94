//! Why a history was refused, in a few lines.
//!
//! Linearizability is closed under prefixes, so there is a first completion that makes a history illegal. The
//! explanation is about the history up to there: nothing later can be to blame.

use std::fmt;

use bytes::Bytes;

use super::register::{Effect, RegisterOperation, Values};
use super::search::{Search, SearchResult, Step};
use super::simplify::{Simplified, simplify};
use crate::history::{History, OperationId, Record, text};

/// How many operations of the longest order are printed.
const SHOWN: usize = 8;

/// How many configurations a readable explanation may cost.
const EXPLANATION_LIMIT: usize = 50_000;

/// The shortest refused prefix of one key's history.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The key.
    pub key: Bytes,
    /// The operation whose completion made the history illegal.
    pub culprit: Option<OperationId>,
    /// One of the longest orders that respect the register and real time: one possible order, not what happened.
    pub longest_order: Vec<OperationId>,
    /// What the key holds after that order (`None`: absent).
    pub value: Option<Bytes>,
    /// The operations that would have to come next and cannot: each with its reason.
    pub stuck: Vec<(OperationId, String)>,
    lines: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().enumerate().try_for_each(|(number, line)| {
            let separator = if number == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{line}")
        })
    }
}

/// Explains why the `operations` of `key` have no order.
pub(super) fn explain(
    history: &History,
    key: &Bytes,
    operations: &[RegisterOperation],
    values: &Values,
    limit: usize,
) -> Explanation {
    let (culprit, prefix) = shortest_refused_prefix(operations, limit);
    let simplified = simplify(&prefix);
    let searches = [Search::for_explanation(&simplified, EXPLANATION_LIMIT), Search::new(&simplified, limit)];
    let deepest = searches.into_iter().find_map(|search| match search.run() {
        SearchResult::Stuck(deepest) => Some(deepest),
        SearchResult::Ordered { .. } | SearchResult::OverLimit { .. } => None,
    });
    let deepest = deepest.unwrap_or_default();
    let longest_order = deepest.order.iter().map(|step| source(&simplified, *step)).collect();
    let value = values.value(deepest.value).cloned();
    let held = shown(value.as_ref());
    let stuck = deepest
        .next
        .iter()
        .map(|index| {
            let operation = &simplified.required[*index];
            (operation.source, reason(operation.effect, deepest.value, values, &held))
        })
        .collect();
    let mut explanation = Explanation { key: key.clone(), culprit, longest_order, value, stuck, lines: Vec::new() };
    explanation.lines = lines(&explanation, history, &held);
    explanation
}

/// Cuts the history after the first completion that makes it illegal.
fn shortest_refused_prefix(
    operations: &[RegisterOperation],
    limit: usize,
) -> (Option<OperationId>, Vec<RegisterOperation>) {
    let mut returns: Vec<(u64, OperationId)> =
        operations.iter().filter_map(|operation| Some((operation.returned?, operation.source))).collect();
    returns.sort_unstable();
    let first = returns.partition_point(|(stamp, _)| {
        let simplified = simplify(&up_to(operations, *stamp));
        !matches!(Search::new(&simplified, limit).run(), SearchResult::Stuck(_))
    });
    match returns.get(first) {
        Some((stamp, culprit)) => (Some(*culprit), up_to(operations, *stamp)),
        None => (None, operations.to_vec()),
    }
}

fn up_to(operations: &[RegisterOperation], stamp: u64) -> Vec<RegisterOperation> {
    operations
        .iter()
        .filter(|operation| operation.invoked <= stamp)
        .map(|operation| RegisterOperation {
            returned: operation.returned.filter(|returned| *returned <= stamp),
            ..*operation
        })
        .collect()
}

fn source(simplified: &Simplified, step: Step) -> OperationId {
    match step {
        Step::Required(index) => simplified.required[index].source,
        Step::Optional { class, number } => simplified.optional[class].operations[number].source,
    }
}

fn reason(effect: Effect, value: u32, values: &Values, held: &str) -> String {
    match effect.observes() {
        Some(seen) if seen != value => {
            format!("saw {}, but the key holds {held}", shown(values.value(seen)))
        }
        _ => "fits here, but then another one finds no place".to_string(),
    }
}

fn shown(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "nothing".to_string(), |value| text(value))
}

fn lines(explanation: &Explanation, history: &History, held: &str) -> Vec<String> {
    let record = |id: OperationId| -> Option<&Record> { history.records().get(id) };
    let mut lines = vec![format!("key {} is not linearizable", text(&explanation.key))];
    if let Some(culprit) = explanation.culprit.and_then(record) {
        lines.push(format!("  no order exists once this one has returned: {culprit}"));
    }
    let order = &explanation.longest_order;
    let hidden = order.len().saturating_sub(SHOWN);
    lines.push(format!("  a longest order (one of possibly many), {} operations, {hidden} hidden:", order.len()));
    lines.extend(order.iter().skip(hidden).filter_map(|id| record(*id)).map(|record| format!("    {record}")));
    lines.push(format!("  then the key holds {held}, and next would be:"));
    for (id, reason) in explanation.stuck.iter().take(SHOWN) {
        if let Some(record) = record(*id) {
            lines.push(format!("    {record}\n      {reason}"));
        }
    }
    lines
}
