//! Is there an order of all operations that one register per key could have executed, and that respects real time?
//!
//! The check follows Wing and Gong's search with Lowe's memoisation (the form that Porcupine made known), per key:
//! linearizability is local, so a history is linearizable exactly if its part on each key is.
//!
//! 1. [`mod@partition`] splits the history into one list of register operations per key. **Scans** become one read per key
//!    of the history that they cover: each such read happened inside the scan's interval, so a linearizable history is
//!    never refused. The converse is weaker than the truth: that all reads of one scan happened at the *same* moment is
//!    not checked.
//! 2. [`mod@simplify`] settles operations of unknown outcome where the others leave no choice: a value that was observed
//!    must have been written before its first observer returned; a value that nobody observed may be left out.
//! 3. [`mod@search`] looks for an order, depth first. A configuration (the set of operations already ordered and the
//!    value that results) is visited once. Reads that fit are taken at once, since they change nothing.
//! 4. [`mod@explain`] cuts a refused history down to its shortest refused prefix and says which operation cannot be placed.

pub mod explain;
pub mod linearized_set;
pub mod partition;
pub mod register;
pub mod search;
pub mod simplify;

use std::fmt;

use bytes::Bytes;

pub use explain::Explanation;

use crate::history::{History, OperationId};
use partition::{Partition, split_by_key};
use search::{Search, SearchResult};
use simplify::simplify;

/// How many configurations one key may cost before the check gives up.
pub const DEFAULT_CONFIGURATION_LIMIT: usize = 2_000_000;

/// What the check found.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// An order exists for every key.
    Linearizable(Statistics),
    /// No order exists for one key.
    Illegal(Box<Explanation>),
    /// An answer contradicts itself, whatever the order: unsorted pairs, a swap that succeeded on another value, ….
    Malformed {
        /// The operation with that answer.
        operation: OperationId,
        /// What is wrong with it.
        reason: String,
    },
    /// The search for one key went over its limit.
    Undecided {
        /// The key.
        key: Bytes,
        /// How many configurations were visited.
        configurations: usize,
    },
}

impl Verdict {
    /// Whether the history was accepted.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable(_))
    }
}

/// How large an accepted history was, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Keys with at least one operation.
    pub keys: usize,
    /// Register operations after the scans were split up.
    pub operations: usize,
    /// Configurations visited, over all keys.
    pub configurations: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable(statistics) => write!(
                formatter,
                "linearizable: {} keys, {} operations, {} configurations",
                statistics.keys, statistics.operations, statistics.configurations
            ),
            Self::Illegal(explanation) => explanation.fmt(formatter),
            Self::Malformed { operation, reason } => write!(formatter, "operation #{operation}: {reason}"),
            Self::Undecided { key, configurations } => {
                write!(formatter, "key {}: undecided after {configurations} configurations", crate::history::text(key))
            }
        }
    }
}

/// Checks `history`, all of whose keys start absent.
pub fn check(history: &History) -> Verdict {
    check_with_limit(history, DEFAULT_CONFIGURATION_LIMIT)
}

/// Checks `history` and visits at most `limit` configurations a key.
pub fn check_with_limit(history: &History, limit: usize) -> Verdict {
    let Partition { keys, values } = match split_by_key(history) {
        Ok(partition) => partition,
        Err(malformed) => return Verdict::Malformed { operation: malformed.operation, reason: malformed.reason },
    };
    let mut statistics = Statistics::default();
    for (key, operations) in keys {
        let simplified = simplify(&operations);
        match Search::new(&simplified, limit).run() {
            SearchResult::Ordered { configurations } => {
                statistics.keys += 1;
                statistics.operations += operations.len();
                statistics.configurations += configurations;
            }
            SearchResult::Stuck(_) => {
                return Verdict::Illegal(Box::new(explain::explain(history, &key, &operations, &values, limit)));
            }
            SearchResult::OverLimit { configurations } => return Verdict::Undecided { key, configurations },
        }
    }
    Verdict::Linearizable(statistics)
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
