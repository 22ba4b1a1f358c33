//! The images of all masters: what this one has on disk, and what it gets from the others when somebody asks for it.
//!
//! The master to which an image is pushed tells the others, which copy it. A master that was away copies what it lacks when it
//! is asked for it.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use api::{Error, Reason};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, future::join_all};
use rpc::Client;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::{
    blobs::{Blobs, Digest, UploadError},
    manifest::{self, Manifest},
};

/// How long the others get to copy an image before whoever pushed it is answered.
const COPY_TIMEOUT: Duration = Duration::from_secs(20);

/// The most names of images that are kept for a slow reader; beyond that it is told that there were more.
const ARRIVALS_MAX: usize = 256;

/// The other masters of the cluster, as they are at the moment.
pub trait Peers: Send + Sync + 'static {
    /// A client for each of the others, of that one only.
    fn clients(&self) -> Vec<Client>;

    /// Where the others reach this master.
    fn own_url(&self) -> String;

    /// A client of the master at a URL.
    ///
    /// # Errors
    /// If the URL is not one.
    fn client(&self, url: &str) -> Result<Client, Error>;
}

/// A master without others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Peers for Alone {
    fn clients(&self) -> Vec<Client> {
        Vec::new()
    }

    fn own_url(&self) -> String {
        String::new()
    }

    fn client(&self, _: &str) -> Result<Client, Error> {
        Err(Error::bad_request("this master has no others"))
    }
}

/// The images of this master and, behind it, of the others. Cloning shares it.
#[derive(Clone)]
pub struct Images {
    pub(crate) blobs: Blobs,
    peers: Arc<dyn Peers>,
    /// The names of images that came here.
    arrivals: broadcast::Sender<String>,
}

impl Images {
    /// Opens the images in a directory, made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub async fn open(dir: &Path, peers: Arc<dyn Peers>) -> io::Result<Self> {
        let blobs = Blobs::open(dir).await?;
        separate(&blobs).await?;
        Ok(Self { blobs, peers, arrivals: broadcast::Sender::new(ARRIVALS_MAX) })
    }

    /// The names of images that come here from now on, as manifests of Pods have them.
    #[must_use]
    pub fn arrivals(&self) -> broadcast::Receiver<String> {
        self.arrivals.subscribe()
    }

    /// An image came here under a name: whoever waits for it may have it.
    fn arrived(&self, name: &str, reference: &str) {
        let mark = if reference.parse::<Digest>().is_ok() { '@' } else { ':' };
        // Nobody waiting is no failure.
        let _ = self.arrivals.send(format!("{name}{mark}{reference}"));
    }

    /// A manifest that this master has.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn own_manifest(&self, name: &str, reference: &str) -> Result<Option<Manifest>, Error> {
        self.on_disk(name, reference).await.map_err(|error| failed(&error))
    }

    async fn on_disk(&self, name: &str, reference: &str) -> io::Result<Option<Manifest>> {
        let digest = match reference.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(_) => self.blobs.resolve(name, reference).await?,
        };
        let Some(digest) = digest else { return Ok(None) };
        let found = self.blobs.manifest(name, &digest).await?;
        Ok(found.map(|(media_type, content)| Manifest { digest, media_type, content }))
    }

    /// A manifest that any master has. What another one has is copied first.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn manifest(&self, name: &str, reference: &str) -> Result<Option<Manifest>, Error> {
        if let Some(found) = self.own_manifest(name, reference).await? {
            return Ok(Some(found));
        }
        for other in self.peers.clients() {
            match self.copy(&other, name, reference).await {
                Ok(()) => return self.own_manifest(name, reference).await,
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => tracing::warn!(%error, name, reference, "another master could not be asked for an image"),
            }
        }
        Ok(None)
    }

    /// The bytes of a blob that this master has in a repository, piece by piece.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn own_blob(
        &self,
        name: &str,
        digest: &Digest,
    ) -> Result<Option<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>>, Error> {
        let is_held = self.blobs.holds(name, digest).await.map_err(|error| failed(&error))?;
        let size = if is_held { self.blobs.size(digest).await.map_err(|error| failed(&error))? } else { None };
        let read = |size| self.blobs.read(digest, 0..size).map(|piece| piece.map_err(|error| failed(&error)));
        Ok(size.map(read))
    }

    /// Makes sure that a blob of a repository is here if any master has it there.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn fetch(&self, name: &str, digest: &Digest) -> Result<(), Error> {
        if self.blobs.holds(name, digest).await.map_err(|error| failed(&error))? {
            return Ok(());
        }
        for other in self.peers.clients() {
            match self.copy_blob(&other, name, digest).await {
                Ok(()) => return Ok(()),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => tracing::warn!(%error, %digest, "another master could not be asked for a blob"),
            }
        }
        Ok(())
    }

    /// Copies an image with everything that it refers to, then its name: what can be named can be pulled.
    async fn copy(&self, from: &Client, name: &str, reference: &str) -> Result<(), Error> {
        let theirs = from.manifest(name, reference, true).await?;
        let digest: Digest = theirs.digest.parse().map_err(Error::internal)?;
        if Digest::of(&theirs.content) != digest {
            return Err(Error::internal("a manifest came that does not have its digest"));
        }
        let content: Value = serde_json::from_slice(&theirs.content).map_err(Error::internal)?;
        for part in manifest::references(&content).map_err(Error::internal)? {
            if !self.blobs.holds(name, &part).await.map_err(Error::internal)? {
                self.copy_blob(from, name, &part).await?;
            }
        }
        self.blobs.put_manifest(name, &theirs.media_type, &theirs.content).await.map_err(Error::internal)?;
        if reference.parse::<Digest>().is_err() {
            self.blobs.tag(name, reference, &digest).await.map_err(Error::internal)?;
        }
        self.arrived(name, reference);
        Ok(())
    }

    async fn copy_blob(&self, from: &Client, name: &str, digest: &Digest) -> Result<(), Error> {
        let body = from.blob(name, &digest.to_string(), true).await?;
        // The other one answers, so the repository holds it; what is here already need not come again.
        if self.blobs.size(digest).await.map_err(|error| failed(&error))?.is_some() {
            return self.blobs.link(name, digest).await.map_err(|error| failed(&error));
        }
        let id = self.blobs.begin(name).await.map_err(upload_error)?;
        let copied = async {
            self.blobs.append(name, &id, None, Box::pin(body)).await?;
            self.blobs.finish(name, &id, digest).await
        };
        match copied.await {
            Ok(()) => Ok(()),
            Err(error) => {
                // What is left of it goes with the upload; failing to drop it costs disk space until the next start.
                let _ = self.blobs.cancel(name, &id).await;
                Err(upload_error(error))
            }
        }
    }

    /// Another master has an image: keeps a copy.
    ///
    /// # Errors
    /// If the master cannot be asked, or the copy cannot be kept.
    pub async fn copy_from(&self, master: &str, name: &str, reference: &str) -> Result<(), Error> {
        let client = self.peers.client(master)?;
        self.copy(&client, name, reference).await
    }

    /// Tells nodes and the other masters of an image that was pushed here, and waits until they have it or a while has passed.
    pub(crate) async fn tell_others(&self, name: &str, reference: &str) {
        self.arrived(name, reference);
        let own = self.peers.own_url();
        let tell = |other: Client| {
            let own = own.clone();
            async move {
                let told = tokio::time::timeout(COPY_TIMEOUT, other.announce(name, reference, &own)).await;
                match told {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, name, reference, "another master has no copy of an image"),
                    Err(_) => tracing::warn!(name, reference, "another master takes long to copy an image"),
                }
            }
        };
        join_all(self.peers.clients().into_iter().map(tell)).await;
    }

    /// Stores a module that comes piece by piece as an image of one layer, and tells the others. Answers the digest of its
    /// manifest.
    ///
    /// # Errors
    /// If the pieces break off or are too many, or the disk fails.
    pub async fn push<E: fmt::Display>(
        &self,
        name: &str,
        tag: &str,
        pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Digest, Error> {
        let stored = async {
            let id = self.blobs.begin(name).await?;
            let size = self.blobs.append(name, &id, None, pieces).await?;
            let layer = self.blobs.seal(name, &id).await?;
            Ok((layer, size))
        };
        let (layer, size) = stored.await.map_err(upload_error)?;
        let digest = self.store_module(name, tag, &layer, size).await.map_err(|error| failed(&error))?;
        self.tell_others(name, tag).await;
        Ok(digest)
    }

    async fn store_module(&self, name: &str, tag: &str, layer: &Digest, size: u64) -> io::Result<Digest> {
        let config = self.blobs.put(name, manifest::CONFIG).await?;
        let manifest = manifest::of_module(&config, layer, size);
        let digest = self.blobs.put_manifest(name, manifest::MEDIA_TYPE, manifest.as_bytes()).await?;
        self.blobs.tag(name, tag, &digest).await?;
        Ok(digest)
    }
}

/// Lets each repository hold what its manifests refer to, where that was not kept yet.
async fn separate(blobs: &Blobs) -> io::Result<()> {
    if blobs.is_separated().await? {
        return Ok(());
    }
    for name in blobs.repositories().await? {
        for digest in blobs.manifests(&name).await? {
            let Some((_, content)) = blobs.manifest(&name, &digest).await? else { continue };
            let content: Value = serde_json::from_slice(&content).unwrap_or_default();
            for part in manifest::references(&content).unwrap_or_default() {
                blobs.link(&name, &part).await?;
            }
        }
    }
    blobs.note_separated().await
}

/// What is told of a disk that fails; the log has it as well.
pub(crate) fn failed(error: &io::Error) -> Error {
    tracing::error!(%error, "the image store failed");
    Error::internal(format!("the image store failed: {error}"))
}

fn upload_error(error: UploadError) -> Error {
    let reason = match &error {
        UploadError::TooMany => Reason::TooManyRequests,
        UploadError::TooLarge => Reason::RequestEntityTooLarge,
        UploadError::Unknown | UploadError::Gap(_) | UploadError::Mismatch(_) | UploadError::Body(_) => {
            Reason::BadRequest
        }
        UploadError::Disk(_) => Reason::InternalError,
    };
    Error::new(reason, error)
}
