//! `pdpb.PD`, method by method. What a call does is decided in [`crate::state`]; here requests are taken apart and answers put
//! together.

use std::sync::Arc;

use proto::pdpb::pd_server::Pd;
use proto::pdpb::*;
use slog::info;
use storage::Engine;
use tonic::{Request, Response, Status, Streaming};

use super::node::Node;
use super::streams::{self, Answers};
use crate::state::{Error, RegionInfo, RegionTree};

/// What official clients are told to find: the version of TiKV whose protocol this is.
const CLUSTER_VERSION: &str = "7.5.0";

type Answer<T> = Result<Response<T>, Status>;

/// Implements the service.
pub(crate) struct PdService<E>(pub(crate) Arc<Node<E>>);

#[tonic::async_trait]
impl<E: Engine> Pd for PdService<E> {
    type TsoStream = Answers<TsoResponse>;
    type RegionHeartbeatStream = Answers<RegionHeartbeatResponse>;

    async fn get_cluster_info(&self, _: Request<GetClusterInfoRequest>) -> Answer<GetClusterInfoResponse> {
        let service_modes = vec![ServiceMode::PdSvcMode as i32];
        self.0.answer(None, |_| Ok(GetClusterInfoResponse { service_modes, ..Default::default() }))
    }

    /// The one call that every cluster's clients may make: it is how they learn the cluster's id.
    async fn get_members(&self, _: Request<GetMembersRequest>) -> Answer<GetMembersResponse> {
        let member = self.0.member();
        self.0.answer(None, |_| {
            Ok(GetMembersResponse {
                members: vec![member.clone()],
                leader: Some(member.clone()),
                etcd_leader: Some(member),
                ..Default::default()
            })
        })
    }

    async fn tso(&self, request: Request<Streaming<TsoRequest>>) -> Answer<Self::TsoStream> {
        Ok(Response::new(streams::serve(self.0.clone(), request.into_inner(), streams::on_tso)))
    }

    async fn get_min_ts(&self, request: Request<GetMinTsRequest>) -> Answer<GetMinTsResponse> {
        let timestamp = self.0.timestamp(1);
        self.0.answer(request.get_ref().header.as_ref(), |_| {
            Ok(GetMinTsResponse { timestamp: Some(timestamp?), ..Default::default() })
        })
    }

    async fn bootstrap(&self, request: Request<BootstrapRequest>) -> Answer<BootstrapResponse> {
        let BootstrapRequest { header, store, region, regions } = request.into_inner();
        let answer = self.0.answer(header.as_ref(), |cluster| {
            let store = store.ok_or_else(|| missing("store"))?;
            // TiKV's stores bring one region; ours bring several in a field of their own.
            let regions = if regions.is_empty() { Vec::from_iter(region) } else { regions };
            cluster.bootstrap(&store, regions)?;
            Ok(BootstrapResponse::default())
        })?;
        if answer.get_ref().header.as_ref().is_some_and(|header| header.error.is_none()) {
            info!(self.0.logger, "cluster bootstrapped"; "regions" => self.0.cluster().regions().len());
        }
        Ok(answer)
    }

    async fn is_bootstrapped(&self, request: Request<IsBootstrappedRequest>) -> Answer<IsBootstrappedResponse> {
        self.0.answer(request.get_ref().header.as_ref(), |cluster| {
            Ok(IsBootstrappedResponse { bootstrapped: cluster.is_bootstrapped(), ..Default::default() })
        })
    }

    async fn alloc_id(&self, request: Request<AllocIdRequest>) -> Answer<AllocIdResponse> {
        let AllocIdRequest { header, count } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let id = cluster.alloc_ids(count)?;
            Ok(AllocIdResponse { id, count: count.max(1), ..Default::default() })
        })
    }

    async fn get_store(&self, request: Request<GetStoreRequest>) -> Answer<GetStoreResponse> {
        let GetStoreRequest { header, store_id } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let store = cluster.stores().get(store_id)?;
            Ok(GetStoreResponse { store: Some(store.to_wire()), stats: store.stats.clone(), ..Default::default() })
        })
    }

    async fn put_store(&self, request: Request<PutStoreRequest>) -> Answer<PutStoreResponse> {
        let PutStoreRequest { header, store } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let store = store.ok_or_else(|| missing("store"))?;
            cluster.put_store(&store)?;
            info!(self.0.logger, "store registered"; "store" => store.id, "address" => &store.address);
            Ok(PutStoreResponse::default())
        })
    }

    async fn get_all_stores(&self, request: Request<GetAllStoresRequest>) -> Answer<GetAllStoresResponse> {
        let GetAllStoresRequest { header, exclude_tombstone_stores } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let stores = cluster.stores().iter().filter(|store| !exclude_tombstone_stores || !store.is_tombstone());
            Ok(GetAllStoresResponse { stores: stores.map(|store| store.to_wire()).collect(), ..Default::default() })
        })
    }

    async fn store_heartbeat(&self, request: Request<StoreHeartbeatRequest>) -> Answer<StoreHeartbeatResponse> {
        let StoreHeartbeatRequest { header, stats } = request.into_inner();
        let now_ms = self.0.now_ms();
        self.0.answer(header.as_ref(), |cluster| {
            let state = cluster.store_heartbeat(stats.ok_or_else(|| missing("stats"))?, now_ms)?;
            let cluster_version = CLUSTER_VERSION.to_owned();
            Ok(StoreHeartbeatResponse { cluster_version, state: state as i32, ..Default::default() })
        })
    }

    async fn region_heartbeat(
        &self,
        request: Request<Streaming<RegionHeartbeatRequest>>,
    ) -> Answer<Self::RegionHeartbeatStream> {
        Ok(Response::new(streams::serve(self.0.clone(), request.into_inner(), streams::on_region_heartbeat)))
    }

    async fn get_region(&self, request: Request<GetRegionRequest>) -> Answer<GetRegionResponse> {
        let GetRegionRequest { header, region_key, .. } = request.into_inner();
        self.region(header, |regions| regions.find(&region_key))
    }

    async fn get_prev_region(&self, request: Request<GetRegionRequest>) -> Answer<GetRegionResponse> {
        let GetRegionRequest { header, region_key, .. } = request.into_inner();
        self.region(header, |regions| regions.find_previous(&region_key))
    }

    async fn get_region_by_id(&self, request: Request<GetRegionByIdRequest>) -> Answer<GetRegionResponse> {
        let GetRegionByIdRequest { header, region_id, .. } = request.into_inner();
        self.region(header, |regions| regions.get(region_id))
    }

    async fn scan_regions(&self, request: Request<ScanRegionsRequest>) -> Answer<ScanRegionsResponse> {
        let ScanRegionsRequest { header, start_key, limit, end_key } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            cluster.require_bootstrapped()?;
            check_range(&start_key, &end_key)?;
            let found = cluster.regions().scan(&start_key, &end_key).take(limit_of(limit));
            let regions: Vec<Region> = found.map(RegionInfo::to_wire).collect();
            Ok(ScanRegionsResponse {
                // Older clients read the two parallel lists, in which an unknown leader is an empty peer.
                region_metas: regions.iter().filter_map(|region| region.region.clone()).collect(),
                leaders: regions.iter().map(|region| region.leader.unwrap_or_default()).collect(),
                regions,
                ..Default::default()
            })
        })
    }

    async fn batch_scan_regions(&self, request: Request<BatchScanRegionsRequest>) -> Answer<BatchScanRegionsResponse> {
        let request = request.into_inner();
        self.0.answer(request.header.as_ref(), |cluster| {
            cluster.require_bootstrapped()?;
            let regions = scan_ranges(cluster.regions(), &request)?;
            Ok(BatchScanRegionsResponse { regions, ..Default::default() })
        })
    }

    async fn ask_batch_split(&self, request: Request<AskBatchSplitRequest>) -> Answer<AskBatchSplitResponse> {
        let AskBatchSplitRequest { header, region, split_count, .. } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let ids = cluster.ask_split(&region.ok_or_else(|| missing("region"))?, split_count)?;
            Ok(AskBatchSplitResponse { ids, ..Default::default() })
        })
    }

    async fn report_batch_split(&self, request: Request<ReportBatchSplitRequest>) -> Answer<ReportBatchSplitResponse> {
        let ReportBatchSplitRequest { header, regions } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            cluster.report_split(regions)?;
            Ok(ReportBatchSplitResponse::default())
        })
    }

    async fn get_cluster_config(&self, request: Request<GetClusterConfigRequest>) -> Answer<GetClusterConfigResponse> {
        self.0.answer(request.get_ref().header.as_ref(), |cluster| {
            Ok(GetClusterConfigResponse { cluster: Some(cluster.config()), ..Default::default() })
        })
    }

    async fn put_cluster_config(&self, request: Request<PutClusterConfigRequest>) -> Answer<PutClusterConfigResponse> {
        let PutClusterConfigRequest { header, cluster: config } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            cluster.put_config(config.ok_or_else(|| missing("cluster"))?)?;
            Ok(PutClusterConfigResponse::default())
        })
    }

    async fn get_gc_safe_point(&self, request: Request<GetGcSafePointRequest>) -> Answer<GetGcSafePointResponse> {
        self.0.answer(request.get_ref().header.as_ref(), |cluster| {
            Ok(GetGcSafePointResponse { safe_point: cluster.gc_safe_point(), ..Default::default() })
        })
    }

    async fn update_gc_safe_point(
        &self,
        request: Request<UpdateGcSafePointRequest>,
    ) -> Answer<UpdateGcSafePointResponse> {
        let UpdateGcSafePointRequest { header, safe_point } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let new_safe_point = cluster.advance_gc_safe_point(safe_point)?;
            Ok(UpdateGcSafePointResponse { new_safe_point, ..Default::default() })
        })
    }

    async fn update_service_gc_safe_point(
        &self,
        request: Request<UpdateServiceGcSafePointRequest>,
    ) -> Answer<UpdateServiceGcSafePointResponse> {
        let UpdateServiceGcSafePointRequest { header, service_id, ttl, safe_point } = request.into_inner();
        let now_ms = self.0.now_ms();
        self.0.answer(header.as_ref(), |cluster| {
            let smallest = cluster.update_service_safe_point(&service_id, safe_point, ttl, now_ms)?;
            Ok(UpdateServiceGcSafePointResponse {
                ttl: smallest.ttl(now_ms / 1000),
                min_safe_point: smallest.safe_point,
                service_id: smallest.service_id,
                ..Default::default()
            })
        })
    }

    async fn get_gc_state(&self, request: Request<GetGcStateRequest>) -> Answer<GetGcStateResponse> {
        let GetGcStateRequest { header, keyspace_scope, exclude_gc_barriers, .. } = request.into_inner();
        let now_ms = self.0.now_ms();
        self.0.answer(header.as_ref(), |cluster| {
            let state = cluster.gc_state(now_ms);
            let barriers = state.services.iter().filter(|_| !exclude_gc_barriers).map(|service| GcBarrierInfo {
                barrier_id: String::from_utf8_lossy(&service.service_id).into_owned(),
                barrier_ts: service.safe_point,
                ttl_seconds: service.ttl(now_ms / 1000),
            });
            let gc_state = GcState {
                keyspace_scope,
                is_keyspace_level_gc: false,
                // There is one safe point: what transactions may not read and what may be removed are the same.
                txn_safe_point: state.safe_point,
                gc_safe_point: state.safe_point,
                gc_barriers: barriers.collect(),
            };
            Ok(GetGcStateResponse { gc_state: Some(gc_state), ..Default::default() })
        })
    }

    async fn scatter_region(&self, _: Request<ScatterRegionRequest>) -> Answer<ScatterRegionResponse> {
        Err(Status::unimplemented("this scheduler does not scatter regions yet"))
    }

    async fn get_operator(&self, request: Request<GetOperatorRequest>) -> Answer<GetOperatorResponse> {
        let GetOperatorRequest { header, region_id } = request.into_inner();
        self.0.answer(header.as_ref(), |cluster| {
            let operator = cluster.operator(region_id);
            let operator = operator.ok_or_else(|| Error::invalid(format!("no operator for region {region_id}")))?;
            Ok(GetOperatorResponse {
                region_id,
                desc: operator.kind.to_string().into(),
                status: operator.status as i32,
                kind: "admin".into(),
                ..Default::default()
            })
        })
    }

    async fn split_regions(&self, _: Request<SplitRegionsRequest>) -> Answer<SplitRegionsResponse> {
        Err(Status::unimplemented("this scheduler does not split regions on request yet"))
    }
}

impl<E: Engine> PdService<E> {
    /// A lookup of one region; a region that is not known is an answer without one.
    fn region(
        &self,
        header: Option<RequestHeader>,
        find: impl FnOnce(&RegionTree) -> Option<&RegionInfo>,
    ) -> Answer<GetRegionResponse> {
        self.0.answer(header.as_ref(), |cluster| {
            cluster.require_bootstrapped()?;
            let region = find(cluster.regions()).map(RegionInfo::to_wire).unwrap_or_default();
            Ok(GetRegionResponse {
                region: region.region,
                leader: region.leader,
                down_peers: region.down_peers,
                pending_peers: region.pending_peers,
                ..Default::default()
            })
        })
    }
}

/// The regions of several ranges in order, each once, `limit` of them at most.
fn scan_ranges(tree: &RegionTree, request: &BatchScanRegionsRequest) -> Result<Vec<Region>, Error> {
    let limit = limit_of(request.limit);
    let mut regions: Vec<Region> = Vec::new();
    let mut last_id = 0;
    for range in &request.ranges {
        check_range(&range.start_key, &range.end_key)?;
        let mut covered_to = range.start_key.clone();
        let mut reached_end = false;
        for region in tree.scan(&range.start_key, &range.end_key) {
            if regions.len() >= limit {
                return Ok(regions);
            }
            if request.contain_all_key_range && region.meta.start_key > covered_to {
                return Err(hole(&covered_to));
            }
            covered_to = region.meta.end_key.clone();
            // Neighbouring ranges often share a region.
            if region.id() != last_id {
                last_id = region.id();
                regions.push(region.to_wire());
            }
            reached_end = covered_to.is_empty();
        }
        let covered = reached_end || (!range.end_key.is_empty() && covered_to >= range.end_key);
        if request.contain_all_key_range && !covered {
            return Err(hole(&covered_to));
        }
    }
    Ok(regions)
}

fn hole(at: &[u8]) -> Error {
    Error::RangeNotCovered { reason: format!("no region is known for key \"{}\"", at.escape_ascii()) }
}

fn check_range(start: &[u8], end: &[u8]) -> Result<(), Error> {
    if !end.is_empty() && start > end {
        let reason = format!("reversed range \"{}\" to \"{}\"", start.escape_ascii(), end.escape_ascii());
        return Err(Error::InvalidRequest { reason });
    }
    Ok(())
}

/// 0 and less mean all.
fn limit_of(limit: i32) -> usize {
    usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX)
}

fn missing(field: &str) -> Error {
    Error::InvalidRequest { reason: format!("the field {field} is missing") }
}
