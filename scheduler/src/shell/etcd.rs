//! The few calls of etcd's protocol that transactional clients make on the scheduler's port.

use std::sync::Arc;

use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::kv_server::Kv;
use proto::etcdserverpb::{
    KeyValue, Member, MemberListRequest, MemberListResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader,
};
use storage::Engine;
use tonic::{Request, Response, Status};

use super::node::Node;

/// Older Go clients read garbage collection's safe point under this key, as a decimal number.
const SAVED_SAFE_POINT: &[u8] = b"/tidb/store/gcworker/saved_safe_point";

/// Implements both services.
pub(crate) struct Etcd<E>(pub(crate) Arc<Node<E>>);

impl<E: Engine> Etcd<E> {
    fn header(&self) -> Option<ResponseHeader> {
        let Node { cluster_id, .. } = *self.0;
        Some(ResponseHeader { cluster_id, member_id: self.0.member().member_id, revision: 1, raft_term: 1 })
    }
}

#[tonic::async_trait]
impl<E: Engine> Cluster for Etcd<E> {
    async fn member_list(&self, _: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let member = self.0.member();
        let member = Member {
            id: member.member_id,
            name: member.name,
            peer_ur_ls: member.peer_urls,
            client_ur_ls: member.client_urls,
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse { header: self.header(), members: vec![member] }))
    }
}

#[tonic::async_trait]
impl<E: Engine> Kv for Etcd<E> {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        if request.key != SAVED_SAFE_POINT || !request.range_end.is_empty() {
            return Err(Status::unimplemented("the scheduler answers for the key of the GC safe point only"));
        }
        let safe_point = self.0.cluster().gc_safe_point();
        let value = KeyValue {
            key: request.key,
            value: safe_point.to_string().into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            ..Default::default()
        };
        let kvs = if safe_point == 0 { Vec::new() } else { vec![value] };
        let count = kvs.len() as i64;
        Ok(Response::new(RangeResponse { header: self.header(), kvs, more: false, count }))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Err(Status::unimplemented("the scheduler is no etcd: it keeps no keys for clients"))
    }
}
