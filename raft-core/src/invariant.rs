//! Broken invariants stop the node.
//!
//! Every check names the rule it guards (`R-ORDER`, `R-MONO`, ...), so that a failing test says what broke and not only where.
//! Input never reaches one of these: whatever a message contains, it is checked before and ignored.

/// Panics with the name of the rule and the node when `$holds` is false.
macro_rules! invariant {
    ($rule:literal, $node:expr, $holds:expr, $($detail:tt)+) => {
        if !$holds {
            panic!("{} violated on n{}: {}", $rule, $node, format_args!($($detail)+));
        }
    };
}

pub(crate) use invariant;
