//! The gRPC service of images. That somebody of the cluster asks is decided at the [gate](crate::gate); whether it may read or write
//! in a repository is asked here, where its name is known.

use std::pin::Pin;

use api::{Error, Reason, Verb};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use images::{Digest, Images, Manifest, check_name, check_repository};
use registry::{Access, Puller, Registry};
use rpc::{
    services::{self, images_server},
    status::to_tonic,
};
use tonic::{Request, Response, Status, Streaming};

use crate::sender;

#[derive(Clone)]
pub(super) struct ImageService {
    pub(super) images: Images,
    pub(super) registry: Registry,
}

impl ImageService {
    /// The Registry for whoever sent a request.
    fn of<T>(&self, request: &Request<T>) -> Registry {
        self.registry.for_caller(sender::caller(request.extensions()))
    }
}

fn puller(pod: Option<services::PullingPod>) -> Option<Puller> {
    pod.map(|services::PullingPod { namespace, name, uid }| Puller { namespace, name, uid })
}

type Answer<T> = Result<Response<T>, Status>;

fn refused(error: Error) -> Status {
    to_tonic(&error)
}

fn unknown(what: impl std::fmt::Display) -> Status {
    refused(Error::new(Reason::NotFound, format!("{what} is not in this registry")))
}

#[tonic::async_trait]
impl images_server::Images for ImageService {
    type ReadBlobStream = Pin<Box<dyn Stream<Item = Result<services::BlobChunk, Status>> + Send>>;

    async fn read_manifest(&self, request: Request<services::ManifestRequest>) -> Answer<services::Manifest> {
        let (registry, asked) = (self.of(&request), request.into_inner());
        let services::ManifestRequest { repository, reference, local, pod } = asked;
        check_name(&repository, &reference).map_err(refused)?;
        registry.may_pull(puller(pod).as_ref(), &repository).await.map_err(refused)?;
        let found = if local {
            self.images.own_manifest(&repository, &reference).await
        } else {
            self.images.manifest(&repository, &reference).await
        };
        let missing = || unknown(format!("image \"{repository}:{reference}\""));
        let Manifest { digest, media_type, content } = found.map_err(refused)?.ok_or_else(missing)?;
        Ok(Response::new(services::Manifest { digest: digest.to_string(), media_type, content }))
    }

    async fn read_blob(&self, request: Request<services::BlobRequest>) -> Answer<Self::ReadBlobStream> {
        let (registry, asked) = (self.of(&request), request.into_inner());
        let services::BlobRequest { digest, local, repository, pod } = asked;
        let digest: Digest = digest.parse().map_err(|error| refused(Error::bad_request(error)))?;
        check_repository(&repository).map_err(refused)?;
        registry.may_pull(puller(pod).as_ref(), &repository).await.map_err(refused)?;
        if !local {
            self.images.fetch(&repository, &digest).await.map_err(refused)?;
        }
        let pieces =
            self.images.own_blob(&repository, &digest).await.map_err(refused)?.ok_or_else(|| unknown(&digest))?;
        let chunks = pieces.map(|piece| piece.map(|data| services::BlobChunk { data }).map_err(refused));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn push(&self, request: Request<Streaming<services::PushRequest>>) -> Answer<services::PushResponse> {
        let (registry, mut pieces) = (self.of(&request), request.into_inner());
        let empty = || refused(Error::bad_request("the push has no pieces"));
        let first = pieces.message().await?.ok_or_else(empty)?;
        let (repository, tag) = (first.repository, first.tag);
        check_name(&repository, &tag).map_err(refused)?;
        registry.authorise(Access::Images(Verb::Create, &repository)).await.map_err(refused)?;
        let rest = pieces.map_ok(|piece| piece.data);
        let body = futures::stream::iter([Ok::<Bytes, Status>(first.data)]).chain(rest);
        let digest = self.images.push(&repository, &tag, Box::pin(body)).await.map_err(refused)?;
        Ok(Response::new(services::PushResponse { digest: digest.to_string() }))
    }

    async fn announce(&self, request: Request<services::AnnounceRequest>) -> Answer<services::AnnounceResponse> {
        let services::AnnounceRequest { repository, reference, master } = request.into_inner();
        check_name(&repository, &reference).map_err(refused)?;
        self.images.copy_from(&master, &repository, &reference).await.map_err(refused)?;
        Ok(Response::new(services::AnnounceResponse {}))
    }
}
