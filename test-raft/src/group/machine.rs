//! The state machine that a group replicates: it remembers how far it is, the configuration there, and a digest of all it has applied.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proto::eraftpb::{ConfState, Entry, Snapshot, SnapshotMetadata};

use super::digest_of;

/// The state after applying everything up to `applied`. Two machines with the same index must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    /// The last entry that was applied.
    pub applied: u64,
    /// The term of that entry.
    pub term: u64,
    /// Depends on every entry that was ever applied, and on their order.
    pub digest: u64,
    /// The members as of `applied`.
    pub conf: ConfState,
}

impl Machine {
    /// Applies one entry. What it does to the members is the caller's business.
    pub fn apply(&mut self, entry: &Entry) {
        self.applied = entry.index;
        self.term = entry.term;
        self.digest = digest_of(&(self.digest, entry.entry_type, &entry.data, &entry.context));
    }

    /// This state as a snapshot.
    pub fn to_snapshot(&self) -> Snapshot {
        let metadata = SnapshotMetadata { conf_state: Some(self.conf.clone()), index: self.applied, term: self.term };
        Snapshot { data: self.data(), metadata: Some(metadata) }
    }

    /// The part of a snapshot that is not metadata.
    pub fn data(&self) -> Bytes {
        let mut data = BytesMut::with_capacity(8);
        data.put_u64(self.digest);
        data.freeze()
    }

    /// The state that a snapshot holds.
    ///
    /// # Panics
    /// If the snapshot was not made by [`Machine::to_snapshot`].
    pub fn from_snapshot(snapshot: &Snapshot) -> Self {
        let metadata = snapshot.metadata.clone().expect("snapshots have metadata");
        let conf = metadata.conf_state.expect("snapshots have members");
        Machine { applied: metadata.index, term: metadata.term, digest: snapshot.data.clone().get_u64(), conf }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_holds_the_whole_state() {
        let mut machine =
            Machine { conf: ConfState { voters: vec![1, 2], ..ConfState::default() }, ..Machine::default() };
        machine.apply(&Entry { index: 1, term: 3, data: "a".into(), ..Entry::default() });
        let before = machine.clone();
        machine.apply(&Entry { index: 2, term: 3, data: "b".into(), ..Entry::default() });
        assert_ne!(before.digest, machine.digest);
        assert_eq!(Machine::from_snapshot(&machine.to_snapshot()), machine);
    }
}
