//! The replicated state machine of the tests: a chain of hashes.
//!
//! Each applied entry is folded into `chain`, so two machines with the same index and the same chain have applied the same entries, each
//! once and in the same order, whether one by one or through a snapshot. The membership is part of the state, as in any real store.
//!
//! Invariant: entries are applied without gaps; [`Machine::apply`] panics otherwise.

use bytes::Bytes;
use prost::Message;
use proto::eraftpb::{ConfState, Entry, Snapshot, SnapshotMetadata};

use crate::dice::{fold, fold_bytes};
use crate::disk::Image;

/// The state after applying everything up to `applied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Index of the last applied entry.
    pub applied: u64,
    /// Its term.
    pub term: u64,
    /// Hash over all applied entries.
    pub chain: u64,
    /// The membership, as an encoded `eraftpb.ConfState`.
    pub conf: Bytes,
}

impl Machine {
    /// The state of a member that knows nothing.
    pub fn empty() -> Self {
        Machine { applied: 0, term: 0, chain: 0, conf: Bytes::new() }
    }

    /// The state that the founding members share.
    pub fn founded(applied: u64, term: u64, voters: &[u64]) -> Self {
        let conf = ConfState { voters: voters.to_vec(), ..ConfState::default() };
        Machine { applied, term, chain: 0, conf: conf.encode_to_vec().into() }
    }

    /// The membership.
    pub fn members(&self) -> ConfState {
        ConfState::decode(self.conf.clone()).expect("a stored membership decodes")
    }

    /// Applies the next entry.
    pub fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.index, self.applied + 1, "R-APPLY: entries are applied one after the other");
        assert!(entry.term >= self.term, "R-APPLY: terms never go down");
        self.applied = entry.index;
        self.term = entry.term;
        let head = [entry.index, entry.term, entry.entry_type as u64].into_iter().fold(self.chain, fold);
        self.chain = fold_bytes(fold_bytes(head, &entry.data), &entry.context);
    }

    /// A snapshot of this state, for the log and for the wire.
    pub fn to_image(&self) -> Image {
        let metadata = SnapshotMetadata { conf_state: Some(self.members()), index: self.applied, term: self.term };
        let data = Bytes::copy_from_slice(&self.chain.to_be_bytes());
        let snapshot = Snapshot { data, metadata: Some(metadata) };
        Image { index: self.applied, term: self.term, bytes: snapshot.encode_to_vec().into() }
    }

    /// The state in a snapshot.
    pub fn from_image(image: &Image) -> Self {
        let snapshot = Snapshot::decode(image.bytes.clone()).expect("a stored snapshot decodes");
        let metadata = snapshot.metadata.expect("a snapshot has metadata");
        let chain = u64::from_be_bytes(snapshot.data[..].try_into().expect("a snapshot holds one hash"));
        let conf = metadata.conf_state.expect("a snapshot knows the members");
        Machine { applied: metadata.index, term: metadata.term, chain, conf: conf.encode_to_vec().into() }
    }
}
