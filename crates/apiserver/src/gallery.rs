//! The images of all masters: what this one has on disk, and what it gets from the others when somebody asks for it.
//!
//! Whoever is pushed to tells the others, and they copy; a master that was away gets what it lacks when it is asked for it.

use std::{io, sync::Arc, time::Duration};

use api::{Error, Reason};
use bytes::Bytes;
use futures::future::join_all;
use rpc::Client;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::blobs::{BadDigest, Blobs, Digest, UploadError};

/// How long the others get to copy an image before whoever pushed it is answered.
const COPY_TIMEOUT: Duration = Duration::from_secs(20);

/// How many names of images may wait for a slow reader; it is told then that there were more.
const ARRIVALS_MAX: usize = 256;

/// The other masters of the cluster, as they are at the moment.
pub trait Others: Send + Sync + 'static {
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

impl Others for Alone {
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
pub(crate) struct Gallery {
    pub(crate) blobs: Blobs,
    others: Arc<dyn Others>,
    /// The names of images that came here.
    arrivals: broadcast::Sender<String>,
}

/// A manifest and what it is.
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) content: Bytes,
}

impl Gallery {
    pub(crate) fn new(blobs: Blobs, others: Arc<dyn Others>) -> Self {
        Self { blobs, others, arrivals: broadcast::Sender::new(ARRIVALS_MAX) }
    }

    /// The names of images that come here from now on, as manifests of Pods have them.
    pub(crate) fn arrivals(&self) -> broadcast::Receiver<String> {
        self.arrivals.subscribe()
    }

    /// An image came here under a name: whoever waits for it may have it.
    fn arrived(&self, name: &str, reference: &str) {
        let mark = if reference.parse::<Digest>().is_ok() { '@' } else { ':' };
        // Nobody waiting is no failure.
        let _ = self.arrivals.send(format!("{name}{mark}{reference}"));
    }

    /// A manifest that this master has.
    pub(crate) async fn own_manifest(&self, name: &str, reference: &str) -> io::Result<Option<Manifest>> {
        let digest = match reference.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(_) => self.blobs.resolve(name, reference).await?,
        };
        let Some(digest) = digest else { return Ok(None) };
        let found = self.blobs.manifest(name, &digest).await?;
        Ok(found.map(|(media_type, content)| Manifest { digest, media_type, content }))
    }

    /// A manifest that any master has. What another one has is copied first.
    pub(crate) async fn manifest(&self, name: &str, reference: &str) -> io::Result<Option<Manifest>> {
        if let Some(found) = self.own_manifest(name, reference).await? {
            return Ok(Some(found));
        }
        for other in self.others.clients() {
            match self.copy(&other, name, reference).await {
                Ok(()) => return self.own_manifest(name, reference).await,
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => tracing::warn!(%error, name, reference, "another master could not be asked for an image"),
            }
        }
        Ok(None)
    }

    /// Makes sure that a blob is here if any master has it.
    pub(crate) async fn fetch(&self, digest: &Digest) -> io::Result<()> {
        if self.blobs.size(digest).await?.is_some() {
            return Ok(());
        }
        for other in self.others.clients() {
            match self.copy_blob(&other, digest).await {
                Ok(()) => return Ok(()),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => tracing::warn!(%error, %digest, "another master could not be asked for a blob"),
            }
        }
        Ok(())
    }

    /// Copies an image with everything that it refers to, then its name: what can be named can be pulled.
    async fn copy(&self, from: &Client, name: &str, reference: &str) -> Result<(), Error> {
        let manifest = from.manifest(name, reference, true).await?;
        let digest: Digest = manifest.digest.parse().map_err(Error::internal)?;
        if Digest::of(&manifest.content) != digest {
            return Err(Error::internal("a manifest came that does not have its digest"));
        }
        let content: Value = serde_json::from_slice(&manifest.content).map_err(Error::internal)?;
        for part in parts(&content).map_err(Error::internal)? {
            if self.blobs.size(&part).await.map_err(Error::internal)?.is_none() {
                self.copy_blob(from, &part).await?;
            }
        }
        self.blobs.put_manifest(name, &manifest.media_type, &manifest.content).await.map_err(Error::internal)?;
        if reference.parse::<Digest>().is_err() {
            self.blobs.tag(name, reference, &digest).await.map_err(Error::internal)?;
        }
        self.arrived(name, reference);
        Ok(())
    }

    async fn copy_blob(&self, from: &Client, digest: &Digest) -> Result<(), Error> {
        let body = from.blob(&digest.to_string(), true).await?;
        let id = self.blobs.begin().await.map_err(upload_error)?;
        let copied = async {
            self.blobs.append(&id, None, Box::pin(body)).await?;
            self.blobs.finish(&id, digest).await
        };
        match copied.await {
            Ok(()) => Ok(()),
            Err(error) => {
                // What is left of it goes with the upload; failing to drop it costs disk space until the next start.
                let _ = self.blobs.cancel(&id).await;
                Err(upload_error(error))
            }
        }
    }

    /// Another master has an image: keeps a copy.
    pub(crate) async fn copy_from(&self, master: &str, name: &str, reference: &str) -> Result<(), Error> {
        let client = self.others.client(master)?;
        self.copy(&client, name, reference).await
    }

    /// Tells nodes and the other masters of an image that was pushed here, and waits until they have it or a while has passed.
    pub(crate) async fn tell_others(&self, name: &str, reference: &str) {
        self.arrived(name, reference);
        let own = self.others.own_url();
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
        join_all(self.others.clients().into_iter().map(tell)).await;
    }

    /// Stores a module as an image of one layer.
    pub(crate) async fn store_module(&self, name: &str, tag: &str, layer: &Digest, size: u64) -> io::Result<Digest> {
        const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
        /// What the Wasm working group of the CNCF settled on for the layer and its configuration.
        const LAYER: &str = "application/wasm";
        const CONFIG: &str = "application/vnd.wasm.config.v0+json";
        let config = br#"{"architecture":"wasm","os":"wasip2"}"#;
        let config_digest = self.blobs.put(config).await?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config_digest.to_string(), "size": config.len() },
            "layers": [{ "mediaType": LAYER, "digest": layer.to_string(), "size": size }],
        });
        let digest = self.blobs.put_manifest(name, MANIFEST, manifest.to_string().as_bytes()).await?;
        self.blobs.tag(name, tag, &digest).await?;
        Ok(digest)
    }
}

pub(crate) fn upload_error(error: UploadError) -> Error {
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

/// What a manifest or index refers to, but for layers with URLs, which lie elsewhere.
pub(crate) fn parts(manifest: &Value) -> Result<Vec<Digest>, BadDigest> {
    let lists = [&manifest["layers"], &manifest["manifests"]].into_iter().filter_map(Value::as_array).flatten();
    let elsewhere = |part: &Value| part["urls"].as_array().is_some_and(|urls| !urls.is_empty());
    let here = lists.chain(manifest.get("config")).filter(|part| !elsewhere(part));
    here.map(|part| part["digest"].as_str().unwrap_or_default().parse()).collect()
}
