//! `SplitRegion`: a region is split where a client wants it.
//!
//! Clients name user keys. Bounds of regions are memcomparable encodings, so a key of a transactional client becomes its encoding, and
//! one of a raw client the last encoding at or before it. Without a key the region is cut in the middle.

use std::future::Future;

use bytes::Bytes;
use proto::kvrpcpb::{Context, KeyError, SplitRegionRequest, SplitRegionResponse};
use proto::metapb::Region;
use raftstore::split::{bound_for_raw, bound_for_transactional};

use super::raft::NoRaft;
use super::region_error::Failure;

/// Splits regions; in production through the router.
pub trait RegionSplitter: Clone + Send + Sync + 'static {
    /// Splits the region of `ctx` at these bounds. Returns its parts in key order.
    fn split(&self, ctx: &Context, keys: Vec<Bytes>) -> impl Future<Output = Result<Vec<Region>, Failure>> + Send;
}

impl RegionSplitter for NoRaft {
    async fn split(&self, _ctx: &Context, _keys: Vec<Bytes>) -> Result<Vec<Region>, Failure> {
        Err(Failure::Text("this is a standalone server; it has no regions to split".to_owned()))
    }
}

/// Answers one request.
pub async fn split_region(splitter: &impl RegionSplitter, request: SplitRegionRequest) -> SplitRegionResponse {
    let result = match bounds(&request) {
        Ok(keys) => splitter.split(&request.context.unwrap_or_default(), keys).await,
        Err(failure) => Err(failure),
    };
    match result {
        // Older clients read the two parts of a split at one key.
        Ok(regions) => SplitRegionResponse {
            left: regions.first().cloned(),
            right: regions.last().cloned(),
            regions,
            ..Default::default()
        },
        Err(Failure::Region(error)) => SplitRegionResponse { region_error: Some(*error), ..Default::default() },
        Err(Failure::Text(abort)) => {
            SplitRegionResponse { errors: vec![KeyError { abort, ..Default::default() }], ..Default::default() }
        }
    }
}

/// The bounds for the keys of a request, in order, each once.
fn bounds(request: &SplitRegionRequest) -> Result<Vec<Bytes>, Failure> {
    let of_older_clients = (!request.split_key.is_empty()).then_some(&request.split_key);
    let bound = |key: &Bytes| match request.is_raw_kv {
        true => bound_for_raw(key).ok_or_else(|| Failure::Text("nothing comes before the key to split at".to_owned())),
        false => Ok(bound_for_transactional(key)),
    };
    let mut bounds = request.split_keys.iter().chain(of_older_clients).map(bound).collect::<Result<Vec<_>, _>>()?;
    bounds.sort();
    bounds.dedup();
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_users_become_bounds_in_order() {
        let request = |keys: &[&'static str], is_raw_kv| SplitRegionRequest {
            split_keys: keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect(),
            is_raw_kv,
            ..Default::default()
        };
        let encoded = |key: &str| Bytes::from(storage::codec::encode_bytes(key.as_bytes()));
        assert_eq!(bounds(&request(&["m", "c", "m"], false)).unwrap(), [encoded("c"), encoded("m")]);
        let older = SplitRegionRequest { split_key: "k".into(), ..request(&[], false) };
        assert_eq!(bounds(&older).unwrap(), [encoded("k")]);
        let raw = bounds(&request(&["m", "c"], true)).unwrap();
        assert!(raw[0] <= b"c"[..] && raw[0] > b"b~"[..] && raw[1] <= b"m"[..] && raw[1] > b"l~"[..], "{raw:?}");
        assert!(bounds(&request(&[""], true)).is_err());
        assert!(bounds(&request(&[], true)).unwrap().is_empty(), "in the middle");
    }
}
