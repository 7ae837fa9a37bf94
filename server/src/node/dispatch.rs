//! Which of the two gRPC services of a store gets a request.
//!
//! tonic's own router is made for many services: it parses and matches the path with a general routing tree and boxes bodies on
//! the way, which shows at tens of thousands of requests a second. Here one comparison decides.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};

/// Paths of the health service begin with this; all others go to the store's service, which refuses those that it does not know.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// The store's service `T` and the health service `H` on one port.
#[derive(Clone)]
pub(super) struct Dispatch<T, H> {
    pub tikv: T,
    pub health: H,
}

impl<T, H> Service<http::Request<Body>> for Dispatch<T, H>
where
    T: GrpcService,
    H: GrpcService,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Generated services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) { self.health.call(request) } else { self.tikv.call(request) }
    }
}

/// What tonic generates for a service.
pub(super) trait GrpcService:
    Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future = BoxFuture<http::Response<Body>, Infallible>,
    >
{
}

impl<S> GrpcService for S where
    S: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future = BoxFuture<http::Response<Body>, Infallible>,
        >
{
}
