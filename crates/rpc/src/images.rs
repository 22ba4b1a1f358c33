//! Images of the masters' own registry.

use api::Error;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};

use crate::{
    Client, MESSAGE_BYTES_MAX,
    client::Repeat,
    security::Channel,
    services::{self, images_client::ImagesClient},
    status,
};

/// The bytes of a module in one message.
const PIECE_BYTES: usize = 1 << 20;

impl Client {
    /// Reads a manifest. `reference` is a tag or a digest; with `local` a master answers only what it has itself.
    ///
    /// # Errors
    /// [`api::Reason::NotFound`] if no master has it; otherwise if no master answers.
    pub async fn manifest(&self, repository: &str, reference: &str, local: bool) -> Result<services::Manifest, Error> {
        let (repository, reference) = (repository.to_owned(), reference.to_owned());
        self.read_manifest(services::ManifestRequest { repository, reference, local, pod: None }).await
    }

    /// As [`Client::manifest`] of any master, for a Pod that wants to run the image.
    ///
    /// # Errors
    /// As [`Client::manifest`], and [`api::Reason::Forbidden`] if the Pod may not.
    pub async fn manifest_for(
        &self,
        pod: services::PullingPod,
        repository: &str,
        reference: &str,
    ) -> Result<services::Manifest, Error> {
        let (repository, reference) = (repository.to_owned(), reference.to_owned());
        self.read_manifest(services::ManifestRequest { repository, reference, local: false, pod: Some(pod) }).await
    }

    async fn read_manifest(&self, request: services::ManifestRequest) -> Result<services::Manifest, Error> {
        let send = |mut client: Images, request| async move { client.read_manifest(request).await };
        self.ask(Repeat::Always, images, request, send).await
    }

    /// Reads a blob of a repository by its digest, piece by piece.
    ///
    /// # Errors
    /// As [`Client::manifest`]. Whoever uses the bytes checks their digest.
    pub async fn blob(
        &self,
        repository: &str,
        digest: &str,
        local: bool,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>, Error> {
        let (repository, digest) = (repository.to_owned(), digest.to_owned());
        self.read_blob(services::BlobRequest { digest, local, repository, pod: None }).await
    }

    /// As [`Client::blob`] of any master, for a Pod that wants to run the image.
    ///
    /// # Errors
    /// As [`Client::manifest_for`].
    pub async fn blob_for(
        &self,
        pod: services::PullingPod,
        repository: &str,
        digest: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>, Error> {
        let (repository, digest) = (repository.to_owned(), digest.to_owned());
        self.read_blob(services::BlobRequest { digest, local: false, repository, pod: Some(pod) }).await
    }

    async fn read_blob(
        &self,
        request: services::BlobRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>, Error> {
        let send = |mut client: Images, request| async move { client.read_blob(request).await };
        let chunks = self.ask(Repeat::Always, images, request, send).await?;
        Ok(chunks.map(|chunk| chunk.map(|chunk| chunk.data).map_err(|error| status::from_tonic(&error))))
    }

    /// Stores a module under a name. Answers the digest of its manifest.
    ///
    /// # Errors
    /// If the name is malformed, the module is too large, or no master answers.
    pub async fn push(&self, repository: &str, tag: &str, module: Bytes) -> Result<String, Error> {
        // Storing the same bytes twice changes nothing, so it may be sent again.
        let pieces = pieces(repository, tag, &module);
        let send = |mut client: Images, pieces| async move { client.push(stream::iter(pieces)).await };
        Ok(self.ask(Repeat::Always, images, pieces, send).await?.digest)
    }

    /// Tells a master that the one at the URL `master` has an image.
    ///
    /// # Errors
    /// If it does not answer or cannot copy the image.
    pub async fn announce(&self, repository: &str, reference: &str, master: &str) -> Result<(), Error> {
        let request = services::AnnounceRequest {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            master: master.to_owned(),
        };
        let send = |mut client: Images, request| async move { client.announce(request).await };
        self.ask(Repeat::Always, images, request, send).await.map(drop)
    }
}

type Images = ImagesClient<Channel>;

fn images(channel: Channel) -> Images {
    let client = ImagesClient::new(channel);
    client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// The messages of a push. They share the module's bytes.
fn pieces(repository: &str, tag: &str, module: &Bytes) -> Vec<services::PushRequest> {
    let first = services::PushRequest {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        data: module.slice(..module.len().min(PIECE_BYTES)),
    };
    let more = (PIECE_BYTES..module.len()).step_by(PIECE_BYTES).map(|at| services::PushRequest {
        data: module.slice(at..module.len().min(at + PIECE_BYTES)),
        ..services::PushRequest::default()
    });
    std::iter::once(first).chain(more).collect()
}
