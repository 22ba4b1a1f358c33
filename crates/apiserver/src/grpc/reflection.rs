//! gRPC reflection, built when somebody asks for the first time: the descriptors take some milliseconds to decode, and megabytes
//! of memory, which a master that nobody explores has better uses for.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService, service::Routes};
use tonic_reflection::server::{Builder, Error};
use tower::{Service, ServiceExt as _};
use tracing::error;

/// The service. Cloning shares what was built.
#[derive(Clone, Debug, Default)]
pub(super) struct Reflection {
    built: Arc<OnceLock<Option<Routes>>>,
}

fn build() -> Result<Routes, Error> {
    let reflection = Builder::configure()
        .register_encoded_file_descriptor_set(rpc::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Routes::new(reflection))
}

impl Reflection {
    fn routes(&self) -> Option<Routes> {
        let build = || build().inspect_err(|error| error!(%error, "the descriptors are broken")).ok();
        self.built.get_or_init(build).clone()
    }
}

impl NamedService for Reflection {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl Service<Request<Body>> for Reflection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.routes() {
            Some(routes) => Box::pin(async move {
                let answered = routes.oneshot(request).await;
                Ok(answered.unwrap_or_else(|_| Status::internal("reflection failed").into_http()))
            }),
            None => Box::pin(async { Ok(Status::internal("the descriptors of this build are broken").into_http()) }),
        }
    }
}
