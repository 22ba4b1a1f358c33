//! Images of the masters' own registry, over the connection that the agent has to them.

use api::{Reason, core_v1::Pod, kinds::Resource as _};
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use oci_client::Reference;
use rpc::{
    Client,
    services::{self, PullingPod},
};
use sandbox::Digest;
use serde_json::Value;

use super::{
    pulled::{Pulled, module},
    store::Store,
};

/// The largest module that is pulled from the masters' registry, in bytes.
pub const MODULE_BYTES_MAX: usize = 512 << 20;

const _: () = assert!(MODULE_BYTES_MAX as u64 >= sandbox::MAX_IMAGE_BYTES, "what could be run could not be pulled");

/// Why an image could not be pulled.
pub(super) struct Refusal {
    /// No master answers.
    pub(super) is_away: bool,
    /// The Pod may not have it.
    pub(super) is_denied: bool,
    /// The Pod may have what is here, since a master said so once.
    pub(super) is_granted: bool,
    pub(super) why: String,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { is_away: false, is_denied: false, is_granted: false, why }
    }
}

impl From<api::Error> for Refusal {
    fn from(error: api::Error) -> Self {
        let (is_away, is_denied) = (error.reason.retryable(), error.reason == Reason::Forbidden);
        Self { is_away, is_denied, is_granted: false, why: error.message }
    }
}

/// An image that a Pod wants of the masters.
pub(super) struct Pull<'a> {
    pub(super) masters: &'a Client,
    pub(super) pod: &'a Pod,
    pub(super) reference: &'a Reference,
}

impl Pull<'_> {
    /// Pulls the module of the image, unless it is here already.
    pub(super) async fn image(&self, store: &Store, image: &str) -> Result<Pulled, Refusal> {
        let manifest = self.manifest().await.map_err(|error| match error.reason {
            Reason::NotFound => Refusal::from(format!(
                "it is not in the cluster's registry; push it with `kapelle push FILE.wasm {image}`, or correct its name"
            )),
            _ => error.into(),
        })?;
        let pulled = read(&manifest.content)?;
        if store.has(pulled.module).await {
            return Ok(pulled);
        }
        let (repository, digest) = (self.reference.repository(), pulled.module.to_string());
        let chunks = self.masters.blob_for(self.for_pod(), repository, &digest).await?;
        let bytes = gathered(chunks).await?;
        store.keep(pulled.module, &bytes).await?;
        Ok(pulled)
    }

    /// Asks whether the Pod may have an image that is here already.
    pub(super) async fn leave(&self) -> Result<(), Refusal> {
        match self.manifest().await {
            // What is gone there may still be run here: leave was asked for before it was looked for.
            Err(error) if error.reason != Reason::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn manifest(&self) -> Result<services::Manifest, api::Error> {
        let tag = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        self.masters.manifest_for(self.for_pod(), self.reference.repository(), tag).await
    }

    fn for_pod(&self) -> PullingPod {
        let (namespace, name, uid) = (self.pod.namespace(), self.pod.name(), self.pod.uid());
        PullingPod { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
    }
}

/// The pieces of a module together.
async fn gathered(chunks: impl Stream<Item = Result<Bytes, api::Error>>) -> Result<Vec<u8>, api::Error> {
    let gather = |mut bytes: Vec<u8>, chunk: Bytes| async move {
        if bytes.len() + chunk.len() > MODULE_BYTES_MAX {
            return Err(api::Error::internal(format!("the module is larger than {MODULE_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
        Ok(bytes)
    };
    chunks.try_fold(Vec::new(), gather).await
}

/// What a manifest names.
fn read(manifest: &[u8]) -> Result<Pulled, String> {
    let json: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let none = Vec::new();
    let layers = json["layers"].as_array().unwrap_or(&none);
    let text = |layer: &Value, field: &str| layer[field].as_str().unwrap_or_default().to_owned();
    let named: Vec<(String, String)> =
        layers.iter().map(|layer| (text(layer, "mediaType"), text(layer, "digest"))).collect();
    let (_, digest) = module(named.iter().map(|(media_type, digest)| (media_type.as_str(), digest.as_str())))?;
    Ok(Pulled { module: digest, manifest: Digest::of(manifest).to_string() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_manifest_names_its_module_and_is_named_by_its_own_digest() {
        let (module, other) = (Digest::of(b"module"), Digest::of(b"other"));
        let manifest = format!(
            r#"{{"layers": [{{"mediaType": "text/plain", "digest": "{other}"}},
                            {{"mediaType": "application/wasm", "digest": "{module}"}}]}}"#
        );
        let pulled = read(manifest.as_bytes()).unwrap();
        assert_eq!(pulled, Pulled { module, manifest: Digest::of(manifest.as_bytes()).to_string() });
        for wrong in ["", "{", "{}", r#"{"layers": 7}"#, r#"{"layers": [{"mediaType": "application/wasm"}]}"#] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
