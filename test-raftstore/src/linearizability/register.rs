//! The sequential specification: one register that is read, written and compared-and-swapped.
//!
//! Values are numbers ([`ValueId`]) given out by [`Values`]; number 0 is "absent", so a delete is a write of 0.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::history::OperationId;

/// A value of a register as a number.
pub type ValueId = u32;

/// The register of a key that is not there.
pub const ABSENT: ValueId = 0;

/// The numbers given to the values of one history.
#[derive(Clone, Debug, Default)]
pub struct Values {
    numbers: BTreeMap<Bytes, ValueId>,
    values: Vec<Bytes>,
}

impl Values {
    /// The number of `value`; the same value has the same number.
    pub fn number(&mut self, value: Option<&Bytes>) -> ValueId {
        let Some(value) = value else { return ABSENT };
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        self.values.push(value.clone());
        let number = self.values.len() as ValueId;
        self.numbers.insert(value.clone(), number);
        number
    }

    /// The value behind a number; `None` for [`ABSENT`].
    pub fn value(&self, number: ValueId) -> Option<&Bytes> {
        self.values.get((number as usize).checked_sub(1)?)
    }
}

/// What an operation does to the register, or demands of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The register must hold this value.
    Read(ValueId),
    /// The register holds this value afterwards.
    Write(ValueId),
    /// The register must hold `expected`, and holds `new` afterwards.
    Swap {
        /// Held before.
        expected: ValueId,
        /// Held after.
        new: ValueId,
    },
}

impl Effect {
    /// The register's value after this operation on a register that holds `value`; `None` if it cannot happen there.
    pub fn apply(self, value: ValueId) -> Option<ValueId> {
        match self {
            Self::Read(seen) => (seen == value).then_some(value),
            Self::Write(new) => Some(new),
            Self::Swap { expected, new } => (expected == value).then_some(new),
        }
    }

    /// The value that the register must hold for this operation.
    pub fn observes(self) -> Option<ValueId> {
        match self {
            Self::Read(value) | Self::Swap { expected: value, .. } => Some(value),
            Self::Write(_) => None,
        }
    }

    /// The value that this operation leaves.
    pub fn writes(self) -> Option<ValueId> {
        match self {
            Self::Write(value) | Self::Swap { new: value, .. } => Some(value),
            Self::Read(_) => None,
        }
    }
}

/// One operation on one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterOperation {
    /// The client operation that it is (a part of).
    pub source: OperationId,
    /// What it does.
    pub effect: Effect,
    /// Stamp of the invocation.
    pub invoked: u64,
    /// Stamp of the return. `None`: the outcome is unknown, and the operation may also never take effect.
    pub returned: Option<u64>,
}
