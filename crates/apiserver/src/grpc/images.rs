//! The gRPC door to the images. Who may read and who may write is decided at the [gate](crate::gate).

use std::pin::Pin;

use api::{Error, Reason};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use rpc::{
    services::{self, images_server::Images},
    status::to_tonic,
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    blobs::Digest,
    gallery::{Gallery, Manifest, upload_error},
    oci,
};

#[derive(Clone)]
pub(super) struct ImagesDoor {
    pub(super) gallery: Gallery,
}

type Answer<T> = Result<Response<T>, Status>;

fn failed(error: &std::io::Error) -> Status {
    tracing::error!(%error, "the image store failed");
    to_tonic(&Error::internal(format!("the image store failed: {error}")))
}

fn unknown(what: impl std::fmt::Display) -> Status {
    to_tonic(&Error::new(Reason::NotFound, format!("{what} is not in this registry")))
}

#[tonic::async_trait]
impl Images for ImagesDoor {
    type ReadBlobStream = Pin<Box<dyn Stream<Item = Result<services::BlobChunk, Status>> + Send>>;

    async fn read_manifest(&self, request: Request<services::ManifestRequest>) -> Answer<services::Manifest> {
        let services::ManifestRequest { repository, reference, local } = request.into_inner();
        oci::check_name(&repository, &reference).map_err(|error| to_tonic(&error))?;
        let found = if local {
            self.gallery.own_manifest(&repository, &reference).await
        } else {
            self.gallery.manifest(&repository, &reference).await
        };
        let found = found.map_err(|error| failed(&error))?;
        let missing = || unknown(format!("image \"{repository}:{reference}\""));
        let Manifest { digest, media_type, content } = found.ok_or_else(missing)?;
        Ok(Response::new(services::Manifest { digest: digest.to_string(), media_type, content }))
    }

    async fn read_blob(&self, request: Request<services::BlobRequest>) -> Answer<Self::ReadBlobStream> {
        let services::BlobRequest { digest, local } = request.into_inner();
        let digest: Digest = digest.parse().map_err(|error| to_tonic(&Error::bad_request(error)))?;
        if !local {
            self.gallery.fetch(&digest).await.map_err(|error| failed(&error))?;
        }
        let size = self.gallery.blobs.size(&digest).await.map_err(|error| failed(&error))?;
        let chunks = self.gallery.blobs.read(&digest, 0..size.ok_or_else(|| unknown(&digest))?);
        let chunks = chunks.map(|chunk| chunk.map(|data| services::BlobChunk { data }).map_err(|error| failed(&error)));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn push(&self, request: Request<Streaming<services::PushRequest>>) -> Answer<services::PushResponse> {
        let mut pieces = request.into_inner();
        let empty = || to_tonic(&Error::bad_request("the push has no pieces"));
        let first = pieces.message().await?.ok_or_else(empty)?;
        let (repository, tag) = (first.repository, first.tag);
        oci::check_name(&repository, &tag).map_err(|error| to_tonic(&error))?;
        let rest = pieces.map_ok(|piece| piece.data);
        let body = futures::stream::iter([Ok::<Bytes, Status>(first.data)]).chain(rest);
        let stored = async {
            let id = self.gallery.blobs.begin().await?;
            let size = self.gallery.blobs.append(&id, None, Box::pin(body)).await?;
            let layer = self.gallery.blobs.seal(&id).await?;
            Ok((layer, size))
        };
        let (layer, size) = stored.await.map_err(|error| to_tonic(&upload_error(error)))?;
        let digest =
            self.gallery.store_module(&repository, &tag, &layer, size).await.map_err(|error| failed(&error))?;
        self.gallery.tell_others(&repository, &tag).await;
        Ok(Response::new(services::PushResponse { digest: digest.to_string() }))
    }

    async fn announce(&self, request: Request<services::AnnounceRequest>) -> Answer<services::AnnounceResponse> {
        let services::AnnounceRequest { repository, reference, master } = request.into_inner();
        oci::check_name(&repository, &reference).map_err(|error| to_tonic(&error))?;
        let copied = self.gallery.copy_from(&master, &repository, &reference).await;
        copied.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::AnnounceResponse {}))
    }
}
