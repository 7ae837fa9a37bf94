//! What can be seen of a cluster from outside its stores.

use bytes::Bytes;
use proto::metapb::{Peer, Region};
use proto::raft_cmdpb::Response;
use raft_core::Role;
use raftstore::peer::PeerStatus;
use raftstore::region::contains_key;
use storage::raw::value;
use storage::{Cf, codec};

use super::driver::{Pending, Reaction, header};
use super::{Cluster, PATIENCE};
use crate::history::{Operation, text};
use crate::sim::client::write_request;
use crate::sim::lab::regions_of;
use crate::verdict::FailureKind;

impl Cluster {
    /// What a store's data holds under a key, whether the store runs or not. Not a read: it asks nobody whether that is the newest.
    pub fn stored(&self, store: u64, key: &str) -> Option<String> {
        let stored = self.driver.stored(store, Cf::Raw, key.as_bytes())?;
        value::live(&stored, 1).ok().flatten().map(|value| text(&value))
    }

    /// Waits until a store's data holds this under a key; `None`: nothing.
    #[track_caller]
    pub fn wait_stored(&mut self, store: u64, key: &str, expected: Option<&str>) {
        let what = format!("store {store} does not hold {expected:?} under {key}");
        self.wait("L-APPLY", &what, PATIENCE, |cluster| cluster.stored(store, key).as_deref() == expected);
    }

    /// The region of a key as the store that is ahead knows it.
    #[track_caller]
    pub fn region(&self, key: &str) -> Region {
        let all = self.stores().into_iter().flat_map(|store| self.regions_on(store));
        let newest = all.filter(|region| contains_key(region, key.as_bytes())).max_by_key(|region| {
            let epoch = region.region_epoch.unwrap_or_default();
            (epoch.version, epoch.conf_ver)
        });
        newest.unwrap_or_else(|| {
            self.fail(FailureKind::Safety, "S-COVER", format!("no store has a region that holds {key}"))
        })
    }

    /// The regions that a store has peers of, in order of their ids.
    pub fn regions_on(&self, store: u64) -> Vec<Region> {
        regions_of(&self.driver.region_states(store))
    }

    /// What the running peers of a region say about themselves.
    pub fn peers(&self, region: u64) -> Vec<PeerStatus> {
        let mut peers = self.driver.statuses();
        peers.retain(|status| status.region.id == region && self.driver.is_running(status.peer.store_id));
        peers
    }

    /// The store whose peer leads the region of a key, if one does: of several the one in the highest term.
    pub fn leader_now(&self, key: &str) -> Option<u64> {
        let leading = |status: &PeerStatus| status.role == Role::Leader;
        let peers = self.peers(self.region(key).id);
        peers.into_iter().filter(leading).max_by_key(|status| status.term).map(|status| status.peer.store_id)
    }

    /// Waits until the region of a key has a leader, and says on which store.
    #[track_caller]
    pub fn leader(&mut self, key: &str) -> u64 {
        self.leader_among(key, &self.stores())
    }

    /// Waits until one of these stores leads the region of a key in the highest term, and says which.
    #[track_caller]
    pub fn leader_among(&mut self, key: &str, stores: &[u64]) -> u64 {
        let what = format!("none of the stores {stores:?} leads the region of {key}");
        let mut leader = None;
        self.wait("L-LEADER", &what, PATIENCE, |cluster| {
            leader = cluster.leader_now(key).filter(|leader| stores.contains(leader));
            leader.is_some()
        });
        leader.unwrap_or_default()
    }

    /// Index up to which a store's log of a region is compacted, and up to which it is applied, by its records.
    pub fn truncated_and_applied(&self, store: u64, region: u64) -> Option<(u64, u64)> {
        let state = self.driver.apply_state(store, region)?;
        Some((state.truncated_state.unwrap_or_default().index, state.applied_index))
    }

    /// Snapshots that have reached a store so far.
    pub fn snapshots(&self) -> u64 {
        self.driver.summary().snapshots
    }

    /// Writes until the log of the region of a key goes on behind all that a store can have that is cut off or down: it needs a snapshot
    /// from then on.
    #[track_caller]
    pub fn leave_behind(&mut self, store: u64, key: &str) {
        let leader = self.leader(key);
        let region = self.region(key).id;
        let all = self.peers(region).into_iter().find(|status| status.peer.store_id == leader);
        let behind = all.map_or(0, |status| status.last);
        let patience = 4 * self.setup.log_limit.unwrap_or_default() + 10;
        for number in 0..patience {
            let leader = self.leader(key);
            if self.truncated_and_applied(leader, region).is_some_and(|(truncated, _)| truncated > behind) {
                return;
            }
            self.put(&format!("filler{:02}", number % 10), &format!("{number} without store {store}"));
            self.advance(1);
        }
        let details = format!("after {patience} more writes the log still reaches back to index {behind}");
        let report = self.driver.describe();
        self.fail(FailureKind::Stuck, "L-LOG-GC", format!("{details}\n{report}"));
    }

    /// Asks one store, leader or not, for a key of a region as the test knows it, and waits so long for an answer.
    pub fn read_at(&mut self, store: u64, region: &Region, key: &str, ticks: u64) -> Reaction<Option<Bytes>> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let step = self.driver.read_at(store, header(region, store), key);
        let pending = self.must(step);
        self.await_answer(&pending, ticks)
    }

    /// Asks one store, leader or not, to write a key of a region as the test knows it, and waits so long for an answer.
    pub fn write_at(
        &mut self,
        store: u64,
        region: &Region,
        key: &str,
        value: &str,
        ticks: u64,
    ) -> Reaction<Vec<Response>> {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        let request = write_request(&Operation::Put { key, value }).expect("invariant: a put is a write");
        let step = self.driver.write_at(store, header(region, store), request);
        let pending = self.must(step);
        self.await_answer(&pending, ticks)
    }

    /// Waits so long for the answer to something that was asked of one store.
    pub fn await_answer<T: Send + 'static>(&mut self, pending: &Pending<T>, ticks: u64) -> Reaction<T> {
        for _ in 0..ticks {
            match pending.take() {
                Reaction::Silent => self.advance(1),
                answered => return answered,
            }
        }
        pending.take()
    }

    /// Bytes of a region's keys and values in a store's data.
    pub fn bytes_in(&self, store: u64, region: &Region) -> u64 {
        self.driver.bytes_in(store, region)
    }

    /// The regions that the scheduler knows, in key order.
    pub fn known_regions(&self) -> Vec<Region> {
        self.driver.scheduler().regions()
    }

    /// The leader of a region as far as the scheduler has heard.
    pub fn known_leader(&self, region: u64) -> Option<Peer> {
        self.driver.scheduler().leader(region)
    }
}

/// Where the data of users ends: behind it is the last of the first regions, which stays empty.
pub fn end_of_data() -> Vec<u8> {
    codec::encode_bytes(&[0xff; 8])
}
