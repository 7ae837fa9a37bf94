//! The first regions of a cluster: exactly one store gets to bring them.

use proto::metapb::{Region, Store};
use storage::{Cf, Durability, Engine, WriteBatch};

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::records::{BOOTSTRAPPED, REGIONS, STORES, key_of, put_message};
use super::region::RegionInfo;
use super::region_tree::{Admission, check_cover};

impl<E: Engine> Cluster<E> {
    /// Are there regions?
    pub fn is_bootstrapped(&self) -> bool {
        self.bootstrapped
    }

    /// For calls that need regions.
    pub fn require_bootstrapped(&self) -> Result<()> {
        if self.bootstrapped { Ok(()) } else { Err(Error::NotBootstrapped) }
    }

    /// Takes the first regions, brought by `store`. They must cover the key space without overlap, and all their peers must be on
    /// registered stores (the one that brings them included). Durable when it returns; the first call wins, for good.
    ///
    /// # Errors
    /// [`Error::AlreadyBootstrapped`] for everyone but the first; otherwise what is wrong with the regions, and nothing is changed.
    pub fn bootstrap(&mut self, store: &Store, regions: Vec<Region>) -> Result<()> {
        if self.bootstrapped {
            return Err(Error::AlreadyBootstrapped);
        }
        let store = self.stores.admit(store)?;
        let regions: Vec<RegionInfo> = regions.into_iter().map(RegionInfo::without_leader).collect();
        self.check_first_regions(&store, &regions)?;

        let mut batch = WriteBatch::new();
        put_message(&mut batch, key_of(STORES, store.id), &store);
        for region in &regions {
            put_message(&mut batch, key_of(REGIONS, region.id()), &region.meta);
        }
        batch.put(Cf::Default, BOOTSTRAPPED, &b""[..]);
        self.records.commit(batch, Durability::Sync)?;

        self.stores.put(store);
        for region in regions {
            self.regions.put(region, &Admission::default());
        }
        self.bootstrapped = true;
        Ok(())
    }

    fn check_first_regions(&self, store: &Store, regions: &[RegionInfo]) -> Result<()> {
        for (at, region) in regions.iter().enumerate() {
            region.validate()?;
            if regions[..at].iter().any(|other| other.id() == region.id()) {
                return Err(Error::invalid(format!("region {} is listed twice", region.id())));
            }
            for peer in region.meta.peers.iter().filter(|peer| peer.store_id != store.id) {
                self.stores.get_live(peer.store_id)?;
            }
        }
        check_cover(&regions.iter().collect::<Vec<_>>())
    }
}
