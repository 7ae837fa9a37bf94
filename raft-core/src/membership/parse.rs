//! A change of membership as an entry of the log, and back.

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeV2, Entry, EntryType};

use crate::{Error, Result};

/// What may be proposed and applied: the older form with one change, or the newer one with any number.
///
/// The form is kept in the log, so that what was proposed as a [`ConfChange`] is also read as one. The meaning is the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// One change.
    V1(ConfChange),
    /// Several changes at once, or leaving a joint configuration.
    V2(ConfChangeV2),
}

impl From<ConfChange> for Change {
    fn from(change: ConfChange) -> Self {
        Change::V1(change)
    }
}

impl From<ConfChangeV2> for Change {
    fn from(change: ConfChangeV2) -> Self {
        Change::V2(change)
    }
}

impl Change {
    /// The newer form, which can say everything.
    pub fn into_v2(self) -> ConfChangeV2 {
        match self {
            Change::V1(one) => ConfChangeV2 {
                changes: vec![ConfChangeSingle { change_type: one.change_type, node_id: one.node_id }],
                context: one.context,
                ..ConfChangeV2::default()
            },
            Change::V2(change) => change,
        }
    }

    /// Type and data of the entry that carries this change.
    pub(crate) fn encode(&self) -> (EntryType, Bytes) {
        match self {
            Change::V1(change) => (EntryType::EntryConfChange, change.encode_to_vec().into()),
            Change::V2(change) => (EntryType::EntryConfChangeV2, change.encode_to_vec().into()),
        }
    }
}

/// True for entries that carry a change of membership.
pub fn is_conf_change(entry: &Entry) -> bool {
    let (v1, v2) = (EntryType::EntryConfChange as i32, EntryType::EntryConfChangeV2 as i32);
    entry.entry_type == v1 || entry.entry_type == v2
}

/// The change that an entry carries.
///
/// Errors: [`Error::ConfChangeInvalid`] for an entry of another type, or with bytes that are no change. That depends on the entry alone,
/// so every node that applies it comes to the same answer; the entry then changes nothing.
pub fn decode(entry: &Entry) -> Result<ConfChangeV2> {
    let broken = |_| Error::ConfChangeInvalid { reason: "the entry's bytes are not a change of membership" };
    match EntryType::try_from(entry.entry_type) {
        Ok(EntryType::EntryConfChange) => {
            ConfChange::decode(entry.data.clone()).map(|change| Change::V1(change).into_v2()).map_err(broken)
        }
        Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(entry.data.clone()).map_err(broken),
        _ => Err(Error::ConfChangeInvalid { reason: "the entry is not a change of membership" }),
    }
}
