//! `pdpb.PD`, call by call, through the generated client.

use crate::common::*;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{MemberListRequest, RangeRequest};
use proto::metapb;
use proto::pdpb::*;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn error_of(header: Option<ResponseHeader>) -> Option<(ErrorType, String)> {
    let header = header.expect("every answer has a header");
    assert_eq!(header.cluster_id, CLUSTER_ID);
    header.error.map(|error| (error.r#type(), error.message))
}

fn fine(header: Option<ResponseHeader>) {
    assert_eq!(error_of(header), None);
}

fn refused(header: Option<ResponseHeader>, kind: ErrorType, words: &str) {
    let (found, message) = error_of(header).expect("the call should have been refused");
    assert_eq!(found, kind, "{message}");
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}

#[tokio::test]
async fn members_are_told_to_everyone_without_a_header() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let foreign = Some(RequestHeader { cluster_id: 1, ..Default::default() });
    for header in [None, header(), foreign] {
        let members = client.get_members(GetMembersRequest { header }).await.unwrap().into_inner();
        fine(members.header);
        let leader = members.leader.expect("clients count an endpoint without leader as failed");
        assert_eq!(leader.client_urls, [format!("http://{}", scheduler.address)]);
        assert_ne!(leader.member_id, 0);
        assert_eq!(members.members, [leader]);
    }
    let info = client.get_cluster_info(GetClusterInfoRequest::default()).await.unwrap().into_inner();
    fine(info.header);
    assert_eq!(info.service_modes, [ServiceMode::PdSvcMode as i32]);
}

#[tokio::test]
async fn requests_for_another_cluster_are_refused_naming_both() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let header = Some(RequestHeader { cluster_id: 99, ..Default::default() });
    let statuses = [
        client.alloc_id(AllocIdRequest { header: header.clone(), count: 1 }).await.unwrap_err(),
        client.is_bootstrapped(IsBootstrappedRequest { header: header.clone() }).await.unwrap_err(),
        client.get_store(GetStoreRequest { header: header.clone(), store_id: 1 }).await.unwrap_err(),
        client.put_store(PutStoreRequest { header: header.clone(), store: Some(store(1)) }).await.unwrap_err(),
        client.get_region(GetRegionRequest { header: header.clone(), ..Default::default() }).await.unwrap_err(),
        client.update_gc_safe_point(UpdateGcSafePointRequest { header, safe_point: 7 }).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("99") && status.message().contains("4242"), "{status}");
    }
    // Without a cluster id the call is taken as it is.
    let safe_point = client.get_gc_safe_point(GetGcSafePointRequest::default()).await.unwrap().into_inner();
    fine(safe_point.header);
    assert_eq!(safe_point.safe_point, 0);
}

#[tokio::test]
async fn ids_are_consecutive_within_a_request() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let one = client.alloc_id(AllocIdRequest { header: header(), count: 0 }).await.unwrap().into_inner();
    fine(one.header);
    assert_eq!((one.id, one.count), (1, 1));
    let ten = client.alloc_id(AllocIdRequest { header: header(), count: 10 }).await.unwrap().into_inner();
    assert_eq!((ten.id, ten.count), (11, 10));
    let many = client.alloc_id(AllocIdRequest { header: header(), count: u32::MAX }).await.unwrap().into_inner();
    refused(many.header, ErrorType::InvalidValue, "at most");
}

#[tokio::test]
async fn stores_are_registered_found_and_listed() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let found = client.get_store(GetStoreRequest { header: header(), store_id: 2 }).await.unwrap().into_inner();
    fine(found.header);
    assert_eq!(found.store.unwrap().address, "127.0.0.1:20002");

    let unknown = client.get_store(GetStoreRequest { header: header(), store_id: 9 }).await.unwrap().into_inner();
    assert_eq!(error_of(unknown.header), Some((ErrorType::Unknown, "invalid store ID 9, not found".into())));

    let thief = metapb::Store { address: store(1).address, ..store(4) };
    let thief = PutStoreRequest { header: header(), store: Some(thief) };
    let answer = client.put_store(thief).await.unwrap().into_inner();
    refused(answer.header, ErrorType::DuplicatedEntry, "store 1 has it");
    let nothing = client.put_store(PutStoreRequest { header: header(), store: None }).await.unwrap().into_inner();
    refused(nothing.header, ErrorType::InvalidValue, "store");

    let moved = metapb::Store { address: "10.0.0.2:20160".into(), ..store(2) };
    fine(client.put_store(PutStoreRequest { header: header(), store: Some(moved) }).await.unwrap().into_inner().header);
    let all = GetAllStoresRequest { header: header(), exclude_tombstone_stores: true };
    let all = client.get_all_stores(all).await.unwrap().into_inner();
    let addresses: Vec<_> = all.stores.iter().map(|store| store.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1:20001", "10.0.0.2:20160", "127.0.0.1:20003"]);

    scheduler.clock.set(5_000_000);
    let stats = Some(StoreStats { store_id: 3, capacity: 100, ..Default::default() });
    let beat = client.store_heartbeat(StoreHeartbeatRequest { header: header(), stats }).await.unwrap().into_inner();
    fine(beat.header);
    assert_eq!(beat.state, metapb::NodeState::Serving as i32);
    let found = client.get_store(GetStoreRequest { header: header(), store_id: 3 }).await.unwrap().into_inner();
    assert_eq!(found.stats.unwrap().capacity, 100);
    assert_eq!(found.store.unwrap().last_heartbeat, 5_000_000_000_000);
}

#[tokio::test]
async fn before_the_bootstrap_region_calls_say_so() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let answer = client.is_bootstrapped(IsBootstrappedRequest { header: header() }).await.unwrap().into_inner();
    assert!(!answer.bootstrapped);
    let answer = client.get_region(GetRegionRequest { header: header(), ..Default::default() }).await.unwrap();
    refused(answer.into_inner().header, ErrorType::NotBootstrapped, "not bootstrapped");
    let answer = client.scan_regions(ScanRegionsRequest { header: header(), ..Default::default() }).await.unwrap();
    refused(answer.into_inner().header, ErrorType::NotBootstrapped, "not bootstrapped");

    // One region in the usual field is enough, as TiKV's stores bring it.
    let mut whole = region(1, ("", ""), 1);
    whole.peers.truncate(1);
    let request =
        BootstrapRequest { header: header(), store: Some(store(1)), region: Some(whole), ..Default::default() };
    fine(client.bootstrap(request.clone()).await.unwrap().into_inner().header);
    let again = client.bootstrap(request).await.unwrap().into_inner();
    refused(again.header, ErrorType::AlreadyBootstrapped, "already");
    let answer = client.is_bootstrapped(IsBootstrappedRequest { header: header() }).await.unwrap().into_inner();
    assert!(answer.bootstrapped);
}

#[tokio::test]
async fn a_bootstrap_on_unregistered_stores_is_refused() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let request = BootstrapRequest { header: header(), store: Some(store(1)), region: None, regions: first_regions() };
    let answer = client.bootstrap(request).await.unwrap().into_inner();
    refused(answer.header, ErrorType::Unknown, "invalid store ID 2, not found");
}

#[tokio::test]
async fn regions_are_found_by_key_by_id_and_by_neighbour() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let by_key = |key: &'static str| GetRegionRequest { header: header(), region_key: key.into(), need_buckets: false };
    let id = |response: tonic::Response<GetRegionResponse>| {
        let response = response.into_inner();
        fine(response.header);
        response.region.map(|region| region.id)
    };
    assert_eq!(id(client.get_region(by_key("")).await.unwrap()), Some(1));
    assert_eq!(id(client.get_region(by_key("m")).await.unwrap()), Some(2));
    assert_eq!(id(client.get_prev_region(by_key("m")).await.unwrap()), Some(1));
    assert_eq!(id(client.get_prev_region(by_key("a")).await.unwrap()), None);
    let by_id = |region_id| GetRegionByIdRequest { header: header(), region_id, need_buckets: false };
    assert_eq!(id(client.get_region_by_id(by_id(2)).await.unwrap()), Some(2));
    assert_eq!(id(client.get_region_by_id(by_id(7)).await.unwrap()), None);
}

#[tokio::test]
async fn scans_answer_in_both_forms() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let scan = |start: &'static str, end: &'static str, limit| ScanRegionsRequest {
        header: header(),
        start_key: start.into(),
        end_key: end.into(),
        limit,
    };
    let all = client.scan_regions(scan("", "", 0)).await.unwrap().into_inner();
    fine(all.header);
    assert_eq!(all.region_metas, first_regions());
    assert_eq!(all.leaders, vec![metapb::Peer::default(); 2], "no leader is known yet");
    assert_eq!(all.regions.len(), 2);
    let first = client.scan_regions(scan("", "", 1)).await.unwrap().into_inner();
    assert_eq!(first.region_metas, first_regions()[..1]);
    let last = client.scan_regions(scan("n", "", -1)).await.unwrap().into_inner();
    assert_eq!(last.region_metas, first_regions()[1..]);
    let reversed = client.scan_regions(scan("n", "a", 0)).await.unwrap().into_inner();
    refused(reversed.header, ErrorType::InvalidValue, "reversed");
}

#[tokio::test]
async fn several_ranges_are_scanned_at_once() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let range = |start: &'static str, end: &'static str| KeyRange { start_key: start.into(), end_key: end.into() };
    let batch = |ranges, limit, contain_all_key_range| BatchScanRegionsRequest {
        header: header(),
        need_buckets: false,
        ranges,
        limit,
        contain_all_key_range,
    };
    let ids = |response: tonic::Response<BatchScanRegionsResponse>| {
        let response = response.into_inner();
        fine(response.header);
        response.regions.iter().map(|region| region.region.as_ref().unwrap().id).collect::<Vec<_>>()
    };
    let shared = vec![range("a", "b"), range("c", "n"), range("x", "")];
    assert_eq!(ids(client.batch_scan_regions(batch(shared.clone(), 0, true)).await.unwrap()), [1, 2]);
    assert_eq!(ids(client.batch_scan_regions(batch(shared.clone(), 1, true)).await.unwrap()), [1]);

    // The right half of region 1 has not reported yet: "g" to "m" is a hole.
    let scheduler_client = scheduler.scheduler_client().await;
    scheduler_client.report_batch_split(vec![region(5, ("", "g"), 2)]).await.unwrap();
    assert_eq!(ids(client.batch_scan_regions(batch(shared.clone(), 0, false)).await.unwrap()), [5, 2]);
    assert_eq!(ids(client.batch_scan_regions(batch(vec![range("a", "g")], 0, true)).await.unwrap()), [5]);
    for ranges in [shared, vec![range("a", "h")], vec![range("h", "i")], vec![range("h", "")]] {
        let hole = client.batch_scan_regions(batch(ranges, 0, true)).await.unwrap().into_inner();
        refused(hole.header, ErrorType::RegionsNotContainAllKeyRange, "no region is known");
    }
}

#[tokio::test]
async fn splits_get_ids_and_are_reported() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let ask = AskBatchSplitRequest {
        header: header(),
        region: Some(region(1, ("", "m"), 1)),
        split_count: 2,
        ..Default::default()
    };
    let ids = client.ask_batch_split(ask.clone()).await.unwrap().into_inner();
    fine(ids.header);
    assert_eq!(ids.ids.iter().map(|id| id.new_peer_ids.len()).collect::<Vec<_>>(), [3, 3]);

    let regions = vec![region(11, ("", "g"), 2), region(1, ("g", "m"), 2)];
    let report = ReportBatchSplitRequest { header: header(), regions };
    fine(client.report_batch_split(report).await.unwrap().into_inner().header);
    let stale = client.ask_batch_split(ask).await.unwrap().into_inner();
    refused(stale.header, ErrorType::Unknown, "stale");
}

#[tokio::test]
async fn settings_can_be_read_and_changed() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let put = |max_peer_count| PutClusterConfigRequest {
        header: header(),
        cluster: Some(metapb::Cluster { id: CLUSTER_ID, max_peer_count }),
    };
    fine(client.put_cluster_config(put(5)).await.unwrap().into_inner().header);
    let zero = client.put_cluster_config(put(0)).await.unwrap().into_inner();
    refused(zero.header, ErrorType::InvalidValue, "max_peer_count");
    let config = client.get_cluster_config(GetClusterConfigRequest { header: header() }).await.unwrap().into_inner();
    assert_eq!(config.cluster, Some(metapb::Cluster { id: CLUSTER_ID, max_peer_count: 5 }));
}

#[tokio::test]
async fn safe_points_and_service_wishes_show_in_the_gc_state() {
    let scheduler = TestScheduler::start().await;
    let mut client = scheduler.client().await;
    let update = |safe_point| UpdateGcSafePointRequest { header: header(), safe_point };
    assert_eq!(client.update_gc_safe_point(update(100)).await.unwrap().into_inner().new_safe_point, 100);
    assert_eq!(client.update_gc_safe_point(update(50)).await.unwrap().into_inner().new_safe_point, 100);
    let service =
        UpdateServiceGcSafePointRequest { header: header(), service_id: "cdc".into(), ttl: 60, safe_point: 150 };
    let smallest = client.update_service_gc_safe_point(service).await.unwrap().into_inner();
    fine(smallest.header);
    assert_eq!((smallest.service_id.as_ref(), smallest.ttl, smallest.min_safe_point), (&b"cdc"[..], 60, 150));

    // What Go's transactional client sends at its start, and dereferences without a check.
    let scope = Some(KeyspaceScope { keyspace_id: u32::MAX });
    let request = GetGcStateRequest { header: header(), keyspace_scope: scope, ..Default::default() };
    let state = client.get_gc_state(request.clone()).await.unwrap().into_inner().gc_state.unwrap();
    assert_eq!((state.keyspace_scope, state.gc_safe_point, state.txn_safe_point), (scope, 100, 100));
    assert_eq!(state.gc_barriers[0].barrier_id, "cdc");
    let without = GetGcStateRequest { exclude_gc_barriers: true, ..request };
    assert!(client.get_gc_state(without).await.unwrap().into_inner().gc_state.unwrap().gc_barriers.is_empty());
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let statuses = [
        client.scatter_region(ScatterRegionRequest::default()).await.unwrap_err(),
        client.split_regions(SplitRegionsRequest::default()).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(!status.message().is_empty());
    }
}

#[tokio::test]
async fn etcds_calls_and_the_health_service_answer_on_the_same_port() {
    let scheduler = TestScheduler::start().await;
    let url = format!("http://{}", scheduler.address);
    let mut etcd = ClusterClient::connect(url.clone()).await.unwrap();
    let members = etcd.member_list(MemberListRequest::default()).await.unwrap().into_inner().members;
    assert_eq!(members.len(), 1);
    assert!(!members[0].name.is_empty() && !members[0].is_learner);
    assert_eq!(members[0].client_ur_ls[0], url);

    let mut kv = KvClient::connect(url.clone()).await.unwrap();
    let saved = RangeRequest { key: "/tidb/store/gcworker/saved_safe_point".into(), ..Default::default() };
    assert!(kv.range(saved.clone()).await.unwrap().into_inner().kvs.is_empty());
    let update = UpdateGcSafePointRequest { header: header(), safe_point: 12_345 };
    scheduler.client().await.update_gc_safe_point(update).await.unwrap();
    assert_eq!(kv.range(saved).await.unwrap().into_inner().kvs[0].value, "12345");
    let other = RangeRequest { key: "/other".into(), ..Default::default() };
    assert_eq!(kv.range(other).await.unwrap_err().code(), Code::Unimplemented);

    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "pdpb.PD"] {
        let status = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(status.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
}

#[tokio::test]
async fn a_restart_keeps_everything_but_the_leaders() {
    let scheduler = TestScheduler::bootstrapped().await;
    let mut client = scheduler.client().await;
    let last_id = client.alloc_id(AllocIdRequest { header: header(), count: 5 }).await.unwrap().into_inner().id;
    client.update_gc_safe_point(UpdateGcSafePointRequest { header: header(), safe_point: 9 }).await.unwrap();
    let cluster = Some(metapb::Cluster { id: CLUSTER_ID, max_peer_count: 5 });
    client.put_cluster_config(PutClusterConfigRequest { header: header(), cluster }).await.unwrap();

    let scheduler = scheduler.restart().await;
    let mut client = scheduler.client().await;
    let id = client.alloc_id(AllocIdRequest { header: header(), count: 1 }).await.unwrap().into_inner().id;
    assert!(id > last_id);
    let answer = client.is_bootstrapped(IsBootstrappedRequest { header: header() }).await.unwrap().into_inner();
    assert!(answer.bootstrapped);
    let stores = client.get_all_stores(GetAllStoresRequest { header: header(), ..Default::default() }).await.unwrap();
    let expected: Vec<_> = (1..=3).map(store).collect();
    let addresses = |stores: &[metapb::Store]| stores.iter().map(|store| store.address.clone()).collect::<Vec<_>>();
    assert_eq!(addresses(&stores.into_inner().stores), addresses(&expected));
    let regions = client.scan_regions(ScanRegionsRequest { header: header(), ..Default::default() }).await.unwrap();
    assert_eq!(regions.into_inner().region_metas, first_regions());
    let safe_point = client.get_gc_safe_point(GetGcSafePointRequest { header: header() }).await.unwrap().into_inner();
    assert_eq!(safe_point.safe_point, 9);
    let config = client.get_cluster_config(GetClusterConfigRequest { header: header() }).await.unwrap().into_inner();
    assert_eq!(config.cluster.unwrap().max_peer_count, 5);
}
