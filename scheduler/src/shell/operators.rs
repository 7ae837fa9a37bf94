//! `operatorpb.Operators`: people order changes of regions.

use std::sync::Arc;

use proto::operatorpb::operators_server::Operators;
use proto::operatorpb::{AddOperatorRequest, AddOperatorResponse, OperatorKind as Kind};
use slog::info;
use storage::Engine;
use tonic::{Request, Response, Status};

use super::node::Node;
use crate::state::OperatorKind;

/// Implements the service.
pub(crate) struct OperatorService<E>(pub(crate) Arc<Node<E>>);

#[tonic::async_trait]
impl<E: Engine> Operators for OperatorService<E> {
    async fn add_operator(
        &self,
        request: Request<AddOperatorRequest>,
    ) -> Result<Response<AddOperatorResponse>, Status> {
        let request = request.into_inner();
        let (store_id, now_ms) = (request.store_id, self.0.now_ms());
        let kind = match request.kind() {
            Kind::TransferLeader => OperatorKind::TransferLeader { store_id },
            Kind::AddPeer => OperatorKind::AddPeer { store_id, learner: false },
            Kind::AddLearner => OperatorKind::AddPeer { store_id, learner: true },
            Kind::RemovePeer => OperatorKind::RemovePeer { store_id },
            Kind::MovePeer => OperatorKind::MovePeer { from: store_id, to: request.to_store_id },
        };
        self.0.answer(request.header.as_ref(), |cluster| {
            let operator = cluster.add_operator(request.region_id, kind, now_ms)?;
            info!(self.0.logger, "operator"; "region" => request.region_id, "what" => %operator.kind);
            if let Some((store, order)) = cluster.order_now(request.region_id, now_ms) {
                self.0.heartbeat_streams.push(store, order);
            }
            Ok(AddOperatorResponse { description: operator.kind.to_string(), ..Default::default() })
        })
    }
}
