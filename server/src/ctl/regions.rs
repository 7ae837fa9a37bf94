//! Stores and regions: lists, details, and splits.

use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use proto::kvrpcpb::SplitRegionRequest;
use proto::metapb::{Region, Store, StoreState};
use proto::pdpb;

use super::{Ctl, Error, Outcome, Result, escape};

/// Where a region is to be split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitAt {
    /// Before a key of the raw API.
    Raw(Bytes),
    /// Before a key of the transactional API.
    Transactional(Bytes),
    /// In the middle of this region.
    Middle(u64),
}

impl Ctl {
    /// One line for each store.
    ///
    /// # Errors
    /// The scheduler.
    pub async fn stores(&self) -> Result<String> {
        let mut table = table(["STORE", "STATE", "ADDRESS", "STATUS PORT"], 1);
        for Store { id, address, state, status_address, .. } in self.scheduler.get_all_stores().await? {
            let state = StoreState::try_from(state).map_or("?", |state| state.as_str_name());
            table.add_row([id.to_string(), state.to_owned(), address, status_address]);
        }
        Ok(print(&table))
    }

    /// One line for each region.
    ///
    /// # Errors
    /// The scheduler.
    pub async fn regions(&self) -> Result<String> {
        let mut table = table(["REGION", "EPOCH", "LEADER", "MIB", "KEYS", "STORES", "RANGE"], 5);
        for known in self.scheduler.scan_regions(b"", b"", 0).await? {
            let region = known.region.clone().unwrap_or_default();
            let stores: Vec<String> = region.peers.iter().map(|peer| peer.store_id.to_string()).collect();
            table.add_row([
                region.id.to_string(),
                epoch(&region),
                leader(&known),
                known.approximate_size.to_string(),
                known.approximate_keys.to_string(),
                stores.join(","),
                range(&region),
            ]);
        }
        Ok(print(&table))
    }

    /// All that the scheduler knows of one region.
    ///
    /// # Errors
    /// The scheduler, or it does not know the region.
    pub async fn region(&self, id: u64) -> Result<String> {
        let all = self.scheduler.scan_regions(b"", b"", 0).await?;
        let is_wanted = |known: &pdpb::Region| known.region.as_ref().is_some_and(|region| region.id == id);
        let known = all.into_iter().find(is_wanted).ok_or(Error::UnknownRegion(id))?;
        let region = known.region.clone().unwrap_or_default();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.add_row(["region".to_owned(), id.to_string()]);
        table.add_row(["epoch (conf_ver/version)".to_owned(), epoch(&region)]);
        table.add_row(["range".to_owned(), range(&region)]);
        table.add_row(["size, about".to_owned(), format!("{} MiB", known.approximate_size)]);
        table.add_row(["keys, about".to_owned(), known.approximate_keys.to_string()]);
        table.add_row(["leader on store".to_owned(), leader(&known)]);
        for peer in &region.peers {
            let pending =
                if known.pending_peers.iter().any(|other| other.id == peer.id) { ", lags behind" } else { "" };
            table.add_row([format!("peer {}", peer.id), format!("store {}{pending}", peer.store_id)]);
        }
        Ok(print(&table))
    }

    /// Splits a region and lists its parts. Whoever else uses the region goes on; a split that is under way already is waited for.
    ///
    /// # Errors
    /// See [`Ctl::get`]; a store refuses to split where a region ends already, or a region without two keys that can be told apart.
    pub async fn split(&self, at: SplitAt) -> Result<String> {
        let (key, split_keys, is_raw_kv) = match at {
            SplitAt::Raw(key) => (key.clone(), vec![key], true),
            SplitAt::Transactional(key) => (storage::codec::encode_bytes(&key).into(), vec![key], false),
            SplitAt::Middle(id) => {
                let known = self.scheduler.get_region_by_id(id).await?.and_then(|known| known.region);
                (known.ok_or(Error::UnknownRegion(id))?.start_key, Vec::new(), true)
            }
        };
        let parts = self
            .at_region(&key, |mut store, context, _| {
                let (context, split_keys) = (Some(context), split_keys.clone());
                let request = SplitRegionRequest { context, split_keys, is_raw_kv, ..Default::default() };
                async move {
                    let response = store.split_region(request).await?.into_inner();
                    let error = response.errors.into_iter().next().unwrap_or_default().abort;
                    Ok(Outcome::new(response.region_error, error, response.regions))
                }
            })
            .await?;
        let mut table = table(["REGION", "EPOCH", "RANGE"], 1);
        for region in &parts {
            table.add_row([region.id.to_string(), epoch(region), range(region)]);
        }
        Ok(print(&table))
    }
}

/// A table whose first columns hold numbers.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(super) fn print(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

pub(super) fn epoch(region: &Region) -> String {
    let epoch = region.region_epoch.unwrap_or_default();
    format!("{}/{}", epoch.conf_ver, epoch.version)
}

fn leader(known: &pdpb::Region) -> String {
    let leader = known.leader.as_ref().filter(|leader| leader.id != 0);
    leader.map_or("-".to_owned(), |leader| leader.store_id.to_string())
}

pub(super) fn range(region: &Region) -> String {
    format!("[\"{}\", \"{}\")", escape(&region.start_key), escape(&region.end_key))
}
