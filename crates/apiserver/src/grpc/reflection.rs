//! gRPC reflection, in both versions of its protocol, built when somebody asks for the first time: the descriptors take some
//! milliseconds to decode, and megabytes of memory, which a master that nobody explores has better uses for.

use std::{
    convert::Infallible,
    marker::PhantomData,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService, service::Routes};
use tonic_reflection::{
    pb,
    server::{Builder, Error},
};
use tower::{Service, ServiceExt as _};
use tracing::error;

/// A version of the protocol. They differ in name only: new tools ask for the first and fall back, older ones know the second
/// alone.
pub(super) trait Version {
    /// The service.
    const NAME: &'static str;

    /// The service over some descriptors.
    fn routes(descriptors: Builder<'static>) -> Result<Routes, Error>;
}

/// `v1`.
#[derive(Clone, Copy, Debug)]
pub(super) enum V1 {}

/// `v1alpha`.
#[derive(Clone, Copy, Debug)]
pub(super) enum V1Alpha {}

impl Version for V1 {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";

    fn routes(descriptors: Builder<'static>) -> Result<Routes, Error> {
        Ok(Routes::new(descriptors.build_v1()?))
    }
}

impl Version for V1Alpha {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";

    fn routes(descriptors: Builder<'static>) -> Result<Routes, Error> {
        Ok(Routes::new(descriptors.build_v1alpha()?))
    }
}

/// The service in a version. Cloning shares what was built.
#[derive(Clone, Debug)]
pub(super) struct Reflection<V> {
    built: Arc<OnceLock<Option<Routes>>>,
    version: PhantomData<V>,
}

/// Whichever version is asked, it tells of both.
fn descriptors() -> Builder<'static> {
    let ours = [api::DESCRIPTORS, rpc::DESCRIPTORS, rpc::DETAIL_DESCRIPTORS];
    let beside = [tonic_health::pb::FILE_DESCRIPTOR_SET, pb::v1::FILE_DESCRIPTOR_SET, pb::v1alpha::FILE_DESCRIPTOR_SET];
    ours.into_iter().chain(beside).fold(Builder::configure(), Builder::register_encoded_file_descriptor_set)
}

impl<V: Version> Reflection<V> {
    pub(super) fn new() -> Self {
        Self { built: Arc::default(), version: PhantomData }
    }

    fn routes(&self) -> Option<Routes> {
        let build = || V::routes(descriptors()).inspect_err(|error| error!(%error, "the descriptors are broken")).ok();
        self.built.get_or_init(build).clone()
    }
}

impl<V: Version> NamedService for Reflection<V> {
    const NAME: &'static str = V::NAME;
}

impl<V: Version> Service<Request<Body>> for Reflection<V> {
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use futures::stream;
    use prost::Message as _;
    use prost_types::FileDescriptorProto;
    use tonic_reflection::pb::{v1, v1alpha};

    use super::*;

    /// Asks one question in a version of the protocol, whose messages are alike.
    macro_rules! ask {
        ($module:ident, $version:ty, $question:ident($text:expr)) => {{
            use $module::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
            };
            let message_request = Some(MessageRequest::$question($text));
            let request = ServerReflectionRequest { host: String::new(), message_request };
            let mut client = ServerReflectionClient::new(Reflection::<$version>::new());
            let mut answers = client.server_reflection_info(stream::iter([request])).await.unwrap().into_inner();
            answers.message().await.unwrap().unwrap().message_response.unwrap()
        }};
    }

    async fn file(question: &str, text: &str) -> FileDescriptorProto {
        let answer = match question {
            "name" => ask!(v1, V1, FileByFilename(text.to_owned())),
            _ => ask!(v1, V1, FileContainingSymbol(text.to_owned())),
        };
        let v1::server_reflection_response::MessageResponse::FileDescriptorResponse(found) = answer else {
            panic!("{text}: {answer:?}")
        };
        FileDescriptorProto::decode(found.file_descriptor_proto[0].as_slice()).unwrap()
    }

    #[tokio::test]
    async fn both_versions_tell_of_the_same_services() {
        let services = {
            let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) =
                ask!(v1, V1, ListServices(String::new()))
            else {
                panic!("no list")
            };
            list.service.into_iter().map(|service| service.name).collect::<BTreeSet<_>>()
        };
        let older = {
            let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list) =
                ask!(v1alpha, V1Alpha, ListServices(String::new()))
            else {
                panic!("no list")
            };
            list.service.into_iter().map(|service| service.name).collect::<BTreeSet<_>>()
        };
        assert_eq!(services, older);
        for name in
            [V1::NAME, V1Alpha::NAME, "kapelle.api.v1.Objects", "kapelle.api.v1.Cluster", "grpc.health.v1.Health"]
        {
            assert!(services.contains(name), "{name} is not in {services:?}");
        }
    }

    /// As tools do: the file of a service, then whatever it imports.
    #[tokio::test]
    async fn everything_that_a_service_refers_to_is_told_with_its_comments() {
        let mut files = BTreeMap::new();
        let mut unread = vec![file("symbol", "kapelle.api.v1.Objects.Get").await];
        while let Some(file) = unread.pop() {
            for import in &file.dependency {
                if !files.contains_key(import) {
                    unread.push(self::file("name", import).await);
                }
            }
            files.insert(file.name().to_owned(), file);
        }
        assert!(files.contains_key("kapelle/core/v1/core.proto"), "{:?}", files.keys());
        for (name, file) in files.iter().filter(|(name, _)| name.starts_with("kapelle/")) {
            let places = &file.source_code_info.as_ref().unwrap().location;
            let commented = |path: &[i32]| {
                let place = places.iter().find(|place| place.path == path);
                place.is_some_and(|place| place.leading_comments.is_some() && matches!(place.span.len(), 3 | 4))
            };
            for (message, index) in file.message_type.iter().zip(0..) {
                assert!(commented(&[4, index]), "{name}: {}", message.name());
            }
            for (service, index) in file.service.iter().zip(0..) {
                assert!(commented(&[6, index]), "{name}: {}", service.name());
                for (method, at) in service.method.iter().zip(0..) {
                    assert!(commented(&[6, index, 2, at]), "{name}: {}", method.name());
                }
            }
        }
        file("symbol", "google.rpc.BadRequest").await;
        let pod = file("symbol", "kapelle.core.v1.Pod").await;
        assert_eq!(pod.options.unwrap().go_package(), "github.com/kapelle/kapelle/proto/kapelle/core/v1;corev1");
    }
}
